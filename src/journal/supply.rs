//! Segments laid ready, and segments deleted: the use of the disk.
//!
//! Every lane has a spare, so that a worker that fills its segment only swaps. The size of a segment goes by the disk there is:
//! a small one is cut into many, so that shipping frees some of it soon. What the store does not have is never deleted; what it
//! has is kept for a while, unless its room is needed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::journal::lane::LaneShared;
use crate::journal::news::lock;
use crate::journal::segment::{self, Segment, is_no_room, sync_directory};
use crate::journal::shelf::{Kept, Shelved};
use crate::journal::{Shared, home};
use crate::model::LaneId;
use crate::telemetry::clock::Clock;

const SMALLEST: u64 = 256 << 10;
const USUAL: u64 = 16 << 20;
/// Where very much is open at once.
pub(super) const LARGEST: u64 = 64 << 20;
/// A segment takes no more than this part of the disk there is.
const PARTS: u64 = 32;
/// Nor more than so many of them leave to each worker.
const PARTS_OF_WORKER: u64 = 4;

/// Why there is no segment.
#[derive(Debug)]
pub(super) enum Shortage {
    /// `max_disk` is used up.
    Bound,
    /// The disk has no room.
    Disk,
    Failed(io::Error),
}

impl Shared {
    /// Lays a segment ready wherever none lies; first for workers that can begin nothing without it. False where one is missing.
    pub(super) fn supply_all(&self) -> bool {
        let mut lanes: Vec<(bool, Arc<LaneShared>)> = {
            let shelf = lock(&self.shelf);
            let of_worker = |lane: &Shelved| Some((!is_stuck(lane), lane.worker.clone()?));
            shelf.lanes.iter().filter_map(of_worker).collect()
        };
        lanes.sort_by_key(|(can_wait, _)| *can_wait);
        let mut shortage = None;
        for (_, lane) in &lanes {
            drop(lane.take_retired());
            if lane.is_gone.load(Ordering::Acquire) {
                self.clear_away(lane);
            } else if let Err(trouble) = self.supply(lane) {
                shortage = Some(trouble);
            }
        }
        let (workers, waiting) = {
            let shelf = lock(&self.shelf);
            (shelf.workers(), shelf.waiting())
        };
        let explain = |shortage: &Shortage| {
            shortage.explain(&self.dir, self.terms().max_disk, workers, waiting)
        };
        self.troubles.tell_of_supply(shortage.as_ref(), self.refused(), explain);
        shortage.is_none()
    }

    /// Lays a segment ready for a lane, if none lies there that is large enough.
    pub(super) fn supply(&self, lane: &LaneShared) -> Result<(), Shortage> {
        let wanted = lane.wanted.load(Ordering::Relaxed).min(LARGEST);
        if lane.spare_size().is_some_and(|size| size >= wanted) {
            lane.is_refusing.store(false, Ordering::Relaxed);
            return Ok(());
        }
        let has_any = lane.spare_size().is_some();
        let least = if has_any { wanted } else { SMALLEST };
        let mut size = self.fitting_size().max(wanted.next_power_of_two().min(LARGEST)).max(least);
        loop {
            let shortage = match self.prepare(lane, size) {
                Ok(()) => {
                    lane.wanted.store(0, Ordering::Relaxed);
                    return Ok(());
                }
                Err(Shortage::Failed(error)) => return Err(Shortage::Failed(error)),
                Err(shortage) => shortage,
            };
            if self.delete_one_early() {
                continue;
            }
            if size / 2 >= least {
                size /= 2;
            } else if has_any || !self.take_back_a_spare(lane) {
                return Err(shortage);
            }
        }
    }

    fn fitting_size(&self) -> u64 {
        let free = home::free_space(&self.dir).unwrap_or(u64::MAX);
        let there = self.used.load(Ordering::Relaxed).saturating_add(free);
        // Of each worker one is in use, one lies ready, and one is on its way to the store.
        let parts = PARTS.max(PARTS_OF_WORKER * lock(&self.shelf).workers());
        let part = there.min(self.terms().max_disk) / parts;
        // The power of two below.
        let size = part.checked_ilog2().map_or(0, |bits| 1 << bits);
        size.clamp(SMALLEST, USUAL)
    }

    fn prepare(&self, lane: &LaneShared, size: u64) -> Result<(), Shortage> {
        if self.used.load(Ordering::Relaxed).saturating_add(size) > self.terms().max_disk {
            return Err(Shortage::Bound);
        }
        let number = {
            let mut shelf = lock(&self.shelf);
            let Some(shelved) = shelf.lane(lane.id) else { return Ok(()) };
            shelved.next_number += 1;
            shelved.next_number - 1
        };
        let now = Clock::default().now();
        let prepared = segment::prepare(&self.dir, lane.id, number, &self.node, now, size);
        let (spare, file) = prepared.map_err(|error| match is_no_room(&error) {
            true => Shortage::Disk,
            false => Shortage::Failed(error),
        })?;
        self.used.fetch_add(size, Ordering::Relaxed);
        let segment = Arc::clone(&spare.segment);
        let kept = Kept { segment, file: Some(file.into()), shipped_at: None };
        // Before the worker can take it, for then it may be read.
        if let Some(shelved) = lock(&self.shelf).lane(lane.id) {
            shelved.segments.push_back(kept);
        }
        if let Some(smaller) = lane.lay_ready(spare) {
            self.delete(lane.id, &smaller.segment);
        }
        Ok(())
    }

    /// A worker that can begin nothing goes before one whose segment is not full yet.
    fn take_back_a_spare(&self, needy: &LaneShared) -> bool {
        let giver = {
            let mut shelf = lock(&self.shelf);
            if !shelf.lane(needy.id).is_some_and(|lane| is_stuck(lane)) {
                return false;
            }
            let can_give = |lane: &&Shelved| {
                let worker = lane.worker.as_ref();
                let has_spare = worker.is_some_and(|worker| worker.spare_size().is_some());
                lane.id != needy.id && has_spare && !is_stuck(lane)
            };
            shelf.lanes.iter().find(can_give).and_then(|lane| lane.worker.clone())
        };
        let taken = giver.and_then(|giver| Some((giver.id, giver.take_spare()?)));
        taken.is_some_and(|(lane, spare)| self.delete(lane, &spare.segment))
    }

    /// A worker has ended: its spare is not needed.
    fn clear_away(&self, lane: &LaneShared) {
        if let Some(spare) = lane.take_spare() {
            self.delete(lane.id, &spare.segment);
        }
    }

    /// Deletes what was shipped long enough ago.
    pub(super) fn delete_expired(&self) {
        let now = Instant::now();
        let expired = {
            let mut shelf = lock(&self.shelf);
            // What was closed since then may be shipped already.
            shelf.lanes.iter_mut().for_each(|lane| lane.set_shipped(lane.shipped, now));
            // A lane that never had a file leaves nothing behind.
            shelf.lanes.retain(|lane| !lane.is_over() || !lane.segments.is_empty());
            shelf.deletable(self.terms().keep)
        };
        for (lane, segment) in expired {
            self.delete(lane, &segment);
        }
    }

    /// Room is needed: what was shipped is not kept any longer.
    fn delete_one_early(&self) -> bool {
        let oldest = lock(&self.shelf).deletable(Duration::ZERO).into_iter().next();
        oldest.is_some_and(|(lane, segment)| self.delete(lane, &segment))
    }

    /// The store may forget a lane once its last file is gone: for good, so that no power cut brings it back.
    fn delete(&self, lane: LaneId, segment: &Arc<Segment>) -> bool {
        if !lock(&self.shelf).lets_go(lane, segment) {
            return false;
        }
        let removed = match std::fs::remove_file(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_directory(&self.dir),
        };
        let is_removed = removed.is_ok();
        self.troubles.tell_of_deleting(removed.err().as_ref(), &segment.path);
        if !is_removed {
            segment.leaves.store(false, Ordering::Relaxed);
        } else if lock(&self.shelf).remove(lane, segment) {
            self.used.fetch_sub(segment.size(), Ordering::Relaxed);
        }
        is_removed
    }

    /// Early warnings, each once when its mark is passed.
    pub(super) fn warn(&self) {
        let max_disk = self.terms().max_disk;
        let waiting = lock(&self.shelf).waiting_bytes();
        self.troubles.tell_of_waiting(waiting, max_disk, &self.dir);
    }

    /// Told while there is room, for it will not be there under load.
    pub(super) fn warn_of_workers(&self) {
        let workers = lock(&self.shelf).workers();
        self.troubles.tell_of_workers(workers, least(workers), self.terms().max_disk);
    }
}

/// What so many workers need at least.
fn least(workers: u64) -> u64 {
    workers.saturating_mul(PARTS_OF_WORKER * SMALLEST)
}

/// Its worker begins nothing until there is a segment.
fn is_stuck(lane: &Shelved) -> bool {
    let is_refusing = |worker: &Arc<LaneShared>| worker.is_refusing.load(Ordering::Relaxed);
    !lane.is_over() && (!lane.has_active() || lane.worker.as_ref().is_some_and(is_refusing))
}

impl Shortage {
    pub(super) fn explain(&self, dir: &Path, max_disk: u64, workers: u64, waiting: u64) -> String {
        let dir = dir.display();
        match self {
            Self::Bound if waiting == 0 => format!(
                "the journal in {dir} takes all of `log.max_disk` ({max_disk} bytes), though nothing waits for the store: that is too \
                 little for {workers} workers: set at least {}, or fewer workers",
                least(workers)
            ),
            Self::Bound => format!(
                "the journal in {dir} takes all of `log.max_disk` ({max_disk} bytes), and the store has not taken what waits there: \
                 see to the store, or raise it"
            ),
            Self::Disk => format!("the disk of the journal in {dir} is full: make room there"),
            Self::Failed(error) => format!("the journal in {dir} cannot make a file: {error}"),
        }
    }
}
