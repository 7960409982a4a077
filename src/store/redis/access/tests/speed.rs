//! How many records a second are taken, and how long Redis is kept by it: told, not judged.

use std::time::Instant;

use crate::model::Timestamp;
use crate::store::Mode;
use crate::store::access::{ActivityQuery, Filter, StatusFilter, Whose};
use crate::store::conformance::access::samples::{HOUR, at, batch, part};
use crate::store::conformance::access::{all_of, everybody};
use crate::store::redis::access::tests::open;
use crate::store::redis::tests::server::Redis;
use crate::store::redis::tests::single;

fn say(line: &str) {
    use std::io::Write;
    drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
}

/// `cargo nextest run --release --run-ignored all --no-capture a_hundred_thousand_records`.
#[tokio::test]
#[ignore = "a measurement, for a release build"]
async fn a_hundred_thousand_records_are_taken_and_read() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    let pieces: Vec<_> = (0..100_u64)
        .map(|piece| {
            let given: Vec<_> = (1..=1_000_u64)
                .map(|number| {
                    let number = piece * 1_000 + number;
                    let mut made = part(number);
                    made.0.key = format!("k{}", number * 7_919 % 100).into();
                    let place = i64::try_from(number).unwrap() * (HOUR / 10_000);
                    made.0.ts = Timestamp::from_micros(at(0).as_micros() + place);
                    made
                })
                .collect();
            batch(1, piece * 1_000, &given)
        })
        .collect();
    let begun = Instant::now();
    for piece in pieces {
        store.take(piece).await.unwrap();
    }
    let taken = begun.elapsed();
    say(&format!("100,000 records taken in {taken:?}: {:.0}/s", 100_000.0 / taken.as_secs_f64()));
    for line in server.command(&["INFO", "commandstats"]).lines() {
        if ["evalsha", "xadd", "append", "hset", "hget:", "strlen"]
            .iter()
            .any(|name| line.contains(name))
        {
            say(line);
        }
    }
    say(&server.command(&["MEMORY", "USAGE", "postern:access", "SAMPLES", "0"]));
    let used = server.command(&["INFO", "memory"]);
    say(used.lines().find(|line| line.starts_with("used_memory:")).unwrap_or_default());

    let key = || all_of(Whose::Key("k7".into()));
    let filter = Filter { status: Some(StatusFilter::Class(5)), ..Filter::default() };
    for (what, query) in [
        ("the last page of a key", key()),
        ("the last page of everybody", everybody()),
        ("a filtered page of a key", ActivityQuery { filter: filter.clone(), ..key() }),
        ("a filtered page of everybody", ActivityQuery { filter, ..everybody() }),
    ] {
        let begun = Instant::now();
        let page = store.page(&query).await.unwrap();
        say(&format!("{what}: {} records in {:?}", page.records.len(), begun.elapsed()));
    }
    let begun = Instant::now();
    let gone = store.expire(at(5), at(0)).await.unwrap();
    say(&format!("{gone:?} in {:?}", begun.elapsed()));
}
