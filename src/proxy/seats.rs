//! The connections of one worker: how many there are, which of them could make room, and how to tell them to finish.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::proxy::pulse::Pulse;

mod newcomers;

use newcomers::{Newcomers, Source};

/// How many seats are looked at to make room, so that a flood at the cap costs the same however many there are.
const LOOKS: usize = 64;
/// Whoever means to ask has asked by then.
const SILENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: RefCell<BTreeMap<u64, Rc<Seat>>>,
    newcomers: RefCell<Newcomers>,
    next: Cell<u64>,
    /// The last seat that was looked at to make room; the next look begins behind it.
    looked: Cell<u64>,
    draining: Cell<bool>,
    emptied: Notify,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) pulse: Arc<Pulse>,
    id: u64,
    source: Source,
    since: Instant,
    waker: RefCell<Option<Waker>>,
    abort: RefCell<Option<AbortHandle>>,
}

/// Held by the task of a connection; its end, panics included, frees the seat.
#[derive(Debug)]
pub(crate) struct Seated {
    pub(crate) seat: Rc<Seat>,
    seats: Rc<Seats>,
}

impl Seats {
    /// A seat for a new connection, if there are fewer than `max` or one that does not work can go.
    pub(crate) fn take(self: &Rc<Self>, max: usize, from: IpAddr) -> Option<Seated> {
        if self.taken.borrow().len() >= max && !self.make_room() {
            return None;
        }
        let id = self.next.replace(self.next.get() + 1);
        let seat = Rc::new(Seat {
            pulse: Arc::new(Pulse::new()),
            id,
            source: Source::of(from),
            since: Instant::now(),
            waker: RefCell::new(None),
            abort: RefCell::new(None),
        });
        self.taken.borrow_mut().insert(id, Rc::clone(&seat));
        self.newcomers.borrow_mut().add(seat.source, id);
        Some(Seated { seat, seats: Rc::clone(self) })
    }

    /// A connection has sent its first whole request.
    pub(crate) fn settle(&self, seat: &Seat) {
        self.newcomers.borrow_mut().remove(seat.source, seat.id);
    }

    /// Closes a connection that does not work, if one is found: one of many that come from one address and say nothing,
    /// or else one that waits for its next request or whose caller does not read; among those that say nothing, one that
    /// has only just come is the last to go.
    pub(crate) fn make_room(&self) -> bool {
        let silent = self.newcomers.borrow().oldest_of_most();
        let silent = silent.and_then(|id| self.taken.borrow().get(&id).map(Rc::clone));
        let late = silent.as_ref().filter(|seat| seat.since.elapsed() >= SILENCE).map(Rc::clone);
        let Some(seat) = late.or_else(|| self.spare()).or(silent) else { return false };
        self.forget(&seat);
        if let Some(abort) = seat.abort.take() {
            abort.abort();
        }
        true
    }

    fn forget(&self, seat: &Seat) {
        self.settle(seat);
        self.taken.borrow_mut().remove(&seat.id);
    }

    /// Looks at the next seats in turn, and finds the one of them that has waited longest; none if all of these work.
    fn spare(&self) -> Option<Rc<Seat>> {
        let taken = self.taken.borrow();
        let behind = (Bound::Excluded(self.looked.get()), Bound::Unbounded);
        let round = taken.range(behind).chain(taken.range(..=self.looked.get())).take(LOOKS);
        let waiting = round
            .inspect(|(id, _)| self.looked.set(**id))
            .filter_map(|(id, seat)| Some((seat.pulse.spare()?, *id)))
            .min();
        waiting.and_then(|(_, id)| taken.get(&id)).map(Rc::clone)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Tells every connection to finish what is in flight.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.taken.borrow().values().for_each(|seat| seat.wake());
    }

    /// Ready once there is no connection left.
    pub(crate) async fn empty(&self) {
        while !self.taken.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }
}

impl Seat {
    /// Who is to be woken when the worker drains, or when something is to end.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut own = self.waker.borrow_mut();
        if !own.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *own = Some(waker.clone());
        }
    }

    /// Has its task look around.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn abort_with(&self, abort: AbortHandle) {
        *self.abort.borrow_mut() = Some(abort);
    }
}

impl Seated {
    pub(crate) fn is_draining(&self) -> bool {
        self.seats.is_draining()
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seats.forget(&self.seat);
        if self.seats.taken.borrow().is_empty() {
            self.seats.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A connection that has asked.
    fn working(seats: &Rc<Seats>, max: usize) -> Seated {
        let seated = seats.take(max, HERE).unwrap();
        seated.seat.pulse.begin();
        seats.settle(&seated.seat);
        seated
    }

    #[tokio::test]
    async fn at_the_cap_only_a_connection_that_waits_makes_room() {
        let seats = Rc::new(Seats::default());
        let (first, second) = (working(&seats, 2), working(&seats, 2));
        assert!(seats.take(2, HERE).is_none(), "both work");
        first.seat.pulse.end();
        let third = working(&seats, 2);
        assert!(seats.take(2, HERE).is_none(), "no seat is given away twice");
        drop((first, second, third));
        seats.empty().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_many_silent_ones_of_one_address_make_room() {
        let other = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
        let seats = Rc::new(Seats::default());
        let has = |seated: &Seated| seats.taken.borrow().contains_key(&seated.seat.id);
        let waits = working(&seats, 4);
        waits.seat.pulse.end();
        let one = seats.take(4, other).unwrap();
        let silent = [seats.take(4, HERE).unwrap(), seats.take(4, HERE).unwrap()];
        let more = working(&seats, 4);
        assert!(!has(&waits) && has(&silent[0]), "they may be about to ask");
        tokio::time::advance(SILENCE).await;
        more.seat.pulse.end();
        let last = seats.take(4, other).unwrap();
        assert!(!has(&silent[0]) && has(&silent[1]) && has(&one) && has(&more) && has(&last));
    }

    #[tokio::test]
    async fn one_that_waits_among_many_that_work_is_found_in_turn() {
        let seats = Rc::new(Seats::default());
        let max = 4 * LOOKS;
        let open: Vec<_> = (0..max).map(|_| working(&seats, max)).collect();
        for waits in [0, max / 2, max - 1] {
            open[waits].seat.pulse.end();
            let looks = (1..=5).find(|_| seats.make_room());
            assert!(looks.is_some(), "{waits}");
            assert!(!(0..5).any(|_| seats.make_room()), "a connection that works was closed");
        }
    }
}
