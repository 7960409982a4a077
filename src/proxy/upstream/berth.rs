//! How many connections to upstreams one worker may have open: the bound that keeps callers from opening sockets
//! without end, since one HTTP/2 caller may ask for a hundred things at once.

use std::cell::Cell;
use std::rc::Rc;

/// The places of one worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Berths(Rc<Cell<usize>>);

/// A place taken, from before the connection is made until it is closed.
#[derive(Debug)]
pub(crate) struct Berth(Rc<Cell<usize>>);

impl Berths {
    /// None where `most` are taken.
    pub(crate) fn take(&self, most: usize) -> Option<Berth> {
        let taken = self.0.get();
        (taken < most).then(|| {
            self.0.set(taken + 1);
            Berth(Rc::clone(&self.0))
        })
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_it_was_left() {
        let berths = Berths::default();
        let first = berths.take(2).unwrap();
        let second = berths.take(2).unwrap();
        assert!(berths.take(2).is_none());
        drop(first);
        let third = berths.take(2).unwrap();
        assert!(berths.take(2).is_none());
        drop((second, third));
        assert!(berths.take(1).is_some());
    }
}
