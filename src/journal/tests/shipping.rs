//! What becomes of segments when the store has them, and of lanes when nothing is left of them.

use super::*;

/// Writes until so many segments were begun.
fn write_segments(lane: &Lane, count: u32) -> u64 {
    let mut number = 0;
    while lane.worker.active_segment().is_none_or(|segment| segment.number < count) {
        number += 1;
        eventually("room", || lane.write(&long_opening(number, 4000), &outcome(number)).is_ok());
    }
    number
}

fn count_files(home: &TempDir) -> usize {
    let entries = std::fs::read_dir(home.path().join("journal")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name() != "lock").count()
}

#[test]
fn what_was_shipped_is_kept_for_a_while() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let last = write_segments(&lane, 4);
    let mut source = journal.source();
    journal.flush().unwrap();
    source.shipped(lane.id(), last, Duration::from_secs(3600)).unwrap();
    // A round of the keeper.
    journal.configure(Duration::from_millis(1), SMALL);
    lane.write(&opening(0), &outcome(0)).unwrap();
    eventually("a sync", || {
        let segment = lane.worker.active_segment().unwrap();
        segment.synced.load(std::sync::atomic::Ordering::Acquire) == segment.end()
    });
    assert!(count_files(&home) >= 4);
    // The store went back: it is all still there.
    source.unshipped(lane.id(), 0).unwrap();
    assert_eq!(journal.figures().waiting, last + 1);
    assert_eq!(drain(&mut source)[0].1.len() as u64, last + 1);
    source.shipped(lane.id(), last, Duration::ZERO).unwrap();
    eventually("they are deleted", || count_files(&home) == 2);
    // What is gone is passed over.
    let batch = source.read(lane.id(), 0, 10_000, 1 << 30).unwrap();
    assert!(batch.after > 0 && batch.last() == last + 1, "{} to {}", batch.after, batch.last());
}

#[test]
fn an_old_lane_is_told_once_when_nothing_is_left_of_it() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let unused = journal.lane().unwrap();
    let (id, empty) = (lane.id(), unused.id());
    let last = write_segments(&lane, 2);
    lane.abandon();
    unused.abandon();
    drop(journal);
    let (journal, recovered) = open(home.path(), SMALL);
    assert_eq!(recovered.lanes, 2);
    let mut source = journal.source();
    assert_eq!(source.lanes().unwrap().iter().find(|(lane, _)| *lane == id), Some(&(id, last)));
    source.shipped(id, last - 1, Duration::ZERO).unwrap();
    source.shipped(empty, 0, Duration::ZERO).unwrap();
    let mut told = Vec::new();
    eventually("the empty one", || {
        told.extend(source.finished());
        told == [empty]
    });
    source.shipped(id, last, Duration::ZERO).unwrap();
    eventually("the other one", || {
        told.extend(source.finished());
        told == [empty, id]
    });
    assert_eq!(source.lanes().unwrap(), []);
    assert_eq!(count_files(&home), 0);
    assert_eq!((source.finished(), journal.figures().disk_used), (vec![], 0));
}

#[test]
fn a_worker_that_ends_leaves_nothing_open_and_no_spare() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let id = lane.id();
    let _it_stays_open = lane.begin(&opening(1)).unwrap();
    lane.write(&opening(2), &outcome(2)).unwrap();
    drop(lane);
    let mut source = journal.source();
    let records = drain(&mut source).remove(0).1;
    assert_eq!(numbers(&records), [2, 1]);
    assert!(is_interrupted(&records[1]) && !is_interrupted(&records[0]));
    source.shipped(id, 2, Duration::ZERO).unwrap();
    eventually("nothing is left", || source.finished() == [id]);
    assert_eq!(count_files(&home), 0);
    assert_eq!((journal.figures().begun, journal.figures().completed), (2, 2));
}

#[test]
fn a_directory_is_read_beside_its_writer() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let (first, second) = (journal.lane().unwrap(), journal.lane().unwrap());
    let last = write_segments(&first, 3);
    let _it_stays_open = second.begin(&opening(7)).unwrap();
    second.write(&opening(8), &outcome(8)).unwrap();
    let (records, found) = export(home.path());
    assert_eq!((found.lanes, found.interrupted, found.torn), (2, 1, 0));
    let of = |lane: &Lane| -> Vec<AccessRecord<'static>> {
        records.iter().filter(|record| record.id.lane == lane.id()).cloned().collect()
    };
    assert!(numbers(&of(&first)).into_iter().eq(1..=last));
    assert_eq!(numbers(&of(&second)), [8, 7]);
    assert!(records.iter().all(|record| record.node == "node-1"));
    let sequence: Vec<u64> = of(&second).iter().map(|record| record.id.seq).collect();
    assert_eq!(sequence, [1, 2]);
}

#[test]
fn lost_segments_in_the_middle_are_passed_over() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let id = lane.id();
    let last = write_segments(&lane, 4);
    let middle = home.path().join("journal").join(crate::journal::segment::file_name(id, 2));
    let first = home.path().join("journal").join(crate::journal::segment::file_name(id, 1));
    lane.abandon();
    drop(journal);
    std::fs::remove_file(middle).unwrap();
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[200_000] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let (journal, _) = open(home.path(), SMALL);
    let mut source = journal.source();
    let (mut after, mut seen, mut gaps) = (0, 0, 0);
    loop {
        let batch = source.read(id, after, 10, 1 << 20).unwrap();
        if batch.is_empty() {
            break;
        }
        gaps += u64::from(batch.after > after);
        assert!(batch.records().all(|record| record.id.seq == number_of(&record)));
        seen += batch.len() as u64;
        after = batch.last();
    }
    assert_eq!((after, gaps), (last, 1));
    assert!(seen < last && seen > last / 3, "{seen} of {last}");
}

/// Reads a lane to its end, passing over what is gone: where it began to be whole again, and how many records there were.
fn read_all(source: &mut Source, lane: LaneId) -> (Vec<u64>, u64, u64) {
    let (mut after, mut seen, mut gaps) = (0, 0, Vec::new());
    loop {
        let batch = source.read(lane, after, 10, 1 << 20).unwrap();
        if batch.after > after {
            gaps.push(batch.after);
        } else if batch.is_empty() {
            return (gaps, seen, after);
        }
        assert!(batch.records().all(|record| record.id.seq == number_of(&record)));
        seen += batch.len() as u64;
        after = batch.last();
    }
}

#[test]
fn a_file_that_vanishes_does_not_end_shipping() {
    for vanishing in [vec![1], vec![2], vec![2, 3], vec![4], vec![1, 2, 3, 4]] {
        let home = home();
        let (journal, _) = open(home.path(), SMALL);
        let lane = journal.lane().unwrap();
        let id = lane.id();
        let last = write_segments(&lane, 4);
        lane.abandon();
        drop(journal);
        let (journal, _) = open(home.path(), SMALL);
        for number in &vanishing {
            let name = crate::journal::segment::file_name(id, *number);
            std::fs::remove_file(home.path().join("journal").join(name)).unwrap();
        }
        let mut source = journal.source();
        let (gaps, seen, end) = read_all(&mut source, id);
        assert_eq!((gaps.len(), end), (1, last), "{vanishing:?}");
        assert_eq!(seen == 0, vanishing.len() == 4, "{vanishing:?}");
        source.shipped(id, last, Duration::ZERO).unwrap();
        eventually("nothing is left", || source.finished() == [id]);
        assert_eq!(journal.figures().disk_used, 0, "{vanishing:?}");
    }
}

#[test]
fn what_waits_again_is_not_deleted_by_who_looked_before() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let last = write_segments(&lane, 2);
    let mut source = journal.source();
    source.shipped(lane.id(), last, Duration::from_secs(3600)).unwrap();
    let shelf = &journal.keeping.shared.shelf;
    let first = lock(shelf).lanes[0].holding(1).unwrap();
    source.unshipped(lane.id(), 0).unwrap();
    assert!(!lock(shelf).lets_go(lane.id(), &first));
    assert_eq!(drain(&mut source)[0].1.len() as u64, last);
    source.shipped(lane.id(), last, Duration::from_secs(3600)).unwrap();
    assert!(lock(shelf).lets_go(lane.id(), &first));
}

#[test]
fn what_was_shipped_before_the_start_does_not_wait() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let last = write_segments(&lane, 3);
    let first = lane.worker.active_segment().unwrap().first();
    let mut source = journal.source();
    source.shipped(lane.id(), last, Duration::ZERO).unwrap();
    eventually("they are deleted", || {
        journal.flush().unwrap();
        count_files(&home) <= 2
    });
    lane.abandon();
    drop((source, journal));
    let (journal, _) = open(home.path(), SMALL);
    assert_eq!(journal.figures().waiting, last + 1 - first);
}

#[test]
fn a_file_that_vanishes_under_its_worker_is_written_anew() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let last = write_segments(&lane, 2);
    let segment = lane.worker.active_segment().unwrap();
    std::fs::remove_file(&segment.path).unwrap();
    let mut source = journal.source();
    source.force();
    assert_eq!(read_all(&mut source, lane.id()), (vec![], last, last));
    eventually("it is back", || segment.path.exists());
    lane.abandon();
    drop((source, journal));
    assert_eq!(export(home.path()).0.len() as u64, last);
}
