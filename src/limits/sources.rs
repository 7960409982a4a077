//! What is counted of callers who have no key to be counted by: by where they come from.
//!
//! A source is an IPv4 address or an IPv6 /64, which is what one customer has. There is room for so many and no more, in
//! sets of a few: where a set is full, the source that owes least makes room, which is one that has been quiet or is about
//! to be. Which set a source is in is not to be foreseen, so nobody can choose whom to drive out.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use crate::limits::bucket::{Bucket, Moment, Trial};
use crate::model::{RateLimit, source_of};

const SETS: usize = 8192;
const WAYS: usize = 8;

#[derive(Debug)]
pub(super) struct Sources {
    random: RandomState,
    sets: Box<[Mutex<[Way; WAYS]>]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Two sources have the same one once in 2^61 pairs.
    print: u64,
    bucket: Bucket,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            random: RandomState::new(),
            sets: (0..SETS).map(|_| Mutex::new([Way::default(); WAYS])).collect(),
        }
    }
}

impl Sources {
    /// Takes one, or says after how many nanoseconds it can be taken.
    pub(super) fn take(
        &self,
        ip: IpAddr,
        limit: &RateLimit,
        cost: NonZeroU32,
        now: Moment,
    ) -> Result<Bucket, u64> {
        let print = self.random.hash_one(source_of(ip));
        let set = usize::try_from(print % SETS as u64).unwrap_or_default();
        let mut ways = self.sets[set].lock().unwrap_or_else(PoisonError::into_inner);
        let known = ways.iter().position(|way| way.print == print);
        let place = known.unwrap_or_else(|| {
            let owed = |place: &usize| ways[*place].bucket.debt(limit, now);
            (0..WAYS).min_by_key(owed).unwrap_or_default()
        });
        let bucket = if known.is_some() { ways[place].bucket } else { Bucket::default() };
        let bucket = bucket.under(limit, now);
        let (bucket, taken) = match bucket.take(limit, cost, now) {
            Trial::Fits(after) => (after, Ok(after)),
            Trial::Wait(wait) => (bucket, Err(wait)),
        };
        ways[place] = Way { print, bucket };
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::time::Duration;

    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn five_a_minute() -> RateLimit {
        RateLimit::new(5, Duration::from_secs(60), None).unwrap()
    }

    #[test]
    fn a_source_is_an_address_or_a_network_of_64_bits() {
        let sources = Sources::default();
        let limit = five_a_minute();
        let taken = |ip: &str| sources.take(ip.parse().unwrap(), &limit, ONE, Moment(1)).is_ok();
        assert!((0..5).all(|last| taken(&format!("2001:db8::{last}"))));
        assert!(!taken("2001:db8::ffff:ffff:ffff:ffff"));
        assert!(taken("2001:db8:0:1::1"));
        assert!((0..5).all(|_| taken("192.0.2.1")));
        assert!(!taken("::ffff:192.0.2.1"));
        assert!(taken("192.0.2.2"));
    }

    #[test]
    fn a_million_sources_take_no_more_room_and_none_that_owes_makes_room_for_one_that_does_not() {
        let sources = Sources::default();
        let limit = five_a_minute();
        let loud = IpAddr::from([192, 0, 2, 1]);
        while sources.take(loud, &limit, ONE, Moment(0)).is_ok() {}
        for number in 0..1_000_000_u32 {
            let ip = IpAddr::from(Ipv6Addr::from_bits(u128::from(number) << 64));
            assert!(sources.take(ip, &limit, ONE, Moment(0)).is_ok());
        }
        assert!(sources.take(loud, &limit, ONE, Moment(0)).is_err(), "it owes more than they");
        assert_eq!(sources.sets.len() * WAYS, 65_536);
    }
}
