//! Records to try a history with: the n-th of an endless line of different ones, and any at all by proptest.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use proptest::prelude::*;

use crate::journal::Batch;
use crate::model::record::Text;
use crate::model::{
    AccessRecord, Decision, LaneId, Opening, Outcome, RecordId, RequestId, Timestamp,
};

/// A record without its place in a lane.
pub(crate) type Part = (Opening<'static>, Outcome<'static>);

pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const DAY: i64 = 24 * HOUR;
/// 2025-11-20T00:00:00Z.
pub(crate) const MIDNIGHT: i64 = 1_763_596_800_000_000;

/// So many hours after midnight of the first day, and a bit.
pub(crate) fn at(hours: i64) -> Timestamp {
    Timestamp::from_micros(MIDNIGHT + hours * HOUR)
}

fn of<T>(from: &[T], number: u64) -> &T {
    &from[usize::try_from(number).unwrap() % from.len()]
}

pub(crate) const KEYS: [&str; 6] = ["n1", "s1", "n2", "s2", "n3", ""];

/// The n-th record: 37 minutes after the one before it, of six keys in two practices in turn.
pub(crate) fn part(number: u64) -> Part {
    let key = *of(&KEYS, number);
    let practice = ["north", "south", "north", "south", "north", ""];
    let routes = [
        ("/v1/patients/{id}", "patient"),
        ("/v1/invoices", "billing.invoices"),
        ("/v1/all/**", "patient files.scans"),
    ];
    let (route, category) = *of(&routes, number / 2);
    let denied = number % 7 == 3 || key.is_empty();
    let (decision, code, status) = match number % 11 {
        _ if denied => (
            Decision::Deny,
            if key.is_empty() { "subscriber_key_unknown" } else { "permission_missing" },
            if key.is_empty() { 401 } else { 403 },
        ),
        4 => (Decision::Observe, "", 200),
        5 => (Decision::Allow, "upstream_timeout", 504),
        6 => (Decision::Allow, "", 404),
        7 => (Decision::Allow, Outcome::CLIENT_GONE, 0),
        _ => (Decision::Allow, "", 200),
    };
    let ip = if number.is_multiple_of(5) {
        IpAddr::V6(Ipv6Addr::from((u128::from(number) << 70) | 1))
    } else {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))
    };
    let offset = i64::try_from(number).unwrap() * 37 * 60 * 1_000_000 + 17;
    let opening = Opening {
        ts: Timestamp::from_micros(MIDNIGHT + offset),
        request_id: RequestId::new(
            u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        ),
        practice: (*of(&practice, number)).into(),
        key: key.into(),
        vendor: (*of(&["acme", "", "zeta"], number)).into(),
        owner: if key.is_empty() { "".into() } else { "dr-lee".into() },
        api: "standard".into(),
        method: (*of(&["GET", "POST"], number)).into(),
        route: route.into(),
        path: if number.is_multiple_of(4) {
            format!("/v1/patients/{number}").into()
        } else {
            route.into()
        },
        category: category.into(),
        access: (*of(&["read", "write"], number)).into(),
        ip,
        user_agent: (*of(&["curl/8.5", "", "Praxis/3.1 (Zürich; \u{1f600})"], number)).into(),
    };
    let outcome = Outcome {
        decision,
        code: code.into(),
        status,
        bytes_in: number * 13 % 4_000,
        bytes_out: number * 7_919 % 300_000,
        duration_us: 900 + number * 104_729 % 3_000_000,
        upstream_us: (!denied).then_some(500 + number * 7 % 800),
        count: 1,
    };
    (opening, outcome)
}

pub(crate) fn parts(numbers: impl IntoIterator<Item = u64>) -> Vec<Part> {
    numbers.into_iter().map(part).collect()
}

pub(crate) fn node_of(lane: u64) -> String {
    format!("gw-{lane}")
}

pub(crate) fn batch(lane: u64, after: u64, parts: &[Part]) -> Arc<Batch> {
    Arc::new(Batch::of(LaneId(lane), &node_of(lane), after, parts.iter().cloned()))
}

/// As they come back.
pub(crate) fn records(lane: u64, after: u64, parts: &[Part]) -> Vec<AccessRecord<'static>> {
    let record = |(seq, (opening, outcome)): (u64, &Part)| AccessRecord {
        id: RecordId { lane: LaneId(lane), seq },
        node: node_of(lane).into(),
        opening: opening.clone(),
        outcome: outcome.clone(),
    };
    (after + 1..).zip(parts).map(record).collect()
}

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = Text<'static>> {
    prop_oneof![
        12 => prop::sample::select(choices).prop_map(Cow::Borrowed),
        1 => "\\PC{0,12}".prop_map(Cow::Owned),
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..5_000_000_u64, 1 => Just(0), 1 => 0..=u64::from(u32::MAX)]
}

/// Any record within some days of the samples; keys are few, so that each has many.
pub(crate) fn any_part() -> impl Strategy<Value = Part> {
    let who = (
        prop::sample::select(
            &[("k1", "north"), ("k2", "north"), ("k3", "south"), ("", ""), ("k1", "south")][..],
        ),
        text(&["", "acme", "zeta"]),
        text(&["", "dr-lee"]),
        any::<u128>(),
        -DAY..3 * DAY,
    );
    let what = (
        text(&["standard", "fhir"]),
        text(&["GET", "POST"]),
        text(&["/v1/patients/{id}", "/v1/invoices"]),
        text(&["/v1/patients/{id}", "/v1/invoices", "/v1/patients/7"]),
        text(&["patient", "billing.invoices", "patient clinical", ""]),
        text(&["read", "write", "read write"]),
    );
    let from = (any::<IpAddr>(), text(&["", "curl/8.5"]));
    let end = (
        prop::sample::select(&Decision::ALL[..]),
        text(&["", "permission_missing", "client_gone"]),
        prop::sample::select(&[0_u16, 200, 204, 401, 403, 404, 500, 504][..]),
        (number(), number(), number(), prop::option::of(number())),
        prop_oneof![9 => Just(1_u32), 1 => 1..1_000_u32],
    );
    (who, what, from, end).prop_map(|(who, what, from, end)| {
        let ((key, practice), vendor, owner, request, offset) = who;
        let (api, method, route, path, category, access) = what;
        let (ip, user_agent) = from;
        let (decision, code, status, (bytes_in, bytes_out, duration_us, upstream_us), count) = end;
        let opening = Opening {
            ts: Timestamp::from_micros(MIDNIGHT + offset),
            request_id: RequestId::new(request),
            practice: practice.into(),
            key: key.into(),
            vendor,
            owner,
            api,
            method,
            route,
            path,
            category,
            access,
            ip,
            user_agent,
        };
        let outcome = Outcome {
            decision,
            code,
            status,
            bytes_in,
            bytes_out,
            duration_us,
            upstream_us,
            count,
        };
        (opening, outcome)
    })
}
