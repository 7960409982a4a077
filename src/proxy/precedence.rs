//! Who has valid keys is served first: while a worker has such callers, the answers to wrong keys take turns.
//!
//! A wrong key costs little, but twenty thousand of them a second are most of a processor, and whoever calls rightly would
//! stand in one queue with them. So beyond a number a second they wait for their turn; a caller that sends the next one only
//! when it was answered is slowed down to that. Nobody waits where nobody else is served, or on a connection that carries
//! valid keys, too; so many wait at once and no more, for they hold their connections meanwhile; and the wait says nothing:
//! it is the same for every wrong key.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Of one worker: a hundredth to a twentieth of a processor, and more than mistakes come to.
const A_SECOND: u32 = 2000;
const TURN: Duration = Duration::from_nanos(1_000_000_000 / A_SECOND as u64);
/// Turns that may be taken at once.
const AT_ONCE: u32 = 200;
/// That wait; whoever comes beyond it is answered at once.
const WAITING: u32 = 256;
/// For so long after it was served, somebody counts as being served.
const RECENT: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(crate) struct Precedence {
    /// When a request with valid keys came last.
    served: Cell<Option<Instant>>,
    /// When all turns that were given are over.
    given_until: Cell<Option<Instant>>,
    waiting: Cell<u32>,
}

/// One wrong key that waits.
#[derive(Debug)]
pub(crate) struct Turn {
    precedence: Rc<Precedence>,
    at: Instant,
}

impl Precedence {
    /// A request with valid keys came.
    pub(crate) fn serves(&self, at: Instant) {
        self.served.set(Some(at));
    }

    /// When a wrong key that came at a moment may be answered; None for at once.
    pub(crate) fn turn(self: &Rc<Self>, at: Instant) -> Option<Turn> {
        let is_recent = |served: Instant| at.saturating_duration_since(served) < RECENT;
        if !self.served.get().is_some_and(is_recent) {
            self.given_until.set(None);
            return None;
        }
        if self.waiting.get() >= WAITING {
            return None;
        }
        let given_until = self.given_until.get().map_or(at, |until| until.max(at));
        self.given_until.set(Some(given_until + TURN));
        let queue = given_until.saturating_duration_since(at);
        let wait = queue.saturating_sub(TURN * AT_ONCE);
        if wait.is_zero() {
            return None;
        }
        self.waiting.set(self.waiting.get() + 1);
        Some(Turn { precedence: Rc::clone(self), at: at + wait })
    }
}

impl Turn {
    pub(crate) async fn come(self) {
        tokio::time::sleep_until(self.at.into()).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let waiting = &self.precedence.waiting;
        waiting.set(waiting.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_keys_wait_only_beside_valid_ones_and_only_beyond_a_number() {
        let precedence = Rc::new(Precedence::default());
        let now = Instant::now();
        assert!((0..100_000).all(|_| precedence.turn(now).is_none()), "nobody else is served");
        precedence.serves(now);
        let at_once = (0..AT_ONCE + 1).filter(|_| precedence.turn(now).is_none()).count();
        assert_eq!(at_once, AT_ONCE as usize + 1);
        let waiting: Vec<Turn> = (0..100).filter_map(|_| precedence.turn(now)).collect();
        let waits: Vec<Instant> = waiting.iter().map(|turn| turn.at).collect();
        let expected: Vec<Instant> = (1..=100).map(|number| now + TURN * number).collect();
        assert_eq!(waits, expected);
        assert!(precedence.turn(now + RECENT).is_none(), "nobody else is served any more");
    }

    #[test]
    fn turns_come_at_their_rate_to_whoever_waits_for_them() {
        let precedence = Rc::new(Precedence::default());
        let begin = Instant::now();
        precedence.serves(begin);
        // One at a time, each when the one before was answered.
        let mut now = begin;
        let mut answered = 0;
        while now < begin + RECENT - TURN {
            now = precedence.turn(now).map_or(now, |turn| turn.at);
            answered += 1;
        }
        let fair = AT_ONCE + A_SECOND / 2;
        assert!((fair - 5..=fair + 5).contains(&answered), "{answered}");
    }

    #[test]
    fn no_more_than_so_many_wait_and_their_places_come_back() {
        let precedence = Rc::new(Precedence::default());
        let now = Instant::now();
        precedence.serves(now);
        let waiting: Vec<Turn> = (0..100_000).filter_map(|_| precedence.turn(now)).collect();
        assert_eq!(waiting.len(), WAITING as usize);
        let longest = waiting.iter().map(|turn| turn.at).max();
        assert_eq!(longest, Some(now + TURN * WAITING), "an eighth of a second");
        drop(waiting);
        assert!(precedence.turn(now).is_some());
    }
}
