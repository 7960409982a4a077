//! How threads that nobody waits for leave the processor to those that answer requests.
//!
//! Records are shipped a second's worth at a time, which takes ten milliseconds and more. A worker on the same processor would
//! wait for the end of a slice of time, and under a real-time policy for the end of it all: so whoever works for long rests in
//! between, and a worker that waits has its turn. Not where the process is to end: what is shipped then need not be read again.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Of work without a rest: less than a request takes that waits for an upstream.
const PORTION: Duration = Duration::from_micros(200);
/// Long enough to give the processor away. It takes twice as long until the thread is woken, mostly.
const REST: Duration = Duration::from_micros(50);
/// Pieces of work between two looks at the clock. Each takes a microsecond, or a few.
const PIECES: u32 = 16;

thread_local! {
    static WORK: Work = Work { since: Cell::new(Instant::now()), pieces: Cell::new(0) };
}

struct Work {
    /// The last rest.
    since: Cell<Instant>,
    /// Done since the last look at the clock.
    pieces: Cell<u32>,
}

static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// From now on nobody rests.
pub fn hurry() {
    IS_ENDING.store(true, Ordering::Relaxed);
}

/// Rests, if it is time to: so many pieces of work were done, a record or a row each.
pub fn worked(pieces: usize) {
    WORK.with(|work| {
        let done = work.pieces.get().saturating_add(u32::try_from(pieces).unwrap_or(u32::MAX));
        if done < PIECES {
            return work.pieces.set(done);
        }
        work.pieces.set(0);
        if work.since.get().elapsed() >= PORTION {
            if !IS_ENDING.load(Ordering::Relaxed) {
                thread::sleep(REST);
            }
            work.since.set(Instant::now());
        }
    });
}
