//! Connections that have not sent a whole request yet, by the address that they come from.
//!
//! Every call costs the logarithm of how many there are, so that a flood of them does not slow down the accepting.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    /// Their seats; a lower number is older.
    by_source: HashMap<Source, BTreeSet<u64>>,
    /// How many each source has.
    crowds: BTreeSet<(usize, Source)>,
}

/// Whoever has one address of IPv6 has a whole network of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        const NETWORK: u128 = !0 << 64;
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl Newcomers {
    pub(crate) fn add(&mut self, source: Source, seat: u64) {
        let seats = self.by_source.entry(source).or_default();
        self.crowds.remove(&(seats.len(), source));
        seats.insert(seat);
        self.crowds.insert((seats.len(), source));
    }

    /// Takes out one that is no newcomer any more, or gone.
    pub(crate) fn remove(&mut self, source: Source, seat: u64) {
        let Some(seats) = self.by_source.get_mut(&source) else { return };
        self.crowds.remove(&(seats.len(), source));
        seats.remove(&seat);
        if seats.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.crowds.insert((seats.len(), source));
        }
    }

    /// The oldest of the source that has most of them, if it has more than one.
    pub(crate) fn oldest_of_most(&self) -> Option<u64> {
        let (_, source) = self.crowds.last().filter(|(count, _)| *count > 1)?;
        self.by_source.get(source)?.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    #[test]
    fn the_oldest_of_the_largest_crowd_is_named() {
        let mut newcomers = Newcomers::default();
        let (one, other) = (source("192.0.2.1"), source("192.0.2.2"));
        newcomers.add(one, 0);
        newcomers.add(other, 1);
        assert_eq!(newcomers.oldest_of_most(), None, "nobody has more than one");
        newcomers.add(other, 2);
        assert_eq!(newcomers.oldest_of_most(), Some(1));
        newcomers.add(one, 3);
        newcomers.add(one, 4);
        assert_eq!(newcomers.oldest_of_most(), Some(0));
        newcomers.remove(one, 0);
        newcomers.remove(one, 3);
        assert_eq!(newcomers.oldest_of_most(), Some(1));
    }

    #[test]
    fn nothing_is_kept_of_those_who_are_gone() {
        let mut newcomers = Newcomers::default();
        for seat in 0..4 {
            newcomers.add(source("192.0.2.1"), seat);
        }
        for seat in [3, 3, 0, 1, 2, 9] {
            newcomers.remove(source("192.0.2.1"), seat);
        }
        assert!(newcomers.by_source.is_empty() && newcomers.crowds.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
