//! Pairs of keys that were looked for and are in no index, remembered for a while.
//!
//! Whoever calls with a key that is not good any more, or never was, mostly does so again and again: a job that nobody has told of
//! a rotation. Digests for the same pair tell the same, as long as no key was issued since.
//!
//! What a pair is remembered by is its fingerprints (`memory.rs`), so nothing here says anything of a key. A repeated pair is
//! answered faster than a new one, which tells that it was tried before, and nothing else: half right or all wrong, it is the
//! same.

use std::cell::Cell;

use crate::auth::verifier::memory::Print;

/// Of one worker. A pair that comes to the place of another takes it.
const PLACES: usize = 256;

/// A subscriber key, and a vendor key or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: Print,
    pub(super) vendor_key: Option<Print>,
}

/// What was looked for in vain, when so many keys had been issued.
type Wrong = (Pair, u64);

pub(super) struct WrongPairs(Box<[Cell<Option<Wrong>>]>);

impl Default for WrongPairs {
    fn default() -> Self {
        Self((0..PLACES).map(|_| Cell::new(None)).collect())
    }
}

impl WrongPairs {
    /// `issued`: how many keys were ever issued.
    pub(super) fn has(&self, pair: Pair, issued: u64) -> bool {
        self.place(pair).is_some_and(|place| place.get() == Some((pair, issued)))
    }

    /// `issued` was read before the pair was looked for.
    pub(super) fn keep(&self, pair: Pair, issued: u64) {
        if let Some(place) = self.place(pair) {
            place.set(Some((pair, issued)));
        }
    }

    fn place(&self, Pair { key, vendor_key }: Pair) -> Option<&Cell<Option<Wrong>>> {
        let mixed = key.half() ^ vendor_key.map_or(0, Print::half);
        self.0.get(usize::try_from(mixed % PLACES as u64).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::verifier::memory::Printer;
    use crate::vault::Vault;

    #[test]
    fn a_pair_is_remembered_until_a_key_is_issued() {
        let printer = Printer::new(&Vault::ephemeral().unwrap());
        let pair = |key: &[u8], vendor: &[u8]| Pair {
            key: printer.of_key(key),
            vendor_key: Some(printer.of_vendor_key(vendor)),
        };
        let wrong = WrongPairs::default();
        wrong.keep(pair(b"a", b"b"), 7);
        assert!(wrong.has(pair(b"a", b"b"), 7));
        assert!(!wrong.has(pair(b"a", b"b"), 8), "a key was issued");
        assert!(!wrong.has(pair(b"a", b"c"), 7) && !wrong.has(pair(b"c", b"b"), 7));
        let alone = Pair { key: printer.of_key(b"a"), vendor_key: None };
        assert!(!wrong.has(alone, 7));
    }

    #[test]
    fn pairs_take_each_others_places_and_never_each_others_answers() {
        let printer = Printer::new(&Vault::ephemeral().unwrap());
        let pair =
            |number: u32| Pair { key: printer.of_key(&number.to_be_bytes()), vendor_key: None };
        let wrong = WrongPairs::default();
        for number in 0..10_000 {
            assert!(!wrong.has(pair(number), 0));
            wrong.keep(pair(number), 0);
            assert!(wrong.has(pair(number), 0));
        }
        assert_eq!(wrong.0.len(), PLACES);
    }
}
