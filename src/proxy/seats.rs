//! The connections of one worker: how many there are, which of them could make room, and how to tell them to finish.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::proxy::pulse::Pulse;

/// How many seats are looked at to make room, so that a flood at the cap costs the same however many there are.
const LOOKS: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: RefCell<BTreeMap<u64, Rc<Seat>>>,
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
    waker: RefCell<Option<Waker>>,
    abort: RefCell<Option<AbortHandle>>,
}

/// Held by the task of a connection; its end, panics included, frees the seat.
#[derive(Debug)]
pub(crate) struct Seated {
    pub(crate) seat: Rc<Seat>,
    seats: Rc<Seats>,
    id: u64,
}

impl Seats {
    /// A seat for a new connection, if there are fewer than `max` or one that waits for its next request can go.
    pub(crate) fn take(self: &Rc<Self>, max: usize) -> Option<Seated> {
        if self.taken.borrow().len() >= max && !self.make_room() {
            return None;
        }
        let id = self.next.replace(self.next.get() + 1);
        let seat = Rc::new(Seat {
            pulse: Arc::new(Pulse::new()),
            waker: RefCell::new(None),
            abort: RefCell::new(None),
        });
        self.taken.borrow_mut().insert(id, Rc::clone(&seat));
        Some(Seated { seat, seats: Rc::clone(self), id })
    }

    /// Looks at the next seats in turn, and closes the one of them that has waited longest for its next request; false
    /// if all of these work.
    pub(crate) fn make_room(&self) -> bool {
        let mut taken = self.taken.borrow_mut();
        let behind = (Bound::Excluded(self.looked.get()), Bound::Unbounded);
        let round = taken.range(behind).chain(taken.range(..=self.looked.get())).take(LOOKS);
        let waiting = round
            .inspect(|(id, _)| self.looked.set(**id))
            .filter_map(|(id, seat)| Some((seat.pulse.spare()?, *id)))
            .min();
        let Some(seat) = waiting.and_then(|(_, id)| taken.remove(&id)) else { return false };
        if let Some(abort) = seat.abort.take() {
            abort.abort();
        }
        true
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Tells every connection to finish what is in flight.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for seat in self.taken.borrow().values() {
            if let Some(waker) = &*seat.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }

    /// Ready once there is no connection left.
    pub(crate) async fn empty(&self) {
        while !self.taken.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }
}

impl Seat {
    /// Who is to be woken when the worker drains.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut own = self.waker.borrow_mut();
        if !own.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *own = Some(waker.clone());
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
        let mut taken = self.seats.taken.borrow_mut();
        taken.remove(&self.id);
        if taken.is_empty() {
            self.seats.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn at_the_cap_only_a_connection_that_waits_makes_room() {
        let seats = Rc::new(Seats::default());
        let first = seats.take(2).unwrap();
        let second = seats.take(2).unwrap();
        assert!(seats.take(2).is_none(), "both are new");
        first.seat.pulse.begin();
        assert!(seats.take(2).is_none(), "one works");
        first.seat.pulse.end();
        let third = seats.take(2).unwrap();
        assert!(seats.take(2).is_none(), "no seat is given away twice");
        drop((first, second, third));
        seats.empty().await;
    }

    #[tokio::test]
    async fn one_that_waits_among_many_that_work_is_found_in_turn() {
        let seats = Rc::new(Seats::default());
        let max = 4 * LOOKS;
        let open: Vec<_> = (0..max).map(|_| seats.take(max).unwrap()).collect();
        for seated in &open {
            seated.seat.pulse.begin();
        }
        for waits in [0, max / 2, max - 1] {
            open[waits].seat.pulse.end();
            let looks = (1..=5).find(|_| seats.make_room());
            assert!(looks.is_some(), "{waits}");
            assert!(!(0..5).any(|_| seats.make_room()), "a connection that works was closed");
        }
    }
}
