//! The shipper between a real journal and a store that does whatever a store may do.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::journal::{Journal, Lane, Settings};
use crate::model::{Decision, NodeName, Opening, Outcome, RecordId, RequestId, Tally, Timestamp};
use crate::store::Task;
use crate::store::access::{
    Acknowledged, ActivityQuery, Expired, Page, RefusalCount, Span, Step, Whose,
};

mod gathering;

/// A store in memory that fails as it is told.
#[derive(Debug, Default)]
struct Fake(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// In the order in which they were taken, with the request that each stands for.
    records: Vec<(RecordId, u128)>,
    lanes: BTreeMap<LaneId, u64>,
    forgotten: Vec<LaneId>,
    /// Larger batches are not taken in time.
    most: Option<usize>,
    /// What is kept of this lane is damaged.
    damaged: Option<LaneId>,
    /// The next answers, where it is not to do what it is asked.
    faults: Vec<Fault>,
    sizes: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Refuses,
    /// Does it, and says nothing.
    Silent,
    /// Says that it lacks what it has.
    Lies,
    /// Loses its last records, so many, and then does it.
    GoesBack(usize),
}

impl Memory {
    /// What a failover or a lost tail of an AOF leaves: records and numbers of one moment.
    fn go_back(&mut self, records: usize) {
        let left = self.records.len().saturating_sub(records);
        self.records.truncate(left);
        for (lane, last) in &mut self.lanes {
            let of_lane = self.records.iter().filter(|(id, _)| id.lane == *lane);
            *last = of_lane.map(|(id, _)| id.seq).max().unwrap_or(0).min(*last);
        }
    }

    fn take(&mut self, batch: &Batch) -> Result<Taken, StoreError> {
        if self.damaged == Some(batch.lane) {
            return Err(StoreError::Corrupt("its number".to_owned()));
        }
        let fault = self.faults.pop();
        if let Some(Fault::GoesBack(records)) = fault {
            self.go_back(records);
        }
        if fault == Some(Fault::Refuses) || self.most.is_some_and(|most| batch.len() > most) {
            return Err(StoreError::Unavailable("not now".to_owned()));
        }
        if fault == Some(Fault::Lies) {
            return Ok(Taken::Behind(batch.after));
        }
        let last = self.lanes.entry(batch.lane).or_insert(0);
        if *last < batch.after {
            return Ok(Taken::Behind(*last));
        }
        for record in batch.records().filter(|record| record.id.seq > *last) {
            self.records.push((record.id, record.opening.request_id.bits()));
        }
        *last = batch.last().max(*last);
        self.sizes.push(batch.len());
        match fault {
            Some(Fault::Silent) => Err(StoreError::Unknown("no answer".to_owned())),
            _ => Ok(Taken::All),
        }
    }
}

impl Fake {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap()
    }
}

/// Answered at once.
fn ready<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Task<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl AccessStore for Fake {
    fn lanes<'a>(&'a self, lanes: &'a [LaneId]) -> Task<'a, Vec<u64>> {
        let memory = self.memory();
        if memory.damaged.is_some_and(|damaged| lanes.contains(&damaged)) {
            return ready(Err(StoreError::Corrupt("its number".to_owned())));
        }
        ready(Ok(lanes.iter().map(|lane| memory.lanes.get(lane).copied().unwrap_or(0)).collect()))
    }

    fn take(&self, batch: Arc<Batch>) -> Task<'_, Taken> {
        ready(self.memory().take(&batch))
    }

    fn skip(&self, lane: LaneId, upto: u64) -> Task<'_, ()> {
        let mut memory = self.memory();
        let last = memory.lanes.entry(lane).or_insert(0);
        *last = upto.max(*last);
        ready(Ok(()))
    }

    fn forget<'a>(&'a self, lanes: &'a [LaneId]) -> Task<'a, ()> {
        let mut memory = self.memory();
        memory.forgotten.extend(lanes);
        ready(Ok(()))
    }

    fn page<'a>(&'a self, _: &'a ActivityQuery) -> Task<'a, Page> {
        ready(Ok(Page::default()))
    }

    fn usage<'a>(
        &'a self,
        _: &'a Whose,
        _: Timestamp,
        _: Timestamp,
        _: Step,
    ) -> Task<'a, Vec<Span>> {
        ready(Ok(Vec::new()))
    }

    fn totals<'a>(&'a self, _: &'a [Whose], _: Timestamp, _: Timestamp) -> Task<'a, Vec<Tally>> {
        ready(Ok(Vec::new()))
    }

    fn refusals<'a>(
        &'a self,
        _: &'a Whose,
        _: Timestamp,
        _: Timestamp,
    ) -> Task<'a, Vec<RefusalCount>> {
        ready(Ok(Vec::new()))
    }

    fn expire(&self, _: Timestamp, _: Timestamp) -> Task<'_, Expired> {
        ready(Ok(Expired::default()))
    }

    fn acknowledge(&self, _: Acknowledged) -> Task<'_, ()> {
        ready(Ok(()))
    }

    fn acknowledged<'a>(&'a self, _: &'a [Box<str>]) -> Task<'a, Vec<Acknowledged>> {
        ready(Ok(Vec::new()))
    }

    fn concerns(&self) -> Task<'_, Vec<String>> {
        ready(Ok(Vec::new()))
    }
}

const KEEP: Duration = Duration::from_secs(600);
/// What a store takes at once that does not say otherwise.
const MOST: usize = 5_000;
const MIB: u64 = 1 << 20;

/// A journal with one lane, and a shipper that is driven by hand.
struct Bench {
    home: TempDir,
    store: Arc<Fake>,
    history: History,
    lane: Lane,
    shipping: Shipping,
    end: watch::Sender<Option<Instant>>,
    written: u128,
    runtime: tokio::runtime::Runtime,
}

fn settings(home: &TempDir) -> Settings {
    Settings { dir: home.path().to_owned(), sync: Duration::from_secs(1), max_disk: 64 * MIB }
}

fn opening(number: u128) -> Opening<'static> {
    Opening {
        ts: Timestamp::from_micros(1_763_625_600_000_000 + i64::try_from(number).unwrap()),
        request_id: RequestId::new(number),
        practice: "north".into(),
        key: "4fJ2aB9xQ7Lm".into(),
        vendor: "acme".into(),
        owner: "dr-lee".into(),
        api: "standard".into(),
        method: "GET".into(),
        route: "/v1/patients/{id}".into(),
        path: "/v1/patients/{id}".into(),
        category: "patient".into(),
        access: "read".into(),
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: "a test".into(),
    }
}

const DONE: Outcome<'static> = Outcome {
    decision: Decision::Allow,
    code: std::borrow::Cow::Borrowed(""),
    status: 200,
    bytes_in: 0,
    bytes_out: 512,
    duration_us: 1500,
    upstream_us: Some(1000),
    count: 1,
};

impl Bench {
    fn new() -> Self {
        Self::in_home(tempfile::tempdir().unwrap(), Arc::default(), 0)
    }

    fn in_home(home: TempDir, store: Arc<Fake>, written: u128) -> Self {
        let node = NodeName::parse("gw-1").unwrap();
        let (journal, _) = Journal::open(&settings(&home), &node).unwrap();
        let lane = journal.lane().unwrap();
        let history = History::new(journal, Arc::clone(&store) as Arc<dyn AccessStore>);
        let (end, ending) = watch::channel(None);
        let shipping = Shipping::new(&history, KEEP, ending);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        Self { home, store, history, lane, shipping, end, written, runtime }
    }

    /// The same journal after the gateway was killed.
    fn restarted(self) -> Self {
        let Self { home, store, history, lane, shipping, written, .. } = self;
        drop((lane, shipping, history));
        Self::in_home(home, store, written)
    }

    fn write(&mut self, records: u128) {
        for _ in 0..records {
            self.written += 1;
            let opening = opening(self.written);
            // On a machine that has much else to do, the next segment may not lie ready yet.
            let begin = || self.lane.begin(&opening).inspect_err(|_| thread::sleep(GATHER));
            let begun = (0..100).find_map(|_| begin().ok()).unwrap();
            self.lane.complete(begun, &DONE);
        }
        // Nothing is shipped before it is forced to disk.
        self.history.journal.flush().unwrap();
    }

    /// What follows a trouble: the store is asked how far it is.
    fn doubt(&mut self) {
        self.shipping.look = self.runtime.block_on(async { Instant::now() });
    }

    fn round(&mut self) -> Result<(), Trouble> {
        self.runtime.block_on(self.shipping.round())
    }

    /// As the shipper does: after a trouble it asks how far the store is.
    fn rounds(&mut self, most: usize) {
        for _ in 0..most {
            if self.round().is_ok() && self.history.journal.figures().waiting == 0 {
                return;
            }
            self.doubt();
        }
        panic!("still not shipped after {most} rounds");
    }

    fn rounds_with_pauses(&mut self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while self.round().is_err() || self.history.journal.figures().waiting > 0 {
            assert!(std::time::Instant::now() < deadline, "still not shipped");
            self.doubt();
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Every record that was written is there, once.
    fn assert_whole(&self) {
        let memory = self.store.memory();
        let mut requests: Vec<u128> = memory.records.iter().map(|(_, request)| *request).collect();
        requests.sort_unstable();
        assert!(
            requests.iter().copied().eq(1..=self.written),
            "{} of {}",
            requests.len(),
            self.written
        );
    }
}

#[test]
fn what_was_written_is_there_once_and_in_its_order() {
    let mut bench = Bench::new();
    bench.write(3 * MOST as u128 + 7);
    bench.round().unwrap();
    bench.assert_whole();
    assert!(bench.store.memory().records.is_sorted());
    bench.round().unwrap();
    bench.assert_whole();
    assert_eq!(bench.history.status().1.shipped, 3 * MOST as u64 + 7);
}

#[test]
fn a_batch_whose_answer_never_came_is_there_once() {
    let mut bench = Bench::new();
    bench.write(10);
    bench.store.memory().faults = vec![Fault::Silent];
    assert!(bench.round().is_err());
    bench.write(10);
    bench.rounds(2);
    bench.assert_whole();
}

#[test]
fn a_store_that_lost_its_last_records_gets_them_again() {
    let mut bench = Bench::new();
    bench.write(100);
    bench.rounds(1);
    bench.write(1);
    bench.store.memory().faults = vec![Fault::GoesBack(40)];
    bench.rounds(3);
    bench.assert_whole();
    assert_eq!(bench.history.status().1.rewinds, 1);
}

#[test]
fn a_loss_is_noticed_without_traffic() {
    let mut bench = Bench::new();
    bench.write(100);
    bench.rounds(1);
    bench.store.memory().go_back(100);
    bench.round().unwrap();
    assert_eq!(bench.store.memory().records.len(), 0, "it is not asked all the time");
    bench.runtime.block_on(tokio::time::advance(LOOK));
    bench.rounds(1);
    bench.assert_whole();
    assert_eq!(bench.history.status().1.rewinds, 1);
}

#[test]
fn a_restart_goes_on_where_the_store_is() {
    let mut bench = Bench::new();
    bench.write(50);
    bench.rounds(1);
    bench.write(30);
    let mut bench = bench.restarted();
    bench.write(5);
    bench.rounds(1);
    bench.assert_whole();
    // Shipped, all of it: nothing of an earlier start is there to be told of again.
    assert_eq!(bench.history.status().1.shipped, 35);
}

#[test]
fn what_nobody_has_any_more_is_counted_and_passed_over() {
    let mut bench = Bench::new();
    bench.shipping.keep = Duration::ZERO;
    // More than one segment, so that the first is deleted once it was shipped.
    let files = |bench: &Bench| {
        let entries = std::fs::read_dir(bench.home.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let first = files(&bench);
    while files(&bench).len() <= first.len() + 1 && first.iter().all(|file| file.exists()) {
        bench.write(2000);
        bench.rounds(1);
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while first.iter().all(|file| file.exists()) {
        assert!(std::time::Instant::now() < deadline, "nothing is deleted");
        thread::sleep(Duration::from_millis(5));
    }
    let had = bench.store.memory().records.len();
    bench.store.memory().go_back(had);
    bench.write(3);
    // A file may be on its way out just now.
    bench.rounds_with_pauses();
    let status = bench.history.status().1;
    assert!(status.gone > 0, "{status:?}");
    let left = bench.store.memory().records.len() as u64;
    assert_eq!(u128::from(left + status.gone), bench.written);
    let last = bench.store.memory().records.last().unwrap().1;
    assert_eq!(last, bench.written);
    bench.write(1);
    bench.rounds_with_pauses();
    assert_eq!(bench.history.status().1.gone, status.gone, "and that is all");
}

#[test]
fn a_store_that_contradicts_itself_is_asked_again_after_a_pause() {
    let mut bench = Bench::new();
    bench.write(10);
    bench.store.memory().faults = vec![Fault::Lies];
    assert!(matches!(bench.round(), Err(Trouble::Contradiction(0, _))));
    bench.rounds(1);
    bench.assert_whole();
}

#[test]
fn whatever_the_store_does_every_record_is_there_once() {
    let mut rng = fastrand::Rng::with_seed(7);
    for case in 0..40 {
        let mut bench = Bench::new();
        for _ in 0..rng.usize(1..8) {
            bench.write(u128::from(rng.u32(0..400)));
            let faults = std::iter::repeat_with(|| match rng.u8(0..3) {
                0 => Fault::Refuses,
                1 => Fault::Silent,
                _ => Fault::GoesBack(rng.usize(0..300)),
            });
            bench.store.memory().faults = faults.take(4).collect();
            if rng.u8(0..4) == 0 {
                bench = bench.restarted();
            }
            for _ in 0..rng.usize(0..3) {
                drop(bench.round());
                bench.doubt();
            }
        }
        bench.store.memory().faults.clear();
        bench.doubt();
        bench.rounds(1);
        bench.assert_whole();
        assert_eq!(bench.history.status().1.gone, 0, "case {case}");
    }
}

#[test]
fn a_lane_that_the_store_cannot_take_holds_up_no_other() {
    for is_first in [true, false] {
        let mut bench = Bench::new();
        let mut other = bench.history.journal.lane().unwrap();
        bench.write(10);
        std::mem::swap(&mut bench.lane, &mut other);
        bench.write(10);
        let damaged = if is_first { other.id() } else { bench.lane.id() };
        bench.store.memory().damaged = Some(damaged);
        assert!(matches!(bench.round(), Err(Trouble::Store(StoreError::Corrupt(_)))));
        assert_eq!(bench.store.memory().records.len(), 10, "those of the other are there");
        assert!(bench.shipping.stuck.contains(&damaged) && bench.shipping.most == MOST);
        bench.store.memory().damaged = None;
        bench.rounds(1);
        bench.assert_whole();
        assert!(bench.shipping.stuck.is_empty());
    }
}

#[test]
fn the_store_is_not_blamed_for_the_journal() {
    let source = io::Error::other("the disk");
    let dir = "journal".into();
    let journal = Trouble::Journal(JournalError::Io { dir, source });
    assert!(!journal.outcome().contains("the store"), "{}", journal.outcome());
    let store = Trouble::Store(StoreError::Unavailable("it is away".to_owned()));
    assert!(store.outcome().contains("the store"), "{}", store.outcome());
}

#[test]
fn the_end_ships_what_is_left_and_no_longer_than_it_may() {
    let mut bench = Bench::new();
    bench.write(500);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shipper = bench.history.ship(runtime.handle().clone(), KEEP).unwrap();
    runtime.block_on(shipper.finish(Duration::from_secs(20)));
    bench.assert_whole();
    // A store that takes nothing ends it at its time.
    bench.write(1);
    bench.store.memory().most = Some(0);
    let shipper = bench.history.ship(runtime.handle().clone(), KEEP).unwrap();
    runtime.block_on(shipper.finish(Duration::from_millis(100)));
    assert_eq!(bench.history.journal.figures().waiting, 1);
}
