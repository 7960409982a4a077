//! The journal as a whole: in a directory in memory, killed, damaged, filled, and read beside its writer.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::journal::news::lock;
use crate::journal::{Batch, Journal, Lane, Recovered, Settings, Source, read_directory};
use crate::model::{
    AccessRecord, Decision, LaneId, NodeName, Opening, Outcome, RequestId, Timestamp,
};

mod damage;
mod disk;
mod machine;
mod shipping;

/// In memory where the machine has such a place: thousands of files are made and forced to disk here.
fn home() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn settings(dir: &Path, max_disk: u64) -> Settings {
    Settings { dir: dir.join("journal"), sync: Duration::from_millis(100), max_disk }
}

fn open(dir: &Path, max_disk: u64) -> (Journal, Recovered) {
    let node = NodeName::parse("node-1").unwrap();
    Journal::open(&settings(dir, max_disk), &node).unwrap()
}

/// The opening of a request of which the number says everything.
fn opening(number: u64) -> Opening<'static> {
    Opening {
        ts: Timestamp::from_micros(1_800_000_000_000_000 + number.cast_signed()),
        request_id: RequestId::new(number.into()),
        practice: "north".into(),
        key: "0123456789aB".into(),
        vendor: "acme".into(),
        owner: "dr-lee".into(),
        api: "practice".into(),
        method: "GET".into(),
        route: "/v1/patients/{id}".into(),
        path: "/v1/patients/{id}".into(),
        category: "patient".into(),
        access: "read".into(),
        ip: [192, 0, 2, 1].into(),
        user_agent: "acme/1.0".into(),
    }
}

/// One whose frame has about so many bytes.
fn long_opening(number: u64, bytes: usize) -> Opening<'static> {
    let path = "p".repeat(bytes.saturating_sub(180).min(2048));
    Opening {
        path: path.into(),
        route: "r".repeat(bytes.saturating_sub(2228).min(2048)).into(),
        ..opening(number)
    }
}

fn outcome(number: u64) -> Outcome<'static> {
    Outcome {
        decision: Decision::ALL[usize::try_from(number % 3).unwrap()],
        code: if number.is_multiple_of(5) { "upstream_timeout".into() } else { "".into() },
        status: 200 + u16::try_from(number % 300).unwrap(),
        bytes_in: number,
        bytes_out: number * 1000,
        duration_us: number * 7,
        upstream_us: number.is_multiple_of(2).then_some(number),
        count: 1,
    }
}

/// The number that an opening was made of.
fn number_of(record: &AccessRecord<'_>) -> u64 {
    u64::try_from(record.opening.request_id.bits()).unwrap()
}

fn is_interrupted(record: &AccessRecord<'_>) -> bool {
    record.outcome.code == Outcome::INTERRUPTED
}

/// Waits for what another thread does.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < end, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Everything that is readable, by lane.
fn drain(source: &mut Source) -> Vec<(LaneId, Vec<AccessRecord<'static>>)> {
    source.force();
    let lanes = source.lanes().unwrap();
    let read = |(lane, last): (LaneId, u64)| {
        let (mut records, mut after) = (Vec::new(), 0);
        loop {
            let batch = source.read(lane, after, 100, 1 << 20).unwrap();
            if batch.is_empty() {
                break;
            }
            assert_eq!(batch.after, after);
            records.extend(batch.records().map(AccessRecord::into_owned));
            after = batch.last();
        }
        assert_eq!(after, last, "as many as the lane says");
        (lane, records)
    };
    lanes.into_iter().map(read).collect()
}

fn numbers(records: &[AccessRecord<'static>]) -> Vec<u64> {
    records.iter().map(number_of).collect()
}

fn export(dir: &Path) -> (Vec<AccessRecord<'static>>, Recovered) {
    let mut records = Vec::new();
    let recovered = read_directory(&dir.join("journal"), &mut |record| {
        records.push(record.into_owned());
        Ok(())
    });
    (records, recovered.unwrap())
}

const ROOMY: u64 = 1 << 30;
/// So little that segments are as small as they may be.
const SMALL: u64 = 8 << 20;

#[test]
fn records_are_read_as_they_were_written() {
    let home = home();
    let (journal, recovered) = open(home.path(), ROOMY);
    assert_eq!(recovered, Recovered::default());
    let lane = journal.lane().unwrap();
    let first = lane.begin(&opening(1)).unwrap();
    let second = lane.begin(&opening(2)).unwrap();
    lane.write(&opening(3), &outcome(3)).unwrap();
    lane.complete(second, &outcome(2));
    lane.complete(first, &outcome(1));
    let mut source = journal.source();
    source.force();
    let batch = source.read(lane.id(), 0, 10, 1 << 20).unwrap();
    let records: Vec<_> = batch.records().collect();
    assert_eq!((batch.len(), batch.last(), &*batch.node), (3, 3, "node-1"));
    for (record, (seq, number)) in records.iter().zip([(1, 3), (2, 2), (3, 1)]) {
        assert_eq!((record.id.lane, record.id.seq), (lane.id(), seq));
        assert_eq!((&record.opening, &record.outcome), (&opening(number), &outcome(number)));
        assert_eq!(record.node, "node-1");
    }
    let same = [3, 2, 1].map(|number| (opening(number), outcome(number)));
    assert_eq!(Batch::of(lane.id(), "node-1", 0, same), batch);
}

#[test]
fn a_batch_is_bounded_and_goes_on_where_it_ended() {
    let home = home();
    let (journal, _) = open(home.path(), ROOMY);
    let lane = journal.lane().unwrap();
    for number in 1..=50 {
        lane.write(&opening(number), &outcome(number)).unwrap();
    }
    let mut source = journal.source();
    source.force();
    let sizes = [(7, 1 << 20, 7), (100, 1, 1), (100, 1 << 20, 42), (100, 1 << 20, 0)];
    let mut after = 0;
    for (most, bytes, expected) in sizes {
        let batch = source.read(lane.id(), after, most, bytes).unwrap();
        assert_eq!((batch.after, batch.len()), (after, expected));
        after = batch.last();
    }
    let back = source.read(lane.id(), 13, 2, 1 << 20).unwrap();
    assert_eq!((back.after, number_of(&back.records().next().unwrap())), (13, 14));
}

#[test]
fn figures_say_what_was_counted() {
    let home = home();
    let (journal, _) = open(home.path(), ROOMY);
    let lane = journal.lane().unwrap();
    let open = lane.begin(&opening(1)).unwrap();
    for number in 2..=5 {
        lane.write(&opening(number), &outcome(number)).unwrap();
    }
    let looked = || {
        journal.flush().unwrap();
        journal.keeping.shared.look();
        journal.figures()
    };
    let figures = looked();
    assert_eq!((figures.begun, figures.completed, figures.waiting), (5, 4, 4));
    assert_eq!(figures.oldest_waiting, Some(opening(2).ts));
    assert!(figures.disk_used >= 256 << 10 && figures.disk_max == ROOMY);
    assert!(!figures.is_full && !figures.is_failing);
    let mut source = journal.source();
    assert_eq!(source.read(lane.id(), 0, 3, 1 << 20).unwrap().len(), 3);
    source.shipped(lane.id(), 3, Duration::ZERO).unwrap();
    let figures = looked();
    assert_eq!(figures.waiting, 1);
    assert_eq!(figures.oldest_waiting, Some(opening(5).ts));
    source.unshipped(lane.id(), 1).unwrap();
    assert_eq!(looked().oldest_waiting, Some(opening(3).ts));
    source.shipped(lane.id(), 4, Duration::ZERO).unwrap();
    lane.complete(open, &outcome(1));
    assert_eq!(looked().oldest_waiting, Some(opening(1).ts));
    source.shipped(lane.id(), 5, Duration::ZERO).unwrap();
    assert_eq!((journal.figures().waiting, journal.figures().oldest_waiting), (0, None));
}

#[test]
fn who_asks_for_figures_waits_for_no_disk() {
    let home = home();
    let (journal, _) = open(home.path(), ROOMY);
    let lane = journal.lane().unwrap();
    lane.write(&opening(1), &outcome(1)).unwrap();
    journal.flush().unwrap();
    // What the file says now is not what it said when the keeper looked.
    journal.keeping.shared.look();
    journal.source().shipped(lane.id(), 1, Duration::ZERO).unwrap();
    lane.write(&opening(2), &outcome(2)).unwrap();
    assert_eq!(journal.figures().oldest_waiting, Some(opening(1).ts));
    eventually("the keeper looks", || journal.figures().oldest_waiting == Some(opening(2).ts));
}

#[test]
fn what_a_power_cut_could_take_is_not_shipped() {
    let home = home();
    let node = NodeName::parse("node-1").unwrap();
    let never = Settings { sync: Duration::from_secs(3600), ..settings(home.path(), SMALL) };
    let (journal, _) = Journal::open(&never, &node).unwrap();
    let lane = journal.lane().unwrap();
    let mut source = journal.source();
    lane.write(&opening(1), &outcome(1)).unwrap();
    journal.flush().unwrap();
    let segment = lane.worker.active_segment().unwrap();
    let on_disk = usize::try_from(segment.end()).unwrap();
    let open = lane.begin(&opening(2)).unwrap();
    lane.write(&opening(3), &outcome(3)).unwrap();
    let batch = source.read(lane.id(), 0, 10, 1 << 20).unwrap();
    assert_eq!(batch.records().map(|record| number_of(&record)).collect::<Vec<_>>(), [1]);
    assert!(source.read(lane.id(), 1, 10, 1 << 20).unwrap().is_empty());
    // A segment that was left is no better.
    while lane.worker.active_segment().unwrap().number == segment.number {
        eventually("room", || lane.write(&long_opening(4, 4000), &outcome(4)).is_ok());
    }
    assert!(source.read(lane.id(), 1, 10, 1 << 20).unwrap().is_empty());
    lane.complete(open, &outcome(2));
    journal.flush().unwrap();
    assert!(on_disk < usize::try_from(segment.end()).unwrap());
    assert_eq!(source.read(lane.id(), 1, 1, 1 << 20).unwrap().last(), 2);
}

#[test]
fn who_waits_is_told_of_a_record() {
    let home = home();
    let (journal, _) = open(home.path(), ROOMY);
    let lane = journal.lane().unwrap();
    let mut source = journal.source();
    let waiting = std::thread::spawn(move || {
        // Without being told, this would be the end of the test's patience.
        source.wait(Duration::from_secs(600));
        source
    });
    eventually("it sleeps", || journal.keeping.shared.news.sleeps());
    lane.write(&opening(1), &outcome(1)).unwrap();
    let mut source = waiting.join().unwrap();
    assert_eq!(source.read(lane.id(), 0, 10, 1 << 20).unwrap().len(), 1);
    // Nothing new: patience ends it.
    source.wait(Duration::from_millis(1));
}

#[test]
fn a_reader_beside_the_writer_sees_every_record_once() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL * 4);
    let lane = journal.lane().unwrap();
    let (id, total) = (lane.id(), 20_000_u64);
    let mut source = journal.source();
    let reader = std::thread::spawn(move || {
        let mut after = 0;
        let mut seen = Vec::new();
        while after < total {
            let batch = source.read(id, after, 500, 1 << 20).unwrap();
            assert_eq!(batch.after, after);
            for record in batch.records() {
                let number = number_of(&record);
                assert_eq!(
                    (&record.opening, &record.outcome),
                    (&opening(number), &outcome(number))
                );
                seen.push(number);
            }
            after = batch.last();
            source.shipped(id, after, Duration::ZERO).unwrap();
            source.wait(Duration::from_millis(5));
        }
        seen
    });
    let mut held = std::collections::VecDeque::new();
    for number in 0..total {
        let mut begun = None;
        eventually("room", || {
            begun = lane.begin(&opening(number)).ok();
            begun.is_some()
        });
        held.push_back((number, begun.unwrap()));
        if held.len() > 20 {
            let place = usize::try_from(number % 20).unwrap();
            let (number, begun) = held.remove(place).unwrap();
            lane.complete(begun, &outcome(number));
        }
    }
    for (number, begun) in held {
        lane.complete(begun, &outcome(number));
    }
    let mut seen = reader.join().unwrap();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..total));
    assert!(
        lock(&journal.keeping.shared.shelf).lanes[0].segments.len() < 30,
        "nothing was deleted"
    );
}
