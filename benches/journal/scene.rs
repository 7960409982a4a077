//! A lane of a journal in memory, and what is written into it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use postern::journal::{Begun, Full, Journal, Lane, Settings, Source};
use postern::model::{Decision, NodeName, Opening, Outcome, RequestId, Timestamp};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    pub(crate) journal: Journal,
    pub(crate) lane: Lane,
    _home: tempfile::TempDir,
}

pub(crate) const OUTCOME: Outcome<'static> = Outcome {
    decision: Decision::Allow,
    code: std::borrow::Cow::Borrowed(""),
    status: 200,
    bytes_in: 0,
    bytes_out: 14_321,
    duration_us: 8_412,
    upstream_us: Some(7_901),
    count: 1,
};

pub(crate) fn opening() -> Opening<'static> {
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
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let dir = home.path().join("journal");
        let settings = Settings { dir, sync: Duration::from_millis(100), max_disk: 8 << 30 };
        let (journal, _) = Journal::open(&settings, &NodeName::parse("bench").unwrap()).unwrap();
        let lane = journal.lane().unwrap();
        Self { journal, lane, _home: home }
    }

    pub(crate) fn begin(&self) -> Begun {
        self.keep_trying(|| self.lane.begin(black_box(&opening())))
    }

    /// A bench fills segments faster than any gateway: it may have to wait for the keeper, and to ship, too.
    pub(crate) fn keep_trying<T>(&self, attempt: impl Fn() -> Result<T, Full>) -> T {
        let mut waiting = None;
        loop {
            if let Ok(done) = attempt() {
                return done;
            }
            let since = *waiting.get_or_insert_with(Instant::now);
            assert!(since.elapsed() < PATIENCE, "the disk is full");
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
