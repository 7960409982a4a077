//! Which lanes there are, which segments each has, and how far each was shipped.
//!
//! Locked for a look or a change, never while a disk is waited for.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::journal::lane::LaneShared;
use crate::journal::segment::Segment;
use crate::model::{LaneId, Timestamp};

#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The oldest first.
    pub(super) lanes: Vec<Shelved>,
    /// Nothing is left of them, and nobody was told yet.
    pub(super) finished: Vec<LaneId>,
}

/// A lane with its files.
#[derive(Debug)]
pub(super) struct Shelved {
    pub(super) id: LaneId,
    pub(super) node: Arc<str>,
    pub(super) created: Timestamp,
    /// None for one of an earlier start.
    pub(super) worker: Option<Arc<LaneShared>>,
    /// The number of the last record that was found; for a lane of an earlier start.
    pub(super) found: u64,
    /// The store has the lane up to this number.
    pub(super) shipped: u64,
    /// In order; a spare is the last.
    pub(super) segments: VecDeque<Kept>,
    pub(super) next_number: u32,
    /// A place before what was not shipped yet.
    pub(super) mark: Option<Mark>,
}

/// A place between two records: the one before it has the number `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) seq: u64,
    /// Of the segment.
    pub(super) number: u32,
    pub(super) at: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) segment: Arc<Segment>,
    /// As long as something may have to be forced to disk.
    pub(super) file: Option<Arc<File>>,
    /// Since when the store has all of it.
    pub(super) shipped_at: Option<Instant>,
}

impl Kept {
    pub(super) fn is_dirty(&self) -> bool {
        let segment = &self.segment;
        !segment.is_spare() && segment.end() > segment.synced.load(Ordering::Acquire)
    }
}

impl Shelf {
    pub(super) fn lane(&mut self, id: LaneId) -> Option<&mut Shelved> {
        self.lanes.iter_mut().find(|lane| lane.id == id)
    }

    /// Those that live.
    pub(super) fn workers(&self) -> u64 {
        self.lanes.iter().filter(|lane| !lane.is_over()).count() as u64
    }

    /// Finished records that the store does not have.
    pub(super) fn waiting(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.last().saturating_sub(lane.shipped)).sum()
    }

    /// The disk they take.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.lanes.iter().map(Shelved::waiting_bytes).sum()
    }

    /// What may be deleted now, the longest shipped first.
    pub(super) fn deletable(&self, keep: Duration) -> Vec<(LaneId, Arc<Segment>)> {
        let mut found: Vec<_> = self.lanes.iter().flat_map(|lane| lane.deletable(keep)).collect();
        found.sort_by_key(|(shipped_at, ..)| *shipped_at);
        found.into_iter().map(|(_, lane, segment)| (lane, segment)).collect()
    }

    /// Before a file is deleted: from now on nobody reads it. False where it is needed, for the store may have gone back since
    /// somebody looked.
    pub(super) fn lets_go(&mut self, id: LaneId, segment: &Arc<Segment>) -> bool {
        let lane = self.lane(id);
        let is_free = segment.is_spare() || lane.is_some_and(|lane| lane.is_shipped(segment));
        segment.leaves.store(is_free, Ordering::Relaxed);
        is_free
    }

    /// A file is gone; false where that is known.
    pub(super) fn remove(&mut self, id: LaneId, segment: &Arc<Segment>) -> bool {
        let Some(lane) = self.lane(id) else { return false };
        let before = lane.segments.len();
        lane.segments.retain(|kept| !Arc::ptr_eq(&kept.segment, segment));
        let is_removed = lane.segments.len() < before;
        if lane.is_over() && lane.segments.is_empty() {
            self.lanes.retain(|lane| lane.id != id);
            self.finished.push(id);
        }
        is_removed
    }
}

impl Shelved {
    pub(super) fn of_worker(worker: Arc<LaneShared>, node: Arc<str>, created: Timestamp) -> Self {
        Self {
            id: worker.id,
            node,
            created,
            worker: Some(worker),
            found: 0,
            shipped: 0,
            segments: VecDeque::new(),
            next_number: 1,
            mark: None,
        }
    }

    /// The number of its last complete record.
    pub(super) fn last(&self) -> u64 {
        self.worker.as_ref().map_or(self.found, |worker| worker.completed())
    }

    /// Nothing is written to it any more.
    pub(super) fn is_over(&self) -> bool {
        self.worker.as_ref().is_none_or(|worker| worker.is_gone.load(Ordering::Acquire))
    }

    /// Segments in use or closed, each with the number of its last record.
    fn spans(&self) -> impl Iterator<Item = (&Kept, u64)> {
        let used = || self.segments.iter().filter(|kept| !kept.segment.is_spare());
        let ends = used().skip(1).map(|kept| kept.segment.first() - 1);
        used().zip(ends.chain([self.last()]))
    }

    fn waiting_bytes(&self) -> u64 {
        let waiting = self.spans().filter(|(_, last)| *last > self.shipped);
        waiting.map(|(kept, _)| kept.segment.end()).sum()
    }

    /// Something is written to a segment of it, or can be.
    pub(super) fn has_active(&self) -> bool {
        let mut segments = self.segments.iter().map(|kept| &kept.segment);
        segments.any(|segment| !segment.is_spare() && !segment.is_closed())
    }

    /// Nothing comes after a segment any more.
    pub(super) fn ends_with(&self, number: u32) -> bool {
        self.is_over() && self.following(number).is_none()
    }

    /// As long as something of it may have to be forced to disk.
    pub(super) fn file_of(&self, segment: &Arc<Segment>) -> Option<Arc<File>> {
        let kept = self.segments.iter().find(|kept| Arc::ptr_eq(&kept.segment, segment))?;
        kept.file.clone()
    }

    /// The segment with a record, or with the next one there is; or that in which it will be.
    pub(super) fn holding(&self, seq: u64) -> Option<Arc<Segment>> {
        let spans =
            || self.spans().filter(|(kept, _)| !kept.segment.leaves.load(Ordering::Relaxed));
        let found = spans().find(|(_, last)| *last >= seq).map(|(kept, _)| kept);
        let found = found.or_else(|| spans().last().map(|(kept, _)| kept));
        found.map(|kept| Arc::clone(&kept.segment))
    }

    /// The next one in use.
    pub(super) fn following(&self, number: u32) -> Option<Arc<Segment>> {
        let mut later = self.segments.iter().map(|kept| &kept.segment);
        let is_next = |segment: &&Arc<Segment>| {
            let leaves = segment.leaves.load(Ordering::Relaxed);
            segment.number > number && !segment.is_spare() && !leaves
        };
        later.find(is_next).map(Arc::clone)
    }

    /// The store has everything up to a number. What was shipped before keeps its time.
    pub(super) fn set_shipped(&mut self, upto: u64, now: Instant) {
        self.shipped = upto.min(self.last());
        let done: Vec<bool> = self
            .spans()
            .map(|(kept, last)| kept.segment.is_closed() && last <= self.shipped)
            .collect();
        let used = self.segments.iter_mut().filter(|kept| !kept.segment.is_spare());
        for (kept, done) in used.zip(done) {
            kept.shipped_at = if done { kept.shipped_at.or(Some(now)) } else { None };
        }
    }

    pub(super) fn is_shipped(&self, segment: &Arc<Segment>) -> bool {
        let mut spans = self.spans();
        spans.any(|(kept, last)| Arc::ptr_eq(&kept.segment, segment) && last <= self.shipped)
    }

    /// From the front on: closed, shipped for so long, and with a successor that is on the disk, for it carries what was open.
    fn deletable(&self, keep: Duration) -> Vec<(Instant, LaneId, Arc<Segment>)> {
        let used: Vec<_> = self.segments.iter().filter(|kept| !kept.segment.is_spare()).collect();
        let mut found = Vec::new();
        for (index, kept) in used.iter().enumerate() {
            let is_safe = used
                .get(index + 1)
                .map_or(self.is_over(), |next| next.segment.synced.load(Ordering::Acquire) > 0);
            let Some(shipped_at) = kept.shipped_at.filter(|at| at.elapsed() >= keep && is_safe)
            else {
                break;
            };
            found.push((shipped_at, self.id, Arc::clone(&kept.segment)));
        }
        found
    }
}
