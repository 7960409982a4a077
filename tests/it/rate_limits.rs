//! Rates are exact: what the upstream sees is what GCRA admits, whatever way requests take, and what is told is true.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::support::fixture::{request, request_with};
use super::support::http2::{block_on, exchange, good, prior_knowledge};
use super::support::limits::{Made, ask, left, over, path_of, routes, told};
use super::support::{Answer, Gateway, PATIENCE, Upstream, Wire, eventually, say};

const COSTS: [u32; 5] = [1, 2, 3, 5, 7];

/// A gateway whose only limits are these lines.
fn limited(upstream: &Upstream, limits: &str) -> Gateway {
    Gateway::over(upstream).routes(&routes()).top(&format!("limits: {{ {limits} }}")).start()
}

fn status(gateway: &Gateway, bytes: &[u8]) -> u16 {
    gateway.send(bytes).status
}

/// One of a hundred: a limit that nothing comes back to while the test runs, and what arrives at it.
struct Pattern {
    key: Made,
    burst: u32,
    costs: Vec<u32>,
    /// So many are sent before the first of them is answered.
    at_once: usize,
}

impl Pattern {
    /// What GCRA admits: where no time passes its bucket is a number of units.
    fn reference(&self) -> Vec<u32> {
        let mut units = self.burst;
        let admitted = |cost: &u32| {
            let taken = (*cost).min(self.burst);
            let fits = taken <= units;
            units -= if fits { taken } else { 0 };
            fits
        };
        self.costs.iter().copied().filter(admitted).collect()
    }

    /// Sends it, and gives the costs of what was admitted.
    fn play(&self, gateway: &Gateway) -> Vec<u32> {
        let mut wire = gateway.wire();
        let mut admitted = Vec::new();
        for group in self.costs.chunks(self.at_once) {
            let bytes: Vec<u8> =
                group.iter().flat_map(|cost| self.key.request(&path_of(*cost))).collect();
            assert!(wire.send(&bytes));
            for cost in group {
                let answer = wire.answer();
                match answer.status {
                    200 => admitted.push(*cost),
                    _ => drop(over(&answer, "rate_limited", "key")),
                }
            }
        }
        admitted
    }
}

/// At the boundary on purpose: some ask for exactly what there is, some for one more.
fn costs_of(burst: u32) -> Vec<u32> {
    let mut costs = Vec::new();
    let mut units = 0;
    let wanted = burst + fastrand::u32(0..=burst);
    while units < wanted {
        let cost = if fastrand::bool() { 1 } else { COSTS[fastrand::usize(..COSTS.len())] };
        costs.push(cost);
        units += cost;
    }
    costs.extend([1; 7]);
    costs
}

#[test]
fn a_hundred_random_limits_admit_what_a_reference_admits() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "key: { rate: 1/d }, practice: { rate: 1000000/d }");
    let seed = fastrand::get_seed();
    say(&format!("seed {seed}"));
    let patterns: Vec<Pattern> = (0..100)
        .map(|_| {
            let burst = *fastrand::choice(&[1, 2, 3, 10, fastrand::u32(1..=40)]).unwrap();
            let rate = format!("{}/{}d", fastrand::u32(1..=3), fastrand::u32(1..=9));
            let key = Made::by(&gateway, &json!({ "rate": rate, "burst": burst }));
            Pattern { key, burst, costs: costs_of(burst), at_once: fastrand::usize(1..=8) }
        })
        .collect();
    thread::scope(|scope| {
        for group in patterns.chunks(25) {
            let gateway = &gateway;
            scope.spawn(move || {
                for (n, pattern) in group.iter().enumerate() {
                    let admitted = pattern.play(gateway);
                    assert_eq!(admitted, pattern.reference(), "{n}: {:?}", pattern.costs);
                }
            });
        }
    });
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for seen in upstream.take() {
        *arrived.entry(seen.head.one("x-postern-key-id").unwrap().to_owned()).or_default() += 1;
    }
    for pattern in &patterns {
        let count = arrived.remove(&pattern.key.id).unwrap_or_default();
        assert_eq!(count, pattern.reference().len(), "seed {seed}, burst {}", pattern.burst);
    }
    assert!(arrived.is_empty(), "{arrived:?}");
}

/// Twenty a second for a while: bounded from both sides by the times between which requests can have arrived.
#[test]
fn seconds_of_a_fast_limit_admit_as_many_as_came_back() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "key: { rate: 20/s, burst: 40 }");
    let mut wire = gateway.wire();
    let bytes = request("GET", "/v1/appointments/1", "key-all");
    // The first use of any key is a slow one.
    assert_eq!(ask(&mut wire, &request("GET", "/v1/appointments/1", "key-read")).status, 200);
    let first_sent = Instant::now();
    assert_eq!(ask(&mut wire, &bytes).status, 200);
    let first_answered = Instant::now();
    let (mut admitted, mut refused) = (1, 0);
    let (mut last_answered, mut longest) = (first_answered, Duration::ZERO);
    // Up to a refusal, at which everything that came back is taken.
    let last_sent = loop {
        let sent = Instant::now();
        let answer = ask(&mut wire, &bytes);
        longest = longest.max(last_answered.elapsed());
        last_answered = Instant::now();
        match answer.status {
            200 => admitted += 1,
            _ => refused += 1,
        }
        if answer.status != 200
            && refused > 20
            && first_sent.elapsed() > Duration::from_millis(1_500)
        {
            break sent;
        }
        assert!(first_sent.elapsed() < 2 * PATIENCE, "{admitted} admitted, {refused} refused");
    };
    let came_back =
        |from: Instant, to: Instant| to.saturating_duration_since(from).as_millis() / 50;
    let most = 40 + came_back(first_sent, last_answered);
    let least = 40 + came_back(first_answered, last_sent);
    assert!(admitted <= most, "{admitted} of {most}");
    // Two seconds of silence would have filled the bucket, and what comes to a full one is lost.
    assert!(admitted >= least || longest > Duration::from_secs(2), "{admitted} of {least}");
    assert_eq!(upstream.count() as u128, admitted + 1);
}

/// RL-01: ten at once, and the eleventh.
#[test]
fn the_eleventh_of_ten_is_refused_and_told_when() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "key: { rate: 10/min }");
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments/1", "key-all").repeat(11));
    for n in (0..10).rev() {
        let answer = wire.answer();
        assert_eq!((answer.status, left(&answer, "key")), (200, n));
    }
    let answer = wire.answer();
    let problem = over(&answer, "rate_limited", "key");
    assert!((1..=6).contains(&problem["retry_after"].as_u64().unwrap()), "{problem}");
    assert_eq!(upstream.count(), 10);
    assert!(!answer.closes(), "a limit is no reason to lose a connection");
}

/// RL-04: HTTP/1.1 and HTTP/2, two connections, two listeners, GET and PUT: one bucket.
#[test]
fn a_key_has_one_bucket_whatever_way_it_comes() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream)
        .listen("gateway: [127.0.0.1:0, 127.0.0.1:0]\nadmin: 127.0.0.1:0")
        .top("limits: { key: { rate: 12/d } }")
        .start();
    let target = "/v1/appointments/1";
    let mut admitted = 0;
    for round in 0..4 {
        for address in &gateway.addresses {
            let mut one = Wire::to(*address);
            let answer = ask(&mut one, &request("GET", target, "key-all"));
            admitted += u32::from(answer.status == 200);
            let put = ask(&mut Wire::to(*address), &request("PUT", target, "key-all"));
            admitted += u32::from(put.status == 200);
            let status = block_on(async {
                let mut sender = prior_knowledge(*address).await;
                let asked = good("GET", target).body(Bytes::new()).unwrap();
                let answer = exchange(&mut sender, asked).await.unwrap();
                assert!(answer.headers().contains_key("ratelimit"));
                answer.status().as_u16()
            });
            admitted += u32::from(status == 200);
        }
        let expected = if round == 0 { 6 } else { 12 };
        assert_eq!(admitted, expected);
    }
    assert_eq!(upstream.count(), 12);
}

/// RL-10.
#[test]
fn of_a_thousand_at_once_ten_pass() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "key: { rate: 10/d }");
    let bytes = request("GET", "/v1/appointments/1", "key-all").repeat(4);
    let mut wires: Vec<Wire> = (0..250).map(|_| gateway.wire()).collect();
    for wire in &mut wires {
        assert!(wire.send(&bytes));
    }
    let mut passed = 0;
    for wire in &mut wires {
        for _ in 0..4 {
            let answer = wire.answer();
            passed += u32::from(answer.status == 200);
            assert!(answer.status == 200 || answer.code() == "rate_limited", "{}", answer.text());
        }
    }
    assert_eq!((passed, upstream.count()), (10, 10));
}

/// One in three seconds: what is told is whole seconds and the truth. The clock is asked at both ends, so a slow machine
/// makes a round say nothing, and never something wrong.
#[test]
fn who_waits_as_long_as_told_passes_and_who_waits_less_does_not() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "key: { rate: 1/3s, burst: 1 }");
    let bytes = request("GET", "/v1/appointments/1", "key-all");
    let mut wire = gateway.wire();
    assert_eq!(status(&gateway, &request("GET", "/v1/appointments/1", "key-read")), 200);
    let mut was_early = false;
    for _ in 0..5 {
        let sent = Instant::now();
        assert_eq!(ask(&mut wire, &bytes).status, 200);
        let problem = over(&ask(&mut wire, &bytes), "rate_limited", "key");
        let answered = Instant::now();
        let millis = Duration::from_millis(problem["retry_after_ms"].as_u64().unwrap());
        assert!(problem["retry_after"].as_u64().unwrap() <= 3);
        let early = sent + Duration::from_millis(2_700);
        eventually("nine tenths of the time", || Instant::now() >= early);
        let answer = ask(&mut wire, &bytes);
        if sent.elapsed() < Duration::from_secs(3) {
            over(&answer, "rate_limited", "key");
            was_early = true;
        }
        if answer.status != 200 {
            eventually("the time that was told", || Instant::now() >= answered + millis);
            assert_eq!(ask(&mut wire, &bytes).status, 200);
        }
        if was_early {
            return;
        }
        // The next round begins with an empty bucket: the last request has just passed.
        eventually("a full bucket", || ask(&mut wire, &bytes).status == 200);
        let full = Instant::now() + Duration::from_secs(3);
        eventually("a full bucket again", || Instant::now() >= full);
    }
    panic!("no round was fast enough to ask in time");
}

#[test]
fn costs_are_weighed_and_never_more_than_the_bucket() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "key: { rate: 10/d }");
    let get = |target: &str| gateway.get(target);
    assert_eq!(left(&get("/v1/cost/5"), "key"), 5);
    assert_eq!(left(&get("/v1/cost/2"), "key"), 3);
    let refused = get("/v1/cost/5");
    over(&refused, "rate_limited", "key");
    assert_eq!(left(&refused, "key"), 3, "a refusal takes nothing");
    assert_eq!(left(&get("/v1/cost/3"), "key"), 0);
    over(&get("/v1/appointments/1"), "rate_limited", "key");
    // A thousand units out of a bucket of ten are all of it, once.
    let other = |target: &str| gateway.request("GET", target, "key-read");
    assert_eq!(left(&other("/v1/cost/1000"), "key"), 0);
    let problem = over(&other("/v1/cost/1000"), "rate_limited", "key");
    let seconds = problem["retry_after"].as_u64().unwrap();
    assert!((86_000..=86_400).contains(&seconds), "all of it must come back: {problem}");
    let problem = over(&other("/v1/appointments/1"), "rate_limited", "key");
    let seconds = problem["retry_after"].as_u64().unwrap();
    assert!((8_000..=8_640).contains(&seconds), "one of ten a day: {problem}");
    assert_eq!(upstream.count(), 4);
}

#[test]
fn what_is_told_is_what_is_configured() {
    let upstream = Upstream::ok();
    let gateway = limited(
        &upstream,
        "key: { rate: 100/h, burst: 50 }, vendor: { rate: 1000/h }, practice: { rate: 2000/d, burst: 400 }, \
         category: { appointment: { rate: 30/d } }, daily_quota: { requests: 9000, bytes: 1GiB }, \
         max_concurrent_per_key: 64",
    );
    let (policies, limits) = told(&gateway.get("/v1/appointments/1")).unwrap();
    let by_name = |name: &str| {
        let at = policies.iter().position(|policy| policy.limit == name).unwrap();
        let of = |parameter: &str| policies[at].parameters.get(parameter).cloned();
        (of("q").unwrap(), of("w"), of("qu"), limits[at].number("r"))
    };
    let expected = [
        ("key", "50", Some("1800"), None, 49),
        ("vendor", "1000", Some("3600"), None, 999),
        ("practice", "400", Some("17280"), None, 399),
        ("category:appointment", "30", Some("86400"), None, 29),
        ("daily_requests", "9000", Some("86400"), None, 8999),
        ("daily_bytes", "1073741824", Some("86400"), Some("content-bytes"), 1 << 30),
        ("concurrent", "64", None, Some("concurrent-requests"), 63),
    ];
    for (name, quota, window, unit, left) in expected {
        let own = |text: Option<&str>| text.map(str::to_owned);
        assert_eq!(by_name(name), (quota.to_owned(), own(window), own(unit), left), "{name}");
    }
    assert_eq!((policies.len(), &*policies[0].limit), (7, "category:appointment"));
    // A path of another category, a refusal that no limit made, and a public path without one of its own.
    assert_eq!(told(&gateway.get("/v1/patients")).unwrap().0.len(), 6);
    assert!(told(&gateway.request("GET", "/v1/patients", "key-none")).is_none());
    assert!(told(&gateway.request("GET", "/v1/patients", "nobody")).is_none());
}

/// The upstream's own fields of the same names are not the gateway's to repeat where it has limits.
#[test]
fn the_upstreams_own_fields_are_replaced() {
    let fields = "RateLimit: \"theirs\";r=1\r\nRateLimit-Policy: \"theirs\";q=1\r\n";
    let upstream = Upstream::answering(&super::support::upstream::ok(fields, "ok"));
    let gateway = limited(&upstream, "key: { rate: 10/d }");
    let (policies, _) = told(&gateway.get("/v1/appointments/1")).unwrap();
    assert_eq!(policies.iter().map(|told| &*told.limit).collect::<Vec<_>>(), ["key"]);
}

#[test]
fn who_am_i_takes_nothing() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "key: { rate: 2/d }");
    for _ in 0..5 {
        assert_eq!(gateway.get("/.well-known/postern/whoami").status, 200);
    }
    assert_eq!(left(&gateway.get("/v1/appointments/1"), "key"), 1);
    assert_eq!(left(&gateway.get("/v1/appointments/1"), "key"), 0);
    over(&gateway.get("/v1/appointments/1"), "rate_limited", "key");
    for _ in 0..5 {
        assert_eq!(gateway.get("/.well-known/postern/whoami").status, 200);
    }
}

/// From an address that a trusted proxy tells.
fn public(gateway: &Gateway, target: &str, source: &str) -> Answer {
    let head =
        format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-For: {source}\r\n\r\n");
    gateway.send(head.as_bytes())
}

#[test]
fn public_routes_are_counted_by_source() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream)
        .routes(&routes())
        .proxy("trusted_proxies: [127.0.0.1]")
        .top(
            "limits: { key: { rate: 4/d }, practice: { rate: 1/d }, daily_quota: { requests: 1 } }",
        )
        .start();
    for n in (0..4).rev() {
        let answer = public(&gateway, "/v1/status", "198.51.100.7");
        assert_eq!((answer.status, left(&answer, "source")), (200, n), "{}", answer.text());
    }
    let problem: Value =
        over(&public(&gateway, "/v1/status", "198.51.100.7"), "rate_limited", "source");
    assert_eq!(problem["allowed"], "4/d");
    let dear = public(&gateway, "/v1/open/dear", "198.51.100.8");
    assert_eq!((dear.status, left(&dear, "source")), (200, 1));
    over(&public(&gateway, "/v1/open/dear", "198.51.100.8"), "rate_limited", "source");
    // Whoever has a key is counted by it, and not by the address.
    let forwarded = "X-Forwarded-For: 198.51.100.7\r\n";
    let keyed = request_with("GET", "/v1/appointments/1", "key-all", forwarded, "");
    assert_eq!(gateway.send(&keyed).status, 200);
    // And a key brings nothing on a public path.
    let keyed = request_with("GET", "/v1/status", "key-read", forwarded, "");
    over(&gateway.send(&keyed), "rate_limited", "source");
    assert_eq!(upstream.count(), 6);
}
