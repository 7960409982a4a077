//! What recording costs: a record on the worker, and reading them again.
//!
//! `cargo bench --bench journal`. In memory (/dev/shm), so that it is our own cost that is measured, and not how fast a disk takes
//! what the keeper forces to it; what was written is shipped at once, so that segments come and go as they do under load.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on shall stop")]

use std::hint::black_box;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;

use postern::journal::{Begun, Full, Journal, Lane, Settings, Source};
use postern::model::{Decision, NodeName, Opening, Outcome, RequestId, Timestamp};

/// Shows allocations beside the times: recording makes none.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(sample_size = 1_000)]
fn begin_and_complete(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    bencher.bench_local(|| {
        let begun = scene.begin();
        scene.lane.complete(begun, black_box(&OUTCOME));
    });
}

/// With a hundred others open meanwhile.
#[divan::bench(sample_size = 1_000)]
fn among_a_hundred(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    let mut open: Vec<Begun> = (0..100).map(|_| scene.begin()).collect();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = (turn + 37) % open.len();
        let begun = std::mem::replace(&mut open[turn], scene.begin());
        scene.lane.complete(begun, black_box(&OUTCOME));
    });
}

#[divan::bench(sample_size = 1_000)]
fn refusal(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    bencher.bench_local(|| scene.keep_trying(|| scene.lane.write(black_box(&opening()), &OUTCOME)));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn read_a_million(bencher: Bencher<'_, '_>) {
    const MANY: usize = 1_000_000;
    let scene = Scene::new();
    for _ in 0..MANY {
        let begun = scene.begin();
        scene.lane.complete(begun, &OUTCOME);
    }
    bencher
        .counter(ItemsCount::new(MANY))
        .with_inputs(|| scene.journal.source())
        .bench_local_values(|mut source| {
            let mut after = 0;
            let mut bytes = 0;
            while after < MANY as u64 {
                let batch = source.read(scene.lane.id(), after, 5_000, 4 << 20).unwrap();
                bytes += batch.records().map(|record| record.opening.path.len()).sum::<usize>();
                after = batch.last();
            }
            bytes
        });
}

struct Scene {
    journal: Journal,
    lane: Lane,
    _home: tempfile::TempDir,
}

const OUTCOME: Outcome<'static> = Outcome {
    decision: Decision::Allow,
    code: std::borrow::Cow::Borrowed(""),
    status: 200,
    bytes_in: 0,
    bytes_out: 14_321,
    duration_us: 8_412,
    upstream_us: Some(7_901),
    count: 1,
};

fn opening() -> Opening<'static> {
    Opening {
        ts: Timestamp::from_micros(1_800_000_000_000_000),
        request_id: RequestId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        practice: "north".into(),
        key: "0123456789aB".into(),
        vendor: "acme-scheduling".into(),
        owner: "dr-lee".into(),
        api: "practice".into(),
        method: "GET".into(),
        route: "/v1/patients/{id}/appointments".into(),
        path: "/v1/patients/{id}/appointments".into(),
        category: "patient appointment".into(),
        access: "read".into(),
        ip: [192, 0, 2, 1].into(),
        user_agent: "acme-scheduling/4.2 (linux; x86_64)".into(),
    }
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let dir = home.path().join("journal");
        let settings = Settings { dir, sync: Duration::from_millis(100), max_disk: 8 << 30 };
        let (journal, _) = Journal::open(&settings, &NodeName::parse("bench").unwrap()).unwrap();
        let lane = journal.lane().unwrap();
        Self { journal, lane, _home: home }
    }

    fn begin(&self) -> Begun {
        self.keep_trying(|| self.lane.begin(black_box(&opening())))
    }

    /// A bench fills segments faster than any gateway: it may have to wait for the keeper, and to ship, too.
    fn keep_trying<T>(&self, attempt: impl Fn() -> Result<T, Full>) -> T {
        loop {
            if let Ok(done) = attempt() {
                return done;
            }
            self.make_room(self.journal.source());
        }
    }

    fn make_room(&self, mut source: Source) {
        if self.journal.figures().disk_used > 7 << 30 {
            source.shipped(self.lane.id(), u64::MAX, Duration::ZERO).unwrap();
        }
        std::thread::yield_now();
    }
}
