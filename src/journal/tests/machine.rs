//! A random life against a model: begun, completed, written, rotated, read, shipped, killed, in any order; every completed record
//! is there exactly once, and every open one is interrupted once.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;

use super::*;
use crate::journal::Begun;

/// What must be true.
#[derive(Default)]
struct Model {
    /// Finished in a lane, in order; the last ones of a lane that was killed are interrupted, in any order.
    finished: BTreeMap<LaneId, Vec<u64>>,
    interrupted: BTreeSet<u64>,
}

/// What a store would have: the numbers of a lane's records so far.
#[derive(Default)]
struct Store(BTreeMap<LaneId, Vec<u64>>);

struct Life {
    home: TempDir,
    random: fastrand::Rng,
    next: u64,
    model: Model,
    store: Store,
    kills: usize,
}

impl Life {
    fn live(&mut self) {
        for _ in 0..self.random.usize(1..4) {
            let (journal, recovered) = open(self.home.path(), SMALL);
            assert!(recovered.interrupted <= self.model.interrupted.len() as u64);
            let mut source = journal.source();
            for lane in self.store.0.keys() {
                let had = self.store.0[lane].len() as u64;
                source.shipped(*lane, had, Duration::ZERO).unwrap();
            }
            let lanes: Vec<Lane> = (0..2).map(|_| journal.lane().unwrap()).collect();
            let mut open: Vec<Vec<(u64, Begun)>> = vec![Vec::new(), Vec::new()];
            for _ in 0..self.random.usize(0..120) {
                let which = self.random.usize(0..2);
                self.step(&mut source, &lanes[which], &mut open[which]);
            }
            self.end(lanes, open);
        }
        let (journal, _) = open(self.home.path(), SMALL);
        let mut source = journal.source();
        while self.ship(&mut source) {}
        self.check();
    }

    fn step(&mut self, source: &mut Source, lane: &Lane, open: &mut Vec<(u64, Begun)>) {
        let size = *self.random.choice(&[200, 200, 700, 3000, 4200]).unwrap();
        let next = long_opening(self.next, size);
        match self.random.u8(0..20) {
            0..8 => {
                if let Ok(begun) = lane.begin(&next) {
                    open.push((self.next, begun));
                    self.next += 1;
                }
            }
            8..15 if !open.is_empty() => {
                let (number, begun) = open.swap_remove(self.random.usize(0..open.len()));
                lane.complete(begun, &outcome(number));
                self.model.finished.entry(lane.id()).or_default().push(number);
            }
            15..19 => {
                if lane.write(&next, &outcome(self.next)).is_ok() {
                    self.model.finished.entry(lane.id()).or_default().push(self.next);
                    self.next += 1;
                }
            }
            _ => {
                self.ship(source);
            }
        }
    }

    /// A kill, with or without a frame half written; or a clean end.
    fn end(&mut self, lanes: Vec<Lane>, open: Vec<Vec<(u64, Begun)>>) {
        let is_killed = self.random.bool();
        self.kills += usize::from(is_killed);
        for (lane, open) in lanes.into_iter().zip(open) {
            let finished = self.model.finished.entry(lane.id()).or_default();
            let left: Vec<u64> = open.iter().map(|(number, _)| *number).collect();
            finished.extend(&left);
            self.model.interrupted.extend(left);
            if !is_killed {
                continue;
            }
            let segment = lane.worker.active_segment();
            if let Some(segment) = segment.filter(|_| self.random.bool()) {
                let file = std::fs::OpenOptions::new().write(true).open(&segment.path).unwrap();
                let room = segment.size() - segment.end();
                let torn = vec![0xa5; usize::try_from(room.min(self.random.u64(5..500))).unwrap()];
                if let Some(payload) = torn.get(4..) {
                    file.write_all_at(payload, segment.end() + 4).unwrap();
                }
            }
            lane.abandon();
        }
    }

    /// One batch of each lane; whether there was any.
    fn ship(&mut self, source: &mut Source) -> bool {
        let mut any = false;
        if self.random.bool() {
            source.force();
        }
        for (lane, last) in source.lanes().unwrap() {
            let had = self.store.0.entry(lane).or_default();
            let after = had.len() as u64;
            let batch = source.read(lane, after, self.random.usize(1..40), 1 << 20).unwrap();
            assert_eq!(batch.after, after, "a gap");
            assert!(batch.last() <= last.max(after));
            for record in batch.records() {
                let number = number_of(&record);
                if is_interrupted(&record) {
                    assert!(self.model.interrupted.contains(&number), "{number} is complete");
                } else {
                    assert_eq!(record.outcome, outcome(number));
                }
                had.push(number);
            }
            any |= !batch.is_empty();
            source.shipped(lane, batch.last(), Duration::ZERO).unwrap();
        }
        any
    }

    fn check(&self) {
        for (lane, expected) in &self.model.finished {
            let none = Vec::new();
            let had = self.store.0.get(lane).unwrap_or(&none);
            let in_order = |numbers: &[u64]| -> Vec<u64> {
                let complete = |number: &&u64| !self.model.interrupted.contains(number);
                numbers.iter().filter(complete).copied().collect()
            };
            assert_eq!(in_order(had), in_order(expected));
            let sorted = |numbers: &[u64]| {
                let mut numbers = numbers.to_vec();
                numbers.sort_unstable();
                numbers
            };
            assert_eq!(sorted(had), sorted(expected));
        }
        let shipped: usize = self.store.0.values().map(Vec::len).sum();
        assert_eq!(shipped as u64, self.next);
    }
}

#[test]
fn no_record_is_lost_or_doubled_whatever_happens() {
    let (mut kills, mut records) = (0, 0);
    let seeds = std::env::var("POSTERN_SEEDS").map_or(100, |text| text.parse().unwrap());
    for seed in 0..seeds {
        let random = fastrand::Rng::with_seed(seed);
        let (model, store) = Default::default();
        let mut life = Life { home: home(), random, next: 0, model, store, kills: 0 };
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life.live()));
        assert!(lived.is_ok(), "seed {seed}");
        kills += life.kills as u64;
        records += life.next;
    }
    assert!(kills > seeds / 2 && records > seeds * 20, "{kills} kills, {records} records");
}
