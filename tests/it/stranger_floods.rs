//! Refusals of strangers are summed above a rate: none is forgotten in the sums, and a flood does not fill the disk.

use std::time::{Duration, Instant};

use super::support::disk;
use super::support::fixture::{key, request, vendor_key};
use super::support::nodes::{Fleet, Plan, at_last};
use super::support::records::{Books, Record};
use super::support::wire::Wire;
use super::support::{Gateway, Upstream};

/// On one connection, before any answer of them is read.
const AT_ONCE: usize = 100;

/// A request with a key that nobody was given.
fn wrong(target: &str) -> Vec<u8> {
    let (key, vendor) = (key("nobody"), vendor_key("acme"));
    format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\nX-Subscriber-Key: {key}\r\nX-Vendor-Key: {vendor}\r\n\r\n")
        .into_bytes()
}

/// Strangers on four connections; how many were refused.
fn flood(to: std::net::SocketAddr, rounds: usize) -> u64 {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let mut wire = Wire::to(to);
                    let batch = wrong("/v1/patients").repeat(AT_ONCE);
                    let mut refused = 0;
                    for _ in 0..rounds {
                        assert!(wire.send(&batch));
                        for _ in 0..AT_ONCE {
                            let answer = wire.answer();
                            assert_eq!(answer.code(), "invalid_credentials");
                            refused += 1;
                        }
                    }
                    refused
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    })
}

fn of_strangers(records: &[Record]) -> u64 {
    records.iter().filter(|record| record.is_of_stranger()).map(Record::count).sum()
}

#[test]
fn a_flood_of_strangers_is_summed_and_none_is_forgotten() {
    let fleet = Fleet::of(Plan::quiet("embedded:./data", ""), Upstream::ok());
    let node = fleet.node();
    let books = Books::of_node(&node);
    let begun = Instant::now();
    let sent = flood(node.gateway, 10);
    assert_eq!(sent, 4_000);
    // Somebody who may, in between.
    assert_eq!(node.try_key("key-all").0, 200);
    let mut records = Vec::new();
    at_last("every stranger is in the sums", || {
        records = books.all();
        of_strangers(&records) >= sent
    });
    assert_eq!(of_strangers(&records), sent);
    // So many a second would be no flood; on a busy machine it takes more of them.
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let kept = records.len();
    assert!(kept < 50 * seconds, "{kept} records of a flood in {seconds} s");
    let summed = records.iter().find(|record| record.count() > 1).expect("a sum");
    summed.assert(&[
        ("code", "invalid_credentials"),
        ("status", "401"),
        ("ip", "127.0.0.1"),
        ("key", ""),
    ]);
    let known = records.iter().filter(|record| !record.get("key").is_empty());
    assert!(known.clone().all(|record| record.count() == 1), "only strangers are summed");
    assert_eq!(known.count(), 1);
    fleet.upstream.only();
}

#[test]
fn a_sum_is_kept_when_the_gateway_ends_at_once() {
    let fleet = Fleet::of(Plan::quiet("embedded:./data", ""), Upstream::ok());
    let node = fleet.node();
    let sent = flood(node.gateway, 2);
    node.end();
    let node = fleet.node();
    let books = Books::of_node(&node);
    books.settle();
    assert_eq!(of_strangers(&books.all()), sent);
}

/// The flood goes on for seconds against a journal that is kept small; whoever has a key is served and recorded.
#[test]
fn a_flood_does_not_fill_the_journal() {
    let plan = Plan::quiet("embedded:./data", ", max_disk: 2MiB");
    let fleet = Fleet::of(plan, Upstream::ok());
    let node = fleet.node();
    let until = Instant::now() + Duration::from_secs(3);
    let mut sent = 0;
    let mut passed = 0;
    while Instant::now() < until {
        sent += flood(node.gateway, 2);
        assert_eq!(node.try_key("key-all"), (200, String::new()));
        passed += 1;
        let used = disk::used(&fleet.directory().join("journal-1"));
        assert!(used <= 2 << 20, "{used} bytes");
    }
    let books = Books::of_node(&node);
    at_last("every stranger is in the sums", || of_strangers(&books.all()) >= sent);
    let records = books.all();
    assert_eq!(of_strangers(&records), sent);
    let known = records.iter().filter(|record| record.get("key") == fleet.key_id("key-all"));
    assert_eq!(known.count(), passed);
}

/// Below the rate each has its own record, with its own request id.
#[test]
fn a_few_strangers_are_recorded_one_by_one() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let books = Books::of(&gateway);
    for target in ["/v1/patients", "/v1/nowhere", "/v1/appointments/1"] {
        let answer = gateway.send(&wrong(target));
        let record = books.record_of(answer.head.one("x-request-id").unwrap());
        record.assert(&[("code", "invalid_credentials"), ("decision", "deny")]);
        assert_eq!(record.count(), 1);
    }
    let answer = gateway.send(&request("GET", "/v1/patients", "key-none"));
    let record = books.record_of(answer.head.one("x-request-id").unwrap());
    assert_eq!(record.count(), 1);
    books.exactly(4);
}
