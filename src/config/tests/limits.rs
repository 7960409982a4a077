//! `limits` and `cost`: what they mean, and each number that cannot be counted, where it stands.

use std::num::NonZeroU32;

use super::*;

const ROUTE: &str = "version: 1\nroutes:\n  - path: /v1/x\n    category: files\n";

#[track_caller]
fn check(limits: &str, faults: &[&str]) {
    let found = given(&format!("{MAIN}limits:\n  {limits}\n")).faults();
    assert_eq!(found.len(), faults.len(), "{limits}: {found:#?}");
    for (found, wanted) in found.iter().zip(faults) {
        assert!(found.contains(wanted), "{limits}: {found}\nhas no {wanted}");
        assert!(found.starts_with("p/postern.yaml:1"), "{limits}: {found} says not where");
    }
}

#[test]
fn limits_are_off_where_they_are_absent() {
    for text in
        ["", "limits: {}\n", "limits: { mode: enforce, store_down: local, daily_quota: {} }\n"]
    {
        let limits = given(&format!("{MAIN}{text}")).load().unwrap().limits;
        assert_eq!(limits, Limits::default(), "{text}");
    }
}

#[test]
fn limits_of_the_contract_are_read() {
    let limits = with_limits(
        "mode: observe, key: { rate: 600/min, burst: 100 }, vendor: { rate: 6000/min }, practice: { rate: 6000/min }, \
         category: { files: { rate: 60/min }, billing.claims: { rate: 7/2h } }, \
         daily_quota: { requests: 30000, bytes: 3GiB }, failed_auth_per_ip: { rate: 5/10s }, \
         max_concurrent_per_key: 64, store_down: deny",
    )
    .limits;
    let rate =
        |count, seconds, burst| RateLimit::new(count, Duration::from_secs(seconds), burst).ok();
    let contract = Limits {
        mode: LimitMode::Observe,
        key: rate(600, 60, Some(100)),
        vendor: rate(6000, 60, None),
        practice: rate(6000, 60, None),
        categories: vec![
            ("files".to_owned(), rate(60, 60, None).unwrap()),
            ("billing.claims".to_owned(), rate(7, 7200, None).unwrap()),
        ],
        daily_requests: Some(30_000),
        daily_bytes: Some(3 << 30),
        failed_auth_per_ip: rate(5, 10, None),
        max_concurrent_per_key: Some(64),
        store_down: StoreDown::Deny,
    };
    assert_eq!(limits, contract);
}

/// RL-13.
#[test]
fn what_cannot_be_counted_is_refused_where_it_stands() {
    for (limits, fault) in [
        (
            "key: { rate: 0/s }",
            "12:16: `limits.key.rate`: expected a rate such as 600/min, found `0/s`: it lets nothing through — leave the limit out",
        ),
        ("key: { rate: 10/0s }", "it lets nothing through"),
        (
            "key: { rate: -1/s }",
            "12:16: `limits.key.rate`: expected a rate such as 600/min, found `-1/s`",
        ),
        (
            "key: { rate: NaN }",
            "12:16: `limits.key.rate`: expected a rate such as 600/min, found `NaN`",
        ),
        ("key: { rate: .nan/s }", "found `.nan/s`"),
        ("key: { rate: 1e3/s }", "found `1e3/s`"),
        ("key: { rate: 1.5/s }", "found `1.5/s`"),
        ("key: { rate: 600 }", "did you mean 600/min?"),
        ("key: { rate: 600/minute }", "did you mean 600/min?"),
        (
            "key: { rate: 4294967296/s }",
            "12:8: this limit cannot be counted: it is more than 4294967295 — take a smaller number",
        ),
        ("key: { rate: 99999999999999999999/s }", "12:16: `limits.key.rate`"),
        ("key: { rate: 1/99999999999999999d }", "12:16: `limits.key.rate`"),
        (
            "key: { rate: 1/4000d }",
            "its bucket takes more than ten years to fill — take a smaller number, or a shorter window",
        ),
        ("key: { rate: 1/d, burst: 4000 }", "its bucket takes more than ten years to fill"),
        ("key: { rate: 1/s, burst: 0 }", "12:28: `limits.key.burst`"),
        ("key: { rate: 1/s, burst: -1 }", "it is negative"),
        ("key: { rate: 1/s, burst: 4294967296 }", "out of range"),
        ("key: { rate: 1/s, burst: NaN }", "12:28: `limits.key.burst`"),
        ("key: { burst: 5 }", "has no `rate` — add `rate: 600/min`"),
        ("key: 600/min", "12:8: `limits.key`"),
        ("category: { files: { rate: 0/s } }", "12:30: `limits.category.files.rate`"),
        ("category: { flies: { rate: 1/s } }", "did you mean `files`?"),
        ("daily_quota: { requests: 0 }", "12:28: `limits.daily_quota.requests`"),
        ("daily_quota: { requests: NaN }", "12:28: `limits.daily_quota.requests`"),
        ("daily_quota: { bytes: -1 }", "12:25: `limits.daily_quota.bytes`"),
        ("daily_quota: { bytes: 3GB }", "did you mean 3GiB?"),
        ("max_concurrent_per_key: 0", "12:27: `limits.max_concurrent_per_key`"),
        ("max_concurrent_per_key: 4294967296", "out of range"),
        ("mode: watch", "12:9: `limits.mode`"),
        ("store_down: allow", "12:15: `limits.store_down`"),
        ("keys: { rate: 1/s }", "did you mean `key`?"),
    ] {
        check(limits, &[fault]);
    }
    check("vendor: { rate: 0/s }\n  practice: { rate: 1/s, burst: 0 }", &["12:19", "13:33"]);
}

#[test]
fn a_route_costs_one_unless_it_says_otherwise() {
    let cost = |line: &str| {
        let map = format!("{ROUTE}{line}");
        let config = given(MAIN).file("p/routes.yaml", map).load()?;
        Ok::<_, Vec<Fault>>(config.policy.table.rules()[0].cost)
    };
    assert_eq!(cost("").unwrap(), NonZeroU32::MIN);
    assert_eq!(cost("    cost: 5\n").unwrap().get(), 5);
    for (written, fault) in [
        ("0", "p/routes.yaml:5:11: `routes.cost`"),
        ("-5", "it is negative"),
        ("NaN", "p/routes.yaml:5:11"),
        ("4294967296", "out of range"),
        ("2.5", "p/routes.yaml:5:11"),
    ] {
        let faults = cost(&format!("    cost: {written}\n")).unwrap_err();
        assert!(
            faults.len() == 1 && faults[0].to_string().contains(fault),
            "{written}: {faults:?}"
        );
    }
}
