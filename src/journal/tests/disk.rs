//! What fills, what is freed, and what fails.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::*;
use crate::journal::Begun;
use crate::journal::supply::Shortage;

/// Writes until it is full; the number of the first that was refused.
fn fill(journal: &Journal, lane: &Lane, mut number: u64) -> u64 {
    // The keeper may be slower than who writes: full is where nothing changes any more.
    let is_at_its_end = || journal.figures().disk_used + (256 << 10) > journal.figures().disk_max;
    loop {
        while lane.write(&long_opening(number, 3000), &outcome(number)).is_ok() {
            number += 1;
        }
        if is_at_its_end() && lane.worker.spare_size().is_none() {
            if lane.write(&long_opening(number, 3000), &outcome(number)).is_err() {
                return number;
            }
            number += 1;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_full_journal_refuses_and_goes_on_by_itself_when_it_was_shipped() {
    let home = home();
    let (journal, _) = open(home.path(), 2 << 20);
    let lanes = [journal.lane().unwrap(), journal.lane().unwrap()];
    let open: Vec<Begun> =
        (0..20).map(|n| lanes[0].begin(&opening(1_000_000 + n)).unwrap()).collect();
    let refused = fill(&journal, &lanes[0], 0);
    assert!(refused > 100);
    let figures = journal.figures();
    assert!(figures.is_full && figures.refused > 0, "{figures:?}");
    assert!(figures.disk_used <= figures.disk_max, "{figures:?}");
    assert!(lanes[0].begin(&long_opening(0, 4000)).is_err());
    // What was begun is completed all the same.
    for (n, begun) in open.into_iter().enumerate() {
        lanes[0].complete(begun, &outcome(1_000_000 + n as u64));
    }
    let mut source = journal.source();
    source.force();
    let lane = lanes[0].id();
    let (mut after, mut seen) = (0, BTreeSet::new());
    loop {
        let batch = source.read(lane, after, 1000, 1 << 20).unwrap();
        if batch.is_empty() {
            break;
        }
        assert_eq!(batch.after, after);
        seen.extend(batch.records().map(|record| number_of(&record)));
        after = batch.last();
    }
    let expected: BTreeSet<u64> = (0..refused).chain(1_000_000..1_000_020).collect();
    assert_eq!(seen, expected);
    // Kept for long, but its room is needed.
    source.shipped(lane, after, Duration::from_secs(3600)).unwrap();
    eventually("it is not full any more", || !journal.figures().is_full);
    for number in refused..refused + 200 {
        eventually("room", || {
            lanes[0].write(&long_opening(number, 3000), &outcome(number)).is_ok()
        });
        source.shipped(lane, u64::MAX, Duration::from_secs(3600)).unwrap();
    }
}

#[test]
fn a_start_with_a_full_journal_ships_what_is_there_first() {
    let home = home();
    let (journal, _) = open(home.path(), 2 << 20);
    let lane = journal.lane().unwrap();
    let old = lane.id();
    let refused = fill(&journal, &lane, 0);
    lane.abandon();
    drop(journal);
    let (journal, recovered) = open(home.path(), 2 << 20);
    assert_eq!(recovered.lanes, 1);
    // The first of these may take what was a spare.
    let lanes: Vec<Lane> = (0..3).map(|_| journal.lane().unwrap()).collect();
    let stuck = &lanes[2];
    assert!(stuck.begin(&opening(1)).is_err());
    assert!(journal.figures().is_full);
    let mut source = journal.source();
    let had = drain(&mut source);
    assert_eq!(had[0].1.len() as u64, refused);
    source.shipped(old, refused, Duration::from_secs(3600)).unwrap();
    eventually("room", || stuck.begin(&opening(1)).is_ok());
    assert!(!journal.figures().is_full);
}

#[test]
fn what_is_open_is_carried_through_rotations() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL * 4);
    let lane = journal.lane().unwrap();
    let open: Vec<(u64, Begun)> =
        (0..200).map(|n| (n, lane.begin(&long_opening(n, 300)).unwrap())).collect();
    let mut number = 1000;
    while lane.worker.active_segment().unwrap().number < 6 {
        eventually("room", || lane.write(&long_opening(number, 4000), &outcome(number)).is_ok());
        number += 1;
    }
    // All that is complete is shipped: the segments in which the open ones were begun go.
    let mut source = journal.source();
    source.shipped(lane.id(), number - 1000, Duration::ZERO).unwrap();
    let files = || std::fs::read_dir(home.path().join("journal")).unwrap().count();
    eventually("they are deleted", || {
        // What is open was forced to disk where it was carried to, first.
        journal.flush().unwrap();
        files() <= 3
    });
    for (n, begun) in open {
        lane.complete(begun, &outcome(n));
    }
    source.force();
    let batch = source.read(lane.id(), number - 1000, 1000, 1 << 20).unwrap();
    let records: Vec<_> = batch.records().collect();
    assert_eq!(records.len(), 200);
    for (n, record) in (0..).zip(&records) {
        assert_eq!((&record.opening, &record.outcome), (&long_opening(n, 300), &outcome(n)));
    }
}

#[test]
fn a_segment_is_filled_to_its_last_byte_and_no_further() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    // Each Begin leaves room for its Complete; at the end these take just what was left.
    let mut open: Vec<(u64, Begun)> = Vec::new();
    let mut refused = 0;
    for number in 0..100_000 {
        let shared = &lane.worker;
        drop(shared.take_spare());
        match lane.begin(&opening(number)) {
            Ok(begun) => open.push((number, begun)),
            Err(_) => refused += 1,
        }
        if refused > 0 {
            break;
        }
    }
    assert!(open.len() > 100, "{}", open.len());
    for (number, begun) in open.drain(..) {
        let long = Outcome { code: "x".repeat(64).into(), bytes_in: u64::MAX, ..outcome(number) };
        lane.complete(begun, &long);
    }
    assert_eq!(journal.figures().completed, journal.figures().begun);
}

#[test]
fn so_much_open_that_no_segment_takes_more_gets_a_larger_one() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let mut open = Vec::new();
    for number in 0..2000 {
        eventually("room", || match lane.begin(&opening(number)) {
            Ok(begun) => {
                open.push((number, begun));
                true
            }
            Err(_) => false,
        });
    }
    assert!(lane.worker.active_segment().unwrap().size() > 256 << 10);
    for (number, begun) in open {
        lane.complete(begun, &outcome(number));
    }
    let mut all = numbers(&drain(&mut journal.source())[0].1);
    all.sort_unstable();
    assert!(all.into_iter().eq(0..2000));
}

#[test]
fn after_a_failed_sync_everything_is_written_once_more() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let open = lane.begin(&opening(1)).unwrap();
    lane.write(&opening(2), &outcome(2)).unwrap();
    let failed = lane.worker.active_segment().unwrap();
    let before = std::fs::metadata(&failed.path).unwrap();
    // Both the sync and the first attempt to write it again.
    journal.keeping.shared.failures.store(2, Ordering::Relaxed);
    eventually("another segment", || lane.worker.active_segment().unwrap().number != failed.number);
    lane.complete(open, &outcome(1));
    eventually("it is well again", || !failed.has_failed() && !journal.figures().is_failing);
    let after = std::fs::metadata(&failed.path).unwrap();
    assert!(after.len() < before.len(), "it is another file, without the zeros");
    journal.flush().unwrap();
    assert_eq!(numbers(&drain(&mut journal.source())[0].1), [2, 1]);
    lane.abandon();
    drop(journal);
    let (journal, recovered) = self::open(home.path(), SMALL);
    assert_eq!((recovered.interrupted, recovered.torn), (0, 0));
    assert_eq!(numbers(&drain(&mut journal.source())[0].1), [2, 1]);
}

#[test]
fn a_disk_that_goes_on_failing_is_told() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    journal.keeping.shared.failures.store(u64::MAX, Ordering::Relaxed);
    lane.write(&opening(1), &outcome(1)).unwrap();
    assert!(journal.flush().is_err());
    assert!(journal.figures().is_failing);
    // The store is the safer place now.
    assert_eq!(journal.source().read(lane.id(), 0, 10, 1 << 20).unwrap().len(), 1);
    journal.keeping.shared.failures.store(0, Ordering::Relaxed);
    eventually("it is well again", || !journal.figures().is_failing);
    journal.flush().unwrap();
}

#[test]
fn every_worker_gets_a_segment_before_any_gets_a_second() {
    let home = home();
    let max_disk = 24 * (256 << 10);
    let (journal, _) = open(home.path(), max_disk);
    let mut lanes = Vec::new();
    for worker in 0..20 {
        lanes.push(journal.lane().unwrap());
        // A keeper that is quick: what is left lies ready for those who were first.
        let settled = || lanes.iter().filter(|lane| lane.worker.spare_size().is_some()).count();
        eventually("spares", || settled() >= (worker + 1).min(23 - worker));
    }
    for (number, lane) in (0..).zip(&lanes) {
        eventually("room", || lane.write(&opening(number), &outcome(number)).is_ok());
    }
    assert!(journal.figures().disk_used <= max_disk);
}

#[test]
fn what_is_needed_is_said_where_nothing_waits() {
    let home = home();
    let (journal, _) = open(home.path(), 3 * (256 << 10));
    let _lanes: Vec<Lane> = (0..3).map(|_| journal.lane().unwrap()).collect();
    let explained = Shortage::Bound.explain(home.path(), 786_432, 3, 0);
    assert!(explained.contains("3 workers: set at least 3145728"), "{explained}");
    assert!(Shortage::Bound.explain(home.path(), 786_432, 3, 1).contains("store"));
}
