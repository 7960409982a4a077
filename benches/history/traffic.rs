//! Requests as integrations make them: each key has its practice, its vendor, a few routes, addresses and programs, and its
//! own pace; days have a morning and a night; a few in a hundred fail.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use postern::journal::Batch;
use postern::model::{Decision, LaneId, Opening, Outcome, RequestId, Timestamp};

use crate::Made;

pub(crate) const DAY: i64 = 86_400_000_000;
/// 2025-08-24.
pub(crate) const FIRST_DAY: i64 = 20_324 * DAY;

const ROUTES: [(&str, &str, &str, &str); 12] = [
    ("GET", "/v1/appointments", "appointment", "read"),
    ("GET", "/v1/appointments/{id:int}", "appointment", "read"),
    ("POST", "/v1/appointments", "appointment", "write"),
    ("PUT", "/v1/appointments/{id:int}", "appointment", "write"),
    ("GET", "/v1/patients", "patient", "read"),
    ("GET", "/v1/patients/{id}", "patient", "read"),
    ("GET", "/v1/patients/{id}/summary", "patient clinical", "read"),
    ("POST", "/v1/patients", "patient", "write"),
    ("GET", "/v1/invoices/**", "billing.invoices", "read"),
    ("POST", "/v1/claims", "billing.claims", "write"),
    ("GET", "/v1/files/{id:uuid}", "files", "read"),
    ("GET", "/fhir/Observation", "clinical", "read"),
];

pub(crate) fn key_name(number: usize) -> String {
    format!("pk_{:09x}", number.wrapping_mul(0x9e37_79b1) & 0xf_ffff_ffff)
}

pub(crate) fn practice_name(number: usize) -> String {
    format!("practice-{}", number % 97)
}

struct Key {
    name: String,
    practice: String,
    vendor: String,
    owner: String,
    routes: Vec<usize>,
    addresses: Vec<IpAddr>,
    programs: Vec<String>,
}

pub(crate) struct Traffic {
    keys: Vec<Key>,
    /// How much of all is of the keys up to each.
    shares: Vec<f64>,
    random: fastrand::Rng,
}

impl Traffic {
    pub(crate) fn new(keys: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let mut sum = 0.0;
        let shares = (0..keys).map(|rank| {
            sum += 1.0 / ((rank % 499 + 10) as f64).sqrt();
            sum
        });
        let shares: Vec<f64> = shares.collect();
        let keys = (0..keys).map(|number| Self::key(number, &mut random)).collect();
        Self { keys, shares, random }
    }

    fn key(number: usize, random: &mut fastrand::Rng) -> Key {
        let address = |random: &mut fastrand::Rng| IpAddr::V4(Ipv4Addr::from(random.u32(..)));
        Key {
            name: key_name(number),
            practice: practice_name(number),
            vendor: format!("vendor-{}", number % 23),
            owner: format!("user{}", number % 311),
            routes: (0..random.usize(2..7)).map(|_| random.usize(..ROUTES.len())).collect(),
            addresses: (0..random.usize(1..4)).map(|_| address(random)).collect(),
            programs: (0..random.usize(1..3))
                .map(|version| {
                    format!("Vendor{}/{version}.{} (linux; x64)", number % 23, random.u8(..20))
                })
                .collect(),
        }
    }

    /// `window`: from which request of the day to which, of how many.
    pub(crate) fn batch(
        &mut self,
        lane: LaneId,
        after: u64,
        day: i64,
        window: (u64, u64, u64),
        count: u64,
    ) -> Made {
        let Self { keys, shares, random } = self;
        let all = shares.last().copied().unwrap_or(0.0);
        let records = (0..count).map(|number| {
            let request = window.0 as f64
                + (window.1 - window.0) as f64 * (number as f64 + random.f64()) / count as f64;
            let moment = FIRST_DAY + day * DAY + time_of_day(request / window.2 as f64);
            let wanted = random.f64() * all;
            let key = &keys[shares.partition_point(|share| *share < wanted).min(keys.len() - 1)];
            part(key, moment, random)
        });
        Arc::new(Batch::of(lane, "gateway-1", after, records))
    }
}

/// Slow nights, busy days.
fn time_of_day(share: f64) -> i64 {
    let turn = share.clamp(0.0, 1.0) * std::f64::consts::TAU;
    let warped = share.clamp(0.0, 1.0) + 0.12 * turn.sin();
    ((warped * DAY as f64) as i64).clamp(0, DAY - 1)
}

/// Of a spread like that of real durations and sizes.
fn around(middle: f64, spread: f64, random: &mut fastrand::Rng) -> u64 {
    let normal: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    (middle * (normal * spread).exp()) as u64
}

fn part<'a>(key: &'a Key, moment: i64, random: &mut fastrand::Rng) -> (Opening<'a>, Outcome<'a>) {
    let route = key.routes[random.usize(..key.routes.len())];
    let (method, pattern, category, access) = ROUTES[route];
    let (decision, code, status) = match random.u16(..10_000) {
        ..9_300 => (Decision::Allow, "", if method == "POST" { 201 } else { 200 }),
        9_300..9_600 => (Decision::Allow, "", 404),
        9_600..9_750 => (Decision::Allow, "", 304),
        9_750..9_900 => (Decision::Deny, "permission_missing", 403),
        9_900..9_970 => (Decision::Deny, "rate_limited", 429),
        9_970..9_990 => (Decision::Allow, "", 500),
        9_990..9_995 => (Decision::Allow, "upstream_timeout", 504),
        9_995..9_998 => (Decision::Allow, "client_gone", 0),
        _ => (Decision::Allow, "", 503),
    };
    let upstream = (decision == Decision::Allow)
        .then(|| around(9_000.0 + 2_000.0 * route as f64, 0.6, random));
    let opening = Opening {
        ts: Timestamp::from_micros(moment),
        request_id: RequestId::new(random.u128(..)),
        practice: key.practice.as_str().into(),
        key: key.name.as_str().into(),
        vendor: key.vendor.as_str().into(),
        owner: key.owner.as_str().into(),
        api: "standard".into(),
        method: method.into(),
        route: pattern.into(),
        path: pattern.into(),
        category: category.into(),
        access: access.into(),
        ip: key.addresses[random.usize(..key.addresses.len())],
        user_agent: key.programs[random.usize(..key.programs.len())].as_str().into(),
    };
    let outcome = Outcome {
        decision,
        code: code.into(),
        status,
        bytes_in: if method == "GET" { 0 } else { around(700.0, 0.5, random) },
        bytes_out: if status == 200 {
            around(2_500.0 + 900.0 * route as f64, 0.7, random)
        } else {
            310
        },
        duration_us: upstream.unwrap_or(0) + around(180.0, 0.4, random),
        upstream_us: upstream,
        count: 1,
    };
    (opening, outcome)
}
