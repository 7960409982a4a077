//! What other programs may rely on: the fields of the stream, and that what they have not confirmed stays.

use crate::model::{AccessRecord, Timestamp};
use crate::store::Mode;
use crate::store::access::{AccessStore, Expired, Whose};
use crate::store::conformance::access::samples::{self, HOUR, at, part, parts, records};
use crate::store::conformance::access::{all_of, everybody, expire, newest_first, read, ship};
use crate::store::redis::access::tests::{open, pairs};
use crate::store::redis::tests::server::Redis;
use crate::store::redis::tests::single;

const STREAM: &str = "postern:access";

#[tokio::test]
async fn an_entry_has_the_fields_of_the_contract() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    let mut given = parts(5..=7);
    given[1].1.count = 12;
    given[2].1.upstream_us = None;
    ship(&*store, 0xc0ffee, 0, &given).await;
    let first = pairs(&server.command(&["XRANGE", STREAM, "-", "+", "COUNT", "1"]));
    let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, AccessRecord::FIELDS);
    // As JSON has it, but that all values are text.
    let expected = serde_json::to_value(&records(0xc0ffee, 0, &given)[0]).unwrap();
    for (name, value) in &first {
        let told = &expected[name];
        let told = match told {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(*value, told, "{name}");
    }
    assert_eq!(first[0].1, "0000000000c0ffee-1");
    assert!(first[1].1.ends_with('Z') && first[1].1.len() == 27, "{}", first[1].1);
    let all = server.command(&["XRANGE", STREAM, "-", "+"]);
    assert_eq!(all.matches("count\n12").count(), 1);
    assert_eq!(all.matches("\ncount\n").count(), 1, "only where it is more than 1");
    assert!(all.contains("upstream_us\n\nip\n"), "empty where it is unknown");
    assert_eq!(read(&*store, everybody()).await, newest_first(records(0xc0ffee, 0, &given)));
    // A thing that drops on a full memory drops nothing of this.
    let keys = server.command(&["KEYS", "*"]);
    for key in keys.lines() {
        assert_eq!(server.command(&["TTL", key]), "-1", "{key}");
        assert!(key == STREAM || key.starts_with("{postern:access}:"), "{key}");
    }
}

async fn round(store: &dyn AccessStore, records: Timestamp) -> Expired {
    let mut all = Expired::default();
    loop {
        let some = store.expire(records, at(-100_000)).await.unwrap();
        all = Expired { records: all.records + some.records, ..some };
        if !some.more {
            return all;
        }
    }
}

fn length(server: &Redis) -> u64 {
    server.command(&["XLEN", STREAM]).parse().unwrap()
}

/// `hours` old.
fn old(number: u64, hours: i64) -> samples::Part {
    let mut made = part(number);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_micros()).unwrap();
    made.0.ts = Timestamp::from_micros(now - hours * HOUR);
    made
}

fn hours_ago(hours: i64) -> Timestamp {
    // At some distance from what is so many hours old, and from what is twice as old.
    Timestamp::from_micros(old(1, hours).0.ts.as_micros() - HOUR / 4)
}

#[tokio::test]
async fn what_a_group_has_not_confirmed_stays_up_to_twice_the_retention() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    // 30, 29, … 1 hours old.
    let given: Vec<_> =
        (1..=30).map(|number| old(number, 31 - i64::try_from(number).unwrap())).collect();
    ship(&*store, 1, 0, &given).await;
    server.command(&["XGROUP", "CREATE", STREAM, "siem", "0"]);
    let read_five = ["XREADGROUP", "GROUP", "siem", "one", "COUNT", "5", "STREAMS", STREAM, ">"];
    let five = server.command(&read_five);

    // Read, and not confirmed: they stay, though nobody is told of them here any more.
    let retention = hours_ago(20);
    assert_eq!(round(&*store, retention).await, Expired { held_back: 10, ..Expired::default() });
    assert_eq!(length(&server), 30);
    let left = newest_first(
        records(1, 0, &given).into_iter().filter(|record| record.opening.ts >= retention),
    );
    assert_eq!(left.len(), 20);
    assert_eq!(read(&*store, everybody()).await, left);

    // Two of them are confirmed: those two go.
    let ids: Vec<_> = five
        .lines()
        .filter(|line| {
            line.contains('-')
                && line.len() < 20
                && line.starts_with('1')
                && line.split('-').all(|part| part.parse::<u64>().is_ok())
        })
        .collect();
    assert_eq!(ids.len(), 5, "{five}");
    server.command(&["XACK", STREAM, "siem", ids[0], ids[1]]);
    assert_eq!(round(&*store, retention).await, Expired { records: 2, held_back: 8, more: false });
    // The others, too: what was read goes, what was not yet read stays.
    server.command(&["XACK", STREAM, "siem", ids[2], ids[3], ids[4]]);
    assert_eq!(round(&*store, retention).await, Expired { records: 3, held_back: 5, more: false });
    // A second group that has read nothing.
    server.command(&["XGROUP", "CREATE", STREAM, "other", "0"]);
    server.command(&["XGROUP", "SETID", STREAM, "siem", "$"]);
    assert_eq!(round(&*store, retention).await, Expired { held_back: 5, ..Expired::default() });

    // The cap: of a retention of 10 hours, what is older than 20 goes all the same.
    let short = hours_ago(10);
    assert_eq!(round(&*store, short).await, Expired { records: 5, held_back: 10, more: false });
    server.command(&["XGROUP", "DESTROY", STREAM, "other"]);
    assert_eq!(round(&*store, short).await, Expired { records: 10, held_back: 0, more: false });
    assert_eq!(length(&server), 10);
    ship(&*store, 1, 30, &[old(31, 0)]).await;
    assert_eq!(read(&*store, everybody()).await.len(), 11, "it goes on");
}

/// A node's clock was years ahead for a moment: its records go when they are as old as their entries.
#[tokio::test]
async fn an_entry_of_the_future_keeps_nothing_behind_it() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    // The ids of a Redis whose entries came ten hours ago.
    let id = (old(1, 10).0.ts.as_micros() / 1000).to_string();
    let far = old(1, -10_000).0.ts.to_string();
    server.command(&["XADD", STREAM, &id, "id", "0000000000000001-1", "ts", &far]);
    ship(&*store, 2, 0, &[old(2, 30), old(3, -2)]).await;
    assert_eq!(round(&*store, hours_ago(20)).await, Expired::default());
    assert_eq!(length(&server), 3, "it is young, and the old one is behind it");
    assert_eq!(round(&*store, hours_ago(5)).await.records, 2);
    assert_eq!(length(&server), 1, "two hours ahead are believed");
}

#[tokio::test]
async fn a_caller_whose_clock_is_ahead_deletes_nothing_of_the_future_or_unconfirmed() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    ship(&*store, 1, 0, &[old(1, 3), old(2, -2)]).await;
    server.command(&["XGROUP", "CREATE", STREAM, "siem", "0"]);
    let years_on = old(1, -20_000).0.ts;
    assert_eq!(round(&*store, years_on).await, Expired { held_back: 1, ..Expired::default() });
    assert_eq!(length(&server), 2);
    assert_eq!(read(&*store, everybody()).await.len(), 1, "the younger is still told");
}

#[tokio::test]
async fn deleting_leaves_nothing_behind() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    ship(&*store, 1, 0, &parts(1..=2_000)).await;
    expire(&*store, at(100_000), at(-1)).await;
    let keys = server.command(&["KEYS", "*"]);
    let index = keys
        .lines()
        .filter(|key| key.contains(":at:") || key.contains(":hours:") || key.contains(":on:"));
    assert_eq!(index.collect::<Vec<_>>(), [""; 0]);
    assert!(keys.contains(":sum:"));
    expire(&*store, at(100_000), at(100_000)).await;
    let keys = server.command(&["KEYS", "*"]);
    let mut left: Vec<_> = keys.lines().collect();
    left.sort_unstable();
    let tag = "{postern:access}:";
    let expected =
        ["counted", "expired", "lanes", "sums-expired"].map(|name| format!("{tag}{name}"));
    assert_eq!(left[0], STREAM);
    assert_eq!(left[1..], expected);
    assert_eq!(length(&server), 0);
    // The lane goes on where it was.
    ship(&*store, 1, 2_000, &parts(200_000..=200_001)).await;
    assert_eq!(read(&*store, everybody()).await.len(), 2);
}

/// More in an hour than its own string has place for: the minutes have the rest.
#[tokio::test]
async fn a_busy_hour_is_read_by_the_minute() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    let step = HOUR / 6_000;
    let given: Vec<_> = (0..6_000_u64)
        .map(|number| {
            // Not in the order of time.
            let place = i64::try_from(number * 3_571 % 6_000).unwrap();
            let mut made = part(1);
            made.0.key = if number % 3 == 0 { "rare" } else { "busy" }.into();
            made.0.ts = Timestamp::from_micros(at(5).as_micros() + place * step);
            made
        })
        .collect();
    for (number, piece) in given.chunks(2_000).enumerate() {
        ship(&*store, 1, number as u64 * 2_000, piece).await;
    }
    assert!(server.command(&["KEYS", "*:minute:*:e"]).lines().count() == 60);
    assert_eq!(server.command(&["KEYS", "*:minute:*:k:rare"]), "");
    let all = newest_first(records(1, 0, &given));
    assert_eq!(read(&*store, everybody()).await, all);
    let mut rare = all.clone();
    rare.retain(|record| record.opening.key == "rare");
    assert_eq!(read(&*store, all_of(Whose::Key("rare".into()))).await, rare);
    let (from, to) = (all[3_000].opening.ts, all[1_000].opening.ts);
    let mut query = everybody();
    (query.from, query.to) = (Some(from), Some(to));
    assert_eq!(read(&*store, query).await, all[1_001..=3_000]);
    expire(&*store, at(48), at(48)).await;
    assert_eq!(server.command(&["KEYS", "*:minute:*"]), "");
}
