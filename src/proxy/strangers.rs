//! Refusals of callers who showed no valid key: a few of each source and second are recorded one by one, the rest as one
//! record that says how many they were, so that a flood cannot fill the disk.
//!
//! A source is an IPv4 address, or the /64 of an IPv6 one, which is what one customer has. There is room for so many
//! sources; all others share one place. Sums wait in memory for the end of their second: what a kill costs is one second of
//! refusals of a flood, and none of those that were told one by one.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::model::{AccessRecord, LaneId, Opening, Outcome, RecordId, Timestamp, source_of};

/// Recorded one by one, of each source in one second.
const ALONE: u32 = 20;
const SOURCES: usize = 1024;
/// Of one source in one second: different codes, methods, user agents are not told apart beyond.
const KINDS: usize = 8;
const SECOND: i64 = 1_000_000;

/// A refused request, as far as it counts towards a sum. What else is known of it is asked for where it is told: most of a
/// flood is not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'o> {
    pub(crate) ip: IpAddr,
    pub(crate) ts: Timestamp,
    pub(crate) outcome: &'o Outcome<'o>,
}

#[derive(Debug, Default)]
pub(crate) struct Strangers(RefCell<HashMap<IpAddr, Source>>);

#[derive(Debug)]
struct Source {
    second: i64,
    alone: u32,
    sums: Vec<Sum>,
}

#[derive(Debug)]
struct Sum {
    opening: Opening<'static>,
    outcome: Outcome<'static>,
    /// Of all, to be divided.
    duration_us: u64,
}

pub(crate) type Summed = (Opening<'static>, Outcome<'static>);

impl Strangers {
    /// What is to be recorded as it is; None where it was summed.
    pub(crate) fn note<'o>(
        &self,
        refused: Refused<'_>,
        opening: impl FnOnce() -> Opening<'o>,
    ) -> Option<Opening<'o>> {
        let mut sources = self.0.borrow_mut();
        let mut address = source_of(refused.ip);
        if sources.len() >= SOURCES && !sources.contains_key(&address) {
            address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        }
        let second = second_of(refused.ts);
        let source =
            sources.entry(address).or_insert_with(|| Source { second, alone: 0, sums: Vec::new() });
        // Sums of an earlier second stay until they are fetched: its refusals go on into them, which is as true.
        if source.sums.is_empty() && source.second != second {
            *source = Source { second, alone: 0, sums: Vec::new() };
        }
        if source.alone < ALONE && source.sums.is_empty() {
            source.alone += 1;
            return Some(opening());
        }
        source.add(address, refused.outcome, opening);
        None
    }

    /// Takes the sums of seconds that ended before a moment, or all there are.
    pub(crate) fn over(&self, before: Option<Timestamp>) -> Vec<Summed> {
        let mut sources = self.0.borrow_mut();
        if sources.is_empty() {
            return Vec::new();
        }
        let is_over = |source: &Source| before.is_none_or(|now| source.second < second_of(now));
        let mut taken = Vec::new();
        sources.retain(|_, source| {
            if is_over(source) {
                taken.extend(source.sums.drain(..).map(Sum::whole));
                false
            } else {
                true
            }
        });
        taken
    }
}

impl Source {
    fn add<'o>(
        &mut self,
        address: IpAddr,
        outcome: &Outcome<'_>,
        opening: impl FnOnce() -> Opening<'o>,
    ) {
        let is_full = self.sums.len() >= KINDS;
        let same = |sum: &&mut Sum| {
            is_full || (sum.outcome.code == outcome.code && sum.outcome.status == outcome.status)
        };
        if let Some(sum) = self.sums.iter_mut().find(same) {
            let total = &mut sum.outcome;
            total.count = total.count.saturating_add(1);
            total.bytes_in = total.bytes_in.saturating_add(outcome.bytes_in);
            total.bytes_out = total.bytes_out.saturating_add(outcome.bytes_out);
            sum.duration_us = sum.duration_us.saturating_add(outcome.duration_us);
            return;
        }
        let record = AccessRecord {
            id: RecordId { lane: LaneId(0), seq: 0 },
            node: Cow::Borrowed(""),
            // What it says must be true of all of them; and there may be thousands, so none is long.
            opening: Opening {
                ip: address,
                path: Cow::Borrowed(""),
                user_agent: Cow::Borrowed(""),
                ..opening()
            },
            outcome: outcome.clone(),
        };
        let AccessRecord { opening, outcome, .. } = record.into_owned();
        let duration_us = outcome.duration_us;
        self.sums.push(Sum { opening, outcome, duration_us });
    }
}

impl Sum {
    fn whole(mut self) -> Summed {
        self.outcome.duration_us = self.duration_us / u64::from(self.outcome.count.max(1));
        (self.opening, self.outcome)
    }
}

fn second_of(ts: Timestamp) -> i64 {
    ts.as_micros().div_euclid(SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Decision, RequestId};

    fn opening(ip: IpAddr, micros: i64) -> Opening<'static> {
        Opening {
            ts: Timestamp::from_micros(micros),
            request_id: RequestId::new(7),
            practice: "".into(),
            key: "".into(),
            vendor: "".into(),
            owner: "".into(),
            api: "".into(),
            method: "GET".into(),
            route: "".into(),
            path: "".into(),
            category: "".into(),
            access: "".into(),
            ip,
            user_agent: "".into(),
        }
    }

    fn refused(code: &'static str) -> Outcome<'static> {
        Outcome {
            decision: Decision::Deny,
            code: code.into(),
            status: 401,
            bytes_in: 1,
            bytes_out: 100,
            duration_us: 30,
            upstream_us: None,
            count: 1,
        }
    }

    fn note(
        strangers: &Strangers,
        ip: IpAddr,
        micros: i64,
        code: &'static str,
    ) -> Option<Opening<'static>> {
        let outcome = refused(code);
        let refused = Refused { ip, ts: Timestamp::from_micros(micros), outcome: &outcome };
        strangers.note(refused, || opening(ip, micros))
    }

    #[test]
    fn every_refusal_is_told_alone_or_counted() {
        let strangers = Strangers::default();
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let told = |n: u32, code| {
            let note = |_| note(&strangers, ip, 5, code);
            (0..n).filter_map(note).filter(|alone| *alone == opening(ip, 5)).count()
        };
        assert_eq!(told(1000, "invalid_credentials"), ALONE as usize);
        assert_eq!(told(500, "subscriber_key_missing"), 0);
        assert!(strangers.over(Some(Timestamp::from_micros(SECOND - 1))).is_empty());
        let sums = strangers.over(Some(Timestamp::from_micros(SECOND)));
        let counts: Vec<_> =
            sums.iter().map(|(_, sum)| (sum.count, sum.bytes_out, sum.duration_us)).collect();
        assert_eq!(counts, [(1000 - ALONE, u64::from(1000 - ALONE) * 100, 30), (500, 50_000, 30)]);
        assert!(strangers.over(None).is_empty());
        assert_eq!(told(1, "invalid_credentials"), 1);
    }

    #[test]
    fn a_flood_from_everywhere_takes_no_more_room() {
        let strangers = Strangers::default();
        for n in 0..200_000_u32 {
            note(&strangers, IpAddr::V4(Ipv4Addr::from_bits(n)), 5, "x");
        }
        assert!(strangers.0.borrow().len() <= SOURCES + 1);
        let total: u32 = strangers.over(None).iter().map(|(_, sum)| sum.count).sum();
        assert!(total > 190_000, "{total}");
    }

    #[test]
    fn addresses_of_one_customer_are_one_source() {
        let of = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
