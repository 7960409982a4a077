//! Histories made up, and what must and must not be found in them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{KeyDigest, Permissions, PracticeId, SecretHash, Tally, Username};
use crate::store::access::Span;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A Friday.
fn now() -> Timestamp {
    at("2026-11-20T14:35:00Z")
}

fn key() -> SubscriberKey {
    SubscriberKey {
        id: KeyId::parse("4fJ2aB9xQ7Lm").unwrap(),
        practice: PracticeId::parse("north").unwrap(),
        name: "Bookings".into(),
        description: None,
        owner: Username::parse("dr-lee").unwrap(),
        created_by: Username::parse("root").unwrap(),
        created_at: at("2026-01-01T00:00:00Z"),
        api: "standard".into(),
        permissions: Permissions::default(),
        vendor: None,
        expires_at: None,
        allowed_ips: Box::default(),
        limits: None,
        enabled: true,
        revoked_at: None,
        replaces: None,
        replaced_by: None,
        overlap_ends: None,
        preview: "…".into(),
        digest: KeyDigest([1; 32]),
        hash: SecretHash("$argon2id$".into()),
        sealed: None,
    }
}

/// What there is if in each hour of the past there was what `asked` says: a store would give exactly this.
fn history(now: Timestamp, asked: impl Fn(Timestamp) -> Tally) -> Evidence {
    let (from, to) = days(now);
    let spans = calendar::filled(Vec::new(), from, to, Step::Hour);
    let past = spans.into_iter().filter(|span| span.start <= now);
    let hourly: Vec<Span> = past.map(|span| Span { tally: asked(span.start), ..span }).collect();
    let daily = hourly.iter().map(|span| Span {
        start: calendar::start(span.start, Step::Day),
        tally: span.tally.clone(),
    });
    let wanted = hours(now);
    let is_wanted =
        |span: &&Span| wanted.iter().any(|(from, to)| (*from..*to).contains(&span.start));
    Evidence {
        days: Series::of(daily),
        hours: Series::of(hourly.iter().filter(is_wanted).cloned()),
        refusals: Vec::new(),
    }
}

fn good(requests: u64) -> Tally {
    Tally { requests, ..Tally::default() }
}

fn found(key: &SubscriberKey, evidence: &Evidence, now: Timestamp) -> Vec<Alert> {
    let lifetimes = Lifetimes::default();
    of(&Watched { key, last_used: None, lifetimes: &lifetimes, evidence, now })
}

fn kinds(alerts: &[Alert]) -> Vec<Kind> {
    alerts.iter().map(|alert| alert.id.kind).collect()
}

fn hour_of_week(at: Timestamp) -> usize {
    usize::try_from(at.as_micros().rem_euclid(WEEK) / HOUR).unwrap()
}

fn any_tally() -> impl Strategy<Value = Tally> {
    let counts = prop_oneof![4 => 0_u64..2_000, 1 => any::<u64>(), 2 => Just(0)];
    (counts, 0_u64..=100, 0_u64..=100, 0_u64..=100).prop_map(
        |(requests, errors, client, denied)| {
            let part = |share: u64| requests / 300 * share;
            Tally {
                requests,
                errors: part(errors),
                client_errors: part(client),
                denied: part(denied),
                ..Tally::default()
            }
        },
    )
}

/// A moment within a year.
fn any_now() -> impl Strategy<Value = Timestamp> {
    (0..365 * DAY).prop_map(|by| calendar::moved(at("2026-03-01T00:00:00Z"), by))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a key does: if it does the same every week, nothing is to be said.
    #[test]
    fn what_repeats_itself_every_week_is_never_an_alert(
        now in any_now(), week in prop::collection::vec(any_tally(), 168),
    ) {
        let evidence = history(now, |hour| week[hour_of_week(hour)].clone());
        prop_assert_eq!(found(&key(), &evidence, now), []);
    }

    #[test]
    fn a_steady_key_that_asks_ten_times_as_much_is_a_spike(
        now in any_now(), usual in 0_u64..5_000, back in 0_i64..24,
    ) {
        let odd = calendar::moved(calendar::start(now, Step::Hour), -back * HOUR);
        let count = |hour| if hour == odd { usual * 10 + 200 } else { usual.max(1) };
        let alerts = found(&key(), &history(now, |hour| good(count(hour))), now);
        prop_assert!(kinds(&alerts).contains(&Kind::Spike), "{alerts:?}");
        let spike = alerts.iter().find(|alert| alert.id.episode == Episode::Hour(odd));
        let spike = spike.expect("of that hour");
        prop_assert_eq!(spike.figures.requests, Some(usual * 10 + 200));
        prop_assert!(spike.figures.usual_requests < spike.figures.requests);
    }

    /// Silence of any length from a working day to four weeks, and one episode of it all the while.
    #[test]
    fn a_key_that_spoke_every_hour_and_stopped_is_silent(
        now in any_now(), usual in 1_u64..100, hours in 7_i64..27 * 24,
    ) {
        let last = calendar::moved(calendar::start(now, Step::Hour), -hours * HOUR);
        let count = |hour| if hour <= last { usual } else { 0 };
        let alerts = found(&key(), &history(now, |hour| good(count(hour))), now);
        prop_assert_eq!(kinds(&alerts), [Kind::Silence], "{:?}", alerts);
        prop_assert_eq!(alerts[0].id.episode, Episode::Day(calendar::start(last, Step::Day)));
    }

    #[test]
    fn a_key_that_spoke_once_a_day_and_stopped_is_silent(
        now in any_now(), days in 3_i64..27, spoken_at in 0_i64..24,
    ) {
        let today = calendar::start(now, Step::Day);
        let last = calendar::moved(today, -days * DAY);
        let is_spoken = |hour: Timestamp| {
            let day = calendar::start(hour, Step::Day);
            day <= last && hour == calendar::moved(day, spoken_at * HOUR)
        };
        let evidence = history(now, |hour| good(u64::from(is_spoken(hour))));
        let alerts = found(&key(), &evidence, now);
        prop_assert_eq!(kinds(&alerts), [Kind::Silence], "{:?}", alerts);
        prop_assert_eq!(alerts[0].id.episode, Episode::Day(last));
    }

    #[test]
    fn a_working_key_that_begins_to_fail_is_a_burst(
        now in any_now(), usual in 40_u64..5_000, kind in 0_usize..3, back in 0_i64..24,
    ) {
        let odd = calendar::moved(calendar::start(now, Step::Hour), -back * HOUR);
        let asked = |hour| {
            let mut tally = good(usual);
            if hour == odd {
                let kinds = [&mut tally.errors, &mut tally.client_errors, &mut tally.denied];
                *kinds.into_iter().nth(kind).unwrap() = usual * 6 / 10;
            }
            tally
        };
        let alerts = found(&key(), &history(now, asked), now);
        prop_assert_eq!(kinds(&alerts), [Kind::ErrorBurst], "{:?}", alerts);
        prop_assert_eq!((alerts[0].since, alerts[0].id.episode), (odd, Episode::Hour(odd)));
    }

    #[test]
    fn nothing_makes_it_panic(
        now in any::<i64>(), created in any::<i64>(), used in any::<Option<i64>>(), ends in any::<Option<i64>>(),
        spans in prop::collection::vec((any::<i64>(), any_tally()), 0..40),
        near in prop::collection::vec((0_i64..60 * 24, any_tally()), 0..200),
        refusals in prop::collection::vec(("[a-z. ]{0,9}", "[a-z ]{0,9}|read|write", any::<u64>()), 0..5),
        age in any::<Option<u32>>(),
    ) {
        let now = Timestamp::from_micros(now);
        let span = |(start, tally): (i64, Tally)| Span { start: Timestamp::from_micros(start), tally };
        let hour = calendar::start(now, Step::Hour);
        let near = near.into_iter().map(|(back, tally)| Span { start: calendar::moved(hour, -back * HOUR), tally });
        let hours = Series::of(spans.into_iter().map(span).chain(near.clone()));
        let days = Series::of(near.map(|span| Span { start: calendar::start(span.start, Step::Day), ..span }));
        let refusals = refusals.into_iter().map(|(category, access, count)| RefusalCount {
            day: calendar::start(now, Step::Day), code: "permission_denied".into(), category: category.into(),
            access: access.into(), count,
        });
        let evidence = Evidence { days, hours, refusals: refusals.collect() };
        let time = Timestamp::from_micros;
        let key = SubscriberKey { created_at: time(created), expires_at: ends.map(time), ..key() };
        let age = age.map(|days| Duration::from_secs(u64::from(days) * 86_400));
        let lifetimes = Lifetimes { idle_expiry: None, max_age: None, rotate_after: age };
        let watched = Watched { key: &key, last_used: used.map(time), lifetimes: &lifetimes, evidence: &evidence, now };
        for alert in of(&watched) {
            prop_assert!(alert.sentence.ends_with('.'), "{}", alert.sentence);
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written(kind in 0_usize..7, key in "[0-9A-Za-z]{12}", now in any_now()) {
        let (day, hour) = (calendar::start(now, Step::Day), calendar::start(now, Step::Hour));
        let before = Severity::ALL.map(|severity| Episode::Before(day, severity));
        for episode in before.into_iter().chain([Episode::Day(day), Episode::Hour(hour)]) {
            let id = AlertId { kind: Kind::ALL[kind], key: KeyId::parse(&key).unwrap(), episode };
            prop_assert_eq!(AlertId::parse(&id.to_string()), Ok(id));
        }
    }
}

#[test]
fn what_is_no_id_of_an_alert_is_none() {
    for bad in [
        "",
        ":",
        "spike",
        "spike:4fJ2aB9xQ7Lm",
        "spike:4fJ2aB9xQ7Lm:today",
        "spike:x:2026-11-20",
        "spikes:4fJ2aB9xQ7Lm:2026-11-20",
        "spike:4fJ2aB9xQ7Lm:2026-11-20:1",
        "spike:4fJ2aB9xQ7Lm:2026-11-20T24",
        "spike:4fJ2aB9xQ7Lm:2026-11-20T09:critical",
        "expiry_near:4fJ2aB9xQ7Lm:2026-11-20:critical:",
        "spike:4fJ2aB9xQ7Lm:2026-11-20T00:00:00Z",
    ] {
        assert!(AlertId::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn three_requests_instead_of_one_are_no_spike() {
    let today = calendar::start(now(), Step::Day);
    let asked = |hour: Timestamp| {
        let is_noon = calendar::time(hour) == "12:00";
        good(match (is_noon, hour >= today) {
            (true, true) => 3,
            (true, false) => 1,
            (false, _) => 0,
        })
    };
    assert_eq!(found(&key(), &history(now(), asked), now()), []);
}

#[test]
fn an_export_that_comes_five_hours_late_is_no_spike() {
    let today = calendar::start(now(), Step::Day);
    let asked = |hour: Timestamp| {
        let when = if hour >= today { "07:00" } else { "02:00" };
        good(if calendar::time(hour) == when { 20_000 } else { 1 })
    };
    assert_eq!(kinds(&found(&key(), &history(now(), asked), now())), []);
}

#[test]
fn a_new_key_has_no_habit_yet() {
    let first_day = at("2026-11-19T00:00:00Z");
    let asked = |hour: Timestamp| good(if hour >= first_day { 5_000 } else { 0 });
    let new = SubscriberKey { created_at: first_day, ..key() };
    assert_eq!(found(&new, &history(now(), asked), now()), []);
    // Nor has an old one whose requests nobody counted before.
    assert_eq!(found(&key(), &history(now(), asked), now()), []);
}

#[test]
fn a_clinic_that_is_shut_at_the_weekend_is_not_silent() {
    let monday = at("2026-11-23T08:10:00Z");
    let asked = |hour: Timestamp| {
        let day = hour.as_micros().div_euclid(DAY).rem_euclid(7);
        // 1970 began on a Thursday.
        let is_weekend = matches!(day, 2 | 3);
        let is_open = ("08:00".."18:00").contains(&calendar::time(hour).as_str());
        good(if is_open && !is_weekend && hour < at("2026-11-23T00:00:00Z") { 30 } else { 0 })
    };
    assert_eq!(found(&key(), &history(monday, asked), monday), []);
    let tuesday_evening = at("2026-11-24T17:30:00Z");
    assert_eq!(found(&key(), &history(tuesday_evening, asked), tuesday_evening), []);
    let wednesday = at("2026-11-25T08:10:00Z");
    let alerts = found(&key(), &history(wednesday, asked), wednesday);
    assert_eq!(kinds(&alerts), [Kind::Silence]);
    assert_eq!(alerts[0].id.to_string(), "silence:4fJ2aB9xQ7Lm:2026-11-20");
    assert!(alerts[0].sentence.contains("since 2026-11-20; "), "{}", alerts[0].sentence);
}

#[test]
fn a_key_of_a_clinic_may_keep_a_holiday_and_one_that_never_rests_may_not() {
    let holiday = at("2026-11-19T00:00:00Z");
    let is_holiday = |hour: Timestamp| calendar::start(hour, Step::Day) == holiday;
    let of_people = |hour: Timestamp| {
        let is_open = ("07:00".."21:00").contains(&calendar::time(hour).as_str());
        good(if is_open && !is_holiday(hour) { 30 } else { 0 })
    };
    let of_a_program = |hour: Timestamp| {
        let is_paused = matches!(calendar::time(hour).as_str(), "02:00" | "03:00");
        good(if is_paused || is_holiday(hour) { 0 } else { 30 })
    };
    for now in ["2026-11-19T13:30:00Z", "2026-11-19T20:30:00Z", "2026-11-20T00:10:00Z"] {
        let now = at(now);
        assert_eq!(found(&key(), &history(now, of_people), now), [], "{now}");
        let alerts = found(&key(), &history(now, of_a_program), now);
        let is_told = calendar::start(now, Step::Day) == holiday;
        assert_eq!(kinds(&alerts), if is_told { vec![Kind::Silence] } else { vec![] }, "{now}");
    }
}

/// The id of the one alert there is at each of these times.
fn ids(asked: impl Fn(Timestamp) -> Tally, from: &str, to: &str) -> Vec<String> {
    let count = calendar::count(at(from), at(to), Step::Hour);
    let times = (0..i64::try_from(count).unwrap()).step_by(5);
    let times = times.map(|by| calendar::moved(at(from), by * HOUR));
    let ids = times.map(|now| {
        let alerts = found(&key(), &history(now, &asked), now);
        assert_eq!(alerts.len(), 1, "{now}: {alerts:?}");
        alerts[0].id.to_string()
    });
    let mut ids: Vec<String> = ids.collect();
    ids.dedup();
    ids
}

#[test]
fn two_bursts_on_a_day_are_two_alerts() {
    let (slow, broken) = (at("2026-11-20T09:00:00Z"), at("2026-11-20T15:00:00Z"));
    let asked = |hour: Timestamp| {
        let errors = if hour >= broken { 100 } else { 0 };
        Tally { errors: if hour == slow { 60 } else { errors }, ..good(100) }
    };
    let first = ids(asked, "2026-11-20T09:50:00Z", "2026-11-20T15:00:00Z");
    assert_eq!(first, ["error_burst:4fJ2aB9xQ7Lm:2026-11-20T09"]);
    let second = ids(asked, "2026-11-20T15:50:00Z", "2026-11-22T23:59:00Z");
    assert_eq!(second, ["error_burst:4fJ2aB9xQ7Lm:2026-11-20T15"]);
}

#[test]
fn a_run_is_one_alert_across_midnights_however_long_it_lasts() {
    let began = at("2026-11-18T21:00:00Z");
    let failing =
        |hour: Timestamp| if hour < began { good(100) } else { Tally { denied: 95, ..good(100) } };
    let busy = |hour: Timestamp| good(if hour < began { 100 } else { 5_000 });
    let (start, third_midnight, end) =
        ("2026-11-18T21:10:00Z", "2026-11-21T00:00:00Z", "2026-11-24T12:00:00Z");
    let burst = ids(failing, start, third_midnight);
    assert_eq!(burst, ["error_burst:4fJ2aB9xQ7Lm:2026-11-18T21"]);
    assert_eq!(ids(busy, start, third_midnight), ["spike:4fJ2aB9xQ7Lm:2026-11-18T21"]);
    // From then on its days are counted: the first on which it was most of what there was.
    let burst = ids(failing, third_midnight, end);
    assert_eq!(burst, ["error_burst:4fJ2aB9xQ7Lm:2026-11-19T00"]);
    assert_eq!(ids(busy, third_midnight, end), ["spike:4fJ2aB9xQ7Lm:2026-11-18T00"]);
}

fn refusal(day: &str, category: &str, access: &str, count: u64) -> RefusalCount {
    let code = "permission_denied".into();
    RefusalCount { day: at(day), code, category: category.into(), access: access.into(), count }
}

#[test]
fn a_missing_permission_is_named_until_it_is_granted() {
    let refusals = vec![
        refusal("2026-11-20T00:00:00Z", "patient clinical", "read", 41),
        refusal("2026-11-20T00:00:00Z", "billing.invoices", "write", 7),
        RefusalCount {
            code: "rate_limited".into(),
            ..refusal("2026-11-20T00:00:00Z", "files", "read", 900)
        },
        refusal("2026-11-10T00:00:00Z", "files", "read", 900),
    ];
    let mut evidence = history(now(), |_| good(1));
    evidence.refusals = refusals;
    let granted = |permissions: &[(&'static str, Access)]| SubscriberKey {
        permissions: permissions.iter().copied().collect(),
        ..key()
    };
    let partly = granted(&[("patient", Access::READ), ("billing", Access::READ)]);
    let alerts = found(&partly, &evidence, now());
    assert_eq!(kinds(&alerts), [Kind::MissingPermission]);
    assert_eq!(
        alerts[0].sentence,
        "This key was refused 48 times today, mostly for `read` on `clinical`, which its permissions do not give. \
         If it should have that, grant `billing.invoices: write`, `clinical: read`."
    );
    assert_eq!(alerts[0].id.to_string(), "missing_permission:4fJ2aB9xQ7Lm:2026-11-20");
    let all = granted(&[
        ("patient", Access::READ),
        ("clinical", Access::READ),
        ("billing", Access::READ_WRITE),
    ]);
    assert_eq!(found(&all, &evidence, now()), []);
    // The next morning it is still there, as yesterday's.
    let next = at("2026-11-21T07:00:00Z");
    let alerts = found(&partly, &evidence, next);
    let missing = alerts.iter().find(|alert| alert.id.kind == Kind::MissingPermission).unwrap();
    assert!(missing.sentence.contains("48 times yesterday"), "{}", missing.sentence);
    assert_eq!(missing.id.to_string(), "missing_permission:4fJ2aB9xQ7Lm:2026-11-20");
}

#[test]
fn what_is_refused_day_after_day_is_one_alert() {
    let on = |days: &[u32]| -> Vec<RefusalCount> {
        let day = |day: &u32| refusal(&format!("2026-11-{day:02}T00:00:00Z"), "files", "read", 30);
        days.iter().map(day).collect()
    };
    let id = |days: &[u32], now: &str| {
        let evidence = Evidence { refusals: on(days), ..history(at(now), |_| good(1)) };
        let alerts = found(&key(), &evidence, at(now));
        let alert = alerts.iter().find(|alert| alert.id.kind == Kind::MissingPermission).unwrap();
        assert_eq!(alert.id.episode, Episode::Day(alert.since));
        alert.id.to_string()
    };
    // Two working weeks, and the Monday after them.
    let days = [9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 23];
    for (upto, now) in [
        (1, "2026-11-09T23:00:00Z"),
        (1, "2026-11-10T00:10:00Z"),
        (6, "2026-11-16T12:00:00Z"),
        (10, "2026-11-21T12:00:00Z"),
        (11, "2026-11-23T12:00:00Z"),
    ] {
        assert_eq!(id(&days[..upto], now), "missing_permission:4fJ2aB9xQ7Lm:2026-11-09", "{now}");
    }
    let again = id(&[16, 20], "2026-11-20T12:00:00Z");
    assert_eq!(again, "missing_permission:4fJ2aB9xQ7Lm:2026-11-20", "three days without");
}

#[test]
fn four_refusals_are_somebody_trying() {
    let mut evidence = history(now(), |_| good(1));
    evidence.refusals = vec![refusal("2026-11-20T00:00:00Z", "files", "write", 4)];
    assert_eq!(found(&key(), &evidence, now()), []);
    evidence.refusals[0].count = 5;
    let alerts = found(&key(), &evidence, now());
    assert!(alerts[0].sentence.contains("grant `files: write`."), "{}", alerts[0].sentence);
}

#[test]
fn the_record_of_a_key_has_its_dates() {
    let lifetimes = Lifetimes {
        idle_expiry: None,
        max_age: None,
        rotate_after: Some(Duration::from_secs(90 * 86_400)),
    };
    let evidence = Evidence::default();
    let ids = |key: &SubscriberKey, last_used, now: &str| {
        let watched =
            Watched { key, last_used, lifetimes: &lifetimes, evidence: &evidence, now: at(now) };
        let alerts = of(&watched);
        alerts.iter().map(|alert| (alert.id.to_string(), alert.severity)).collect::<Vec<_>>()
    };
    let one = |id: &str, severity| vec![(id.to_owned(), severity)];
    let mut key = key();
    assert_eq!(ids(&key, None, "2026-01-14T23:59:59Z"), []);
    let never = one("never_used:4fJ2aB9xQ7Lm:2026-01-15", Severity::Info);
    assert_eq!(ids(&key, None, "2026-01-15T00:00:00Z"), never);
    let used = Some(at("2026-01-02T00:00:00Z"));
    assert_eq!(ids(&key, used, "2026-03-31T00:00:00Z"), []);
    let due = one("rotation_due:4fJ2aB9xQ7Lm:2026-04-01", Severity::Info);
    assert_eq!(ids(&key, used, "2026-04-01T00:00:00Z"), due);
    key.expires_at = Some(at("2026-02-10T12:00:00Z"));
    assert_eq!(ids(&key, used, "2026-02-03T11:59:59Z"), []);
    let near = one("expiry_near:4fJ2aB9xQ7Lm:2026-02-10:warning", Severity::Warning);
    assert_eq!(ids(&key, used, "2026-02-03T12:00:00Z"), near);
    // Who took note a week before hears of it again.
    let very_near = one("expiry_near:4fJ2aB9xQ7Lm:2026-02-10:critical", Severity::Critical);
    assert_eq!(ids(&key, used, "2026-02-10T11:00:00Z"), very_near);
    assert_eq!(ids(&key, used, "2026-02-10T12:00:00Z"), []);
    key.replaced_by = Some(KeyId::parse("000000000000").unwrap());
    assert_eq!(ids(&key, used, "2026-02-10T11:00:00Z"), []);
}

#[test]
fn a_key_that_has_ended_says_nothing() {
    let evidence =
        history(now(), |hour| good(if hour < at("2026-11-10T00:00:00Z") { 9 } else { 0 }));
    assert_eq!(kinds(&found(&key(), &evidence, now())), [Kind::Silence]);
    let past = Some(at("2026-11-15T00:00:00Z"));
    for ended in [
        SubscriberKey { revoked_at: past, ..key() },
        SubscriberKey { expires_at: past, ..key() },
        SubscriberKey { enabled: false, ..key() },
        SubscriberKey { replaced_by: Some(key().id), ..key() },
    ] {
        assert_eq!(found(&ended, &evidence, now()), []);
    }
}
