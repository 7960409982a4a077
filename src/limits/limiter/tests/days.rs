//! Quotas of a UTC day, and limits that change while they are counted.

use super::*;

fn on(plan: &Plan, day: u32) -> Charge<'_> {
    Charge { clock: Clock { day, left: DAY / 4 }, ..charge(plan, 1) }
}

#[test]
fn the_day_is_that_of_utc_and_ends_with_it() {
    let at = |micros| Clock::at(Timestamp::from_micros(micros));
    assert_eq!(at(0), Clock { day: 0, left: DAY });
    assert_eq!(at(86_400_000_000 - 1), Clock { day: 0, left: 1000 });
    assert_eq!(at(86_400_000_000), Clock { day: 1, left: DAY });
    assert_eq!(at(1_800_000_000_000_000).day, 20_833);
    assert_eq!(at(-1).left, 1000, "before 1970 nobody counts, and nothing breaks");
}

#[test]
fn a_new_day_brings_all_of_a_quota_back() {
    let plan = plan("daily_quota: { requests: 2, bytes: 1KiB }");
    let limiter = Limiter::default();
    let spent = limiter.take(&on(&plan, 5)).outcome.unwrap();
    limiter.end(spent, 1000);
    let spent = limiter.take(&on(&plan, 5)).outcome.unwrap();
    assert_eq!(refused(&limiter.take(&on(&plan, 5))), (LimitKind::DailyRequests, Some(DAY / 4)));
    // A body is counted when it has moved: the request that goes over the quota is served, the next is not.
    limiter.end(spent, 100);
    let told = limiter.look(&on(&plan, 6));
    assert_eq!(left_of(&told, LimitKind::DailyRequests), 2);
    assert_eq!(left_of(&told, LimitKind::DailyBytes), 1024);
    let over = limiter.take(&on(&plan, 6)).outcome.unwrap();
    limiter.end(over, 5000);
    assert_eq!(refused(&limiter.take(&on(&plan, 6))), (LimitKind::DailyBytes, Some(DAY / 4)));
    assert!(limiter.take(&on(&plan, 7)).outcome.is_ok());
}

#[test]
fn what_began_yesterday_counts_on_the_day_that_it_ended() {
    let plan = plan("daily_quota: { requests: 9, bytes: 1000B }");
    let limiter = Limiter::default();
    let long = limiter.take(&on(&plan, 5)).outcome.unwrap();
    let next = limiter.take(&on(&plan, 9)).outcome.unwrap();
    limiter.end(long, 600);
    limiter.end(next, 1);
    let told = limiter.look(&on(&plan, 9));
    assert_eq!(left_of(&told, LimitKind::DailyBytes), 399);
    assert_eq!(left_of(&told, LimitKind::DailyRequests), 8);
}

#[test]
fn a_clock_that_is_set_back_begins_no_new_day() {
    let plan = plan("daily_quota: { requests: 2 }");
    let limiter = Limiter::default();
    for day in [8, 7] {
        assert!(limiter.take(&on(&plan, day)).outcome.is_ok());
    }
    // The requests around midnight come in any order.
    for day in [8, 7, 8, 7] {
        assert!(limiter.take(&on(&plan, day)).outcome.is_err(), "{day}");
    }
    assert!(limiter.take(&on(&plan, 9)).outcome.is_ok());
}

/// A clock that was years ahead for a moment must not make a daily quota one for years.
#[test]
fn a_clock_that_was_far_ahead_holds_nobody_for_longer_than_its_day() {
    let plan = plan("daily_quota: { requests: 2 }");
    let limiter = Limiter::default();
    for _ in 0..2 {
        assert!(limiter.take(&on(&plan, 47_000)).outcome.is_ok());
    }
    assert!(limiter.take(&on(&plan, 20_000)).outcome.is_err(), "it counts for today");
    assert!(limiter.take(&on(&plan, 20_001)).outcome.is_ok());
}

#[test]
fn what_was_used_before_the_start_counts() {
    let plan = plan("daily_quota: { requests: 10, bytes: 100B }");
    let limiter = Limiter::default();
    limiter.used_before(1, 5, 8, 99);
    // Told twice, and of another day: it is what it is.
    limiter.used_before(1, 5, 8, 99);
    limiter.used_before(1, 4, 9, 0);
    let spent = limiter.take(&on(&plan, 5)).outcome.unwrap();
    assert_eq!(left_of(&limiter.look(&on(&plan, 5)), LimitKind::DailyRequests), 1);
    limiter.end(spent, 1);
    assert!(limiter.take(&on(&plan, 5)).outcome.is_err());
    assert!(limiter.take(&on(&plan, 6)).outcome.is_ok());
}

#[test]
fn unchanged_limits_keep_their_state_through_a_reload() {
    let text = "key: { rate: 10/h }, practice: { rate: 20/h }, category: { files: { rate: 5/h }, patient: { rate: 7/h } }, \
                daily_quota: { requests: 8 }, max_concurrent_per_key: 6";
    let first = plan(text);
    let limiter = Limiter::default();
    for _ in 0..4 {
        limiter.take(&charge(&first, 1)).outcome.unwrap();
    }
    let before = limiter.look(&charge(&first, 1));
    let again = plan_after(text, Some(&first));
    assert_eq!(limiter.look(&charge(&again, 1)), before);
    // Categories that trade places, come and go keep what is counted of each.
    let turned = text.replace(
        "files: { rate: 5/h }, patient: { rate: 7/h }",
        "system: { rate: 3/h }, patient: { rate: 7/h }, files: { rate: 5/h }",
    );
    let turned = plan_after(&turned, Some(&again));
    let left = |plan: &Plan, name: &str| {
        let told = limiter.look(&charge(plan, 1));
        told.iter().find(|standing| plan.name(standing.kind) == name).map(|standing| standing.left)
    };
    let of = |plan: &Plan| {
        ["system", "files", "patient"].map(|name| left(plan, &format!("category:{name}")))
    };
    assert_eq!(of(&turned), [Some(3), Some(1), Some(3)]);
    let off = plan_after("", Some(&turned));
    assert!(off.is_free(&charge(&off, 1).who));
    let on = plan_after(text, Some(&off));
    assert_eq!(of(&on), [None, Some(1), Some(3)]);
    assert_eq!(left(&on, "daily_requests"), Some(4));
}

#[test]
fn a_changed_limit_takes_the_new_rate_from_the_next_request_on() {
    let slow = plan("key: { rate: 1/d, burst: 4 }, category: { files: { rate: 1/d } }");
    let fast = plan_after(
        "key: { rate: 10/s, burst: 8 }, category: { files: { rate: 2/s } }",
        Some(&slow),
    );
    let limiter = Limiter::default();
    assert!(limiter.take(&charge(&slow, 1)).outcome.is_ok());
    let told = limiter.look(&charge(&fast, 1));
    assert_eq!(left_of(&told, LimitKind::Key), 3);
    // What is refused is told a time, and this time is enough.
    let verdict = limiter.take(&charge(&fast, 1));
    assert_eq!(refused(&verdict), (LimitKind::Category(0), Some(SECOND / 2)));
    let at = |nanos: u64| Charge { at: Moment(START.0 + nanos), ..charge(&fast, 1) };
    assert!(limiter.take(&at(SECOND / 2 - 1)).outcome.is_err());
    assert!(limiter.take(&at(SECOND / 2)).outcome.is_ok());
}

#[test]
fn concurrency_that_is_switched_off_and_on_counts_what_it_let_in() {
    let on = plan("max_concurrent_per_key: 2");
    let off = plan_after("", Some(&on));
    let limiter = Limiter::default();
    let first = limiter.take(&charge(&on, 1)).outcome.unwrap();
    let uncounted = limiter.take(&charge(&off, 1)).outcome.unwrap();
    limiter.end(uncounted, 0);
    let second = limiter.take(&charge(&on, 1)).outcome.unwrap();
    assert!(limiter.take(&charge(&on, 1)).outcome.is_err());
    limiter.end(first, 0);
    limiter.end(second, 0);
    assert_eq!(left_of(&limiter.look(&charge(&on, 1)), LimitKind::Concurrent), 2);
}

#[test]
fn sources_are_told_exactly_how_long_to_wait() {
    let plan =
        plan("key: { rate: 6/min, burst: 3 }, failed_auth_per_ip: { rate: 6/min, burst: 2 }");
    let limiter = Limiter::default();
    let (ip, start) = (IpAddr::from([192, 0, 2, 7]), Instant::now());
    let after = |nanos| start + Duration::from_nanos(nanos);
    let failed = |nanos| limiter.failed(&plan, ip, after(nanos));
    assert!(failed(0).is_ok() && failed(0).is_ok());
    let refusal = failed(0).unwrap_err();
    let over = refusal.overrun().unwrap();
    assert_eq!((refusal.code(), over.wait), ("too_many_failures", Some(Duration::from_secs(10))));
    assert!(failed(10 * SECOND - 1).is_err() && failed(10 * SECOND).is_ok());
    let public = |nanos, cost| {
        limiter.take_public(&plan, ip, NonZeroU32::new(cost).unwrap(), after(nanos)).unwrap()
    };
    assert!(public(0, 2).1.is_ok(), "failures are counted apart");
    let (standing, outcome) = public(0, 2);
    assert_eq!((standing.left, standing.reset), (1, Some(20)));
    assert_eq!(outcome.unwrap_err().overrun().unwrap().wait, Some(Duration::from_secs(10)));
    assert!(public(10 * SECOND - 1, 2).1.is_err() && public(10 * SECOND, 2).1.is_ok());
}
