//! Reads what is complete and was forced to disk, lane by lane, for the one who ships it.
//!
//! Not before it was forced: a power cut would take it from the journal and leave it in the store, and the next start would give
//! its number to another record, which the store would take for a repeat.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::journal::batch::Batch;
use crate::journal::courtesy;
use crate::journal::news::lock;
use crate::journal::reading::{Found, Reader, Unreadable};
use crate::journal::segment::Segment;
use crate::journal::shelf::{Mark, Shelved};
use crate::journal::{JournalError, Keeping, Shared};
use crate::model::LaneId;

/// Under load, who ships is not told oftener, so that there is something to ship each time.
const PACE: Duration = Duration::from_millis(10);
/// This part of the disk there is is not left to fill up for the sake of larger batches.
const PLENTY: u64 = 16;
/// Places remembered in a lane, between what was read and what was shipped.
const MARKS: usize = 64;

/// Reads what is complete, lane by lane, in order. Lives on one blocking thread.
#[derive(Debug)]
pub struct Source {
    keeping: Arc<Keeping>,
    cursors: HashMap<LaneId, Cursor>,
    marks: HashMap<LaneId, VecDeque<Mark>>,
    /// How often something had been forced to disk when it last looked.
    seen: u64,
    told_at: Option<Instant>,
}

/// A place between two records.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) segment: Arc<Segment>,
    pub(super) reader: Reader,
    pub(super) at: u64,
    /// The number of the record before it.
    pub(super) seq: u64,
}

impl Source {
    pub(super) fn new(keeping: Arc<Keeping>) -> Self {
        Self { keeping, cursors: HashMap::new(), marks: HashMap::new(), seen: 0, told_at: None }
    }

    fn shared(&self) -> &Shared {
        &self.keeping.shared
    }

    /// Every lane that has segments, the oldest first, and the number of its last complete record.
    pub fn lanes(&mut self) -> Result<Vec<(LaneId, u64)>, JournalError> {
        let shelf = lock(&self.shared().shelf);
        Ok(shelf.lanes.iter().map(|lane| (lane.id, lane.last())).collect())
    }

    /// Records of a lane after a number, as far as they were forced to disk: at most `most`, and about `bytes`. Empty: nothing
    /// more yet. What was deleted already, or lost by a disk, is passed over: `after` of the batch says where it really begins.
    pub fn read(
        &mut self,
        lane: LaneId,
        after: u64,
        most: usize,
        bytes: usize,
    ) -> Result<Batch, JournalError> {
        let (node, over_at) = match lock(&self.shared().shelf).lane(lane) {
            Some(shelved) => (Arc::clone(&shelved.node), shelved.is_over().then(|| shelved.last())),
            None => (Arc::default(), None),
        };
        let mut batch = Batch::new(lane, node, after);
        let cursor = self.cursors.remove(&lane).filter(|cursor| cursor.seq == after);
        let cursor = match cursor {
            Some(cursor) => Ok(Some(cursor)),
            None => self.shared().seek(lane, after),
        };
        let failed = |source| JournalError::Io { dir: self.shared().dir.to_path_buf(), source };
        let Some(mut cursor) = cursor.map_err(failed)? else {
            // Nothing is left of it, nor will be.
            batch.after = over_at.unwrap_or_default().max(after);
            return Ok(batch);
        };
        batch.after = cursor.seq;
        let mark = Mark { seq: cursor.seq, number: cursor.segment.number, at: cursor.at };
        self.shared().advance(&mut cursor, &mut batch, most, bytes).map_err(failed)?;
        if let Some(last) = over_at.filter(|last| batch.is_empty() && *last > cursor.seq)
            && self.shared().is_last(&cursor, lane)
        {
            let (path, lost) = (cursor.segment.path.display(), last - cursor.seq);
            tracing::error!(%path, lost, "the last records of this lane of the journal are lost");
            batch.after = last;
            return Ok(batch);
        }
        if !batch.is_empty() {
            let marks = self.marks.entry(lane).or_default();
            marks.push_back(mark);
            marks.push_back(Mark { seq: cursor.seq, number: cursor.segment.number, at: cursor.at });
            let surplus = marks.len().saturating_sub(MARKS);
            marks.drain(..surplus);
        }
        self.cursors.insert(lane, cursor);
        Ok(batch)
    }

    /// The store has everything of the lane up to a number. Whole segments below are deleted once they are older than `keep`
    /// (counted from when they were shipped), sooner where disk is short. A lane that is over and whose last segment
    /// goes is told by `finished`. To be called once for every lane at the start, too, with what the store has.
    pub fn shipped(&mut self, lane: LaneId, upto: u64, keep: Duration) -> Result<(), JournalError> {
        let mut mark = None;
        if let Some(marks) = self.marks.get_mut(&lane) {
            while let Some(passed) = marks.pop_front_if(|mark| mark.seq <= upto) {
                mark = Some(passed);
            }
        }
        let shared = &self.keeping.shared;
        lock(&shared.terms).keep = keep;
        let mut shelf = lock(&shared.shelf);
        let Some(shelved) = shelf.lane(lane) else { return Ok(()) };
        let before = shelved.shipped;
        shelved.set_shipped(upto.max(before), Instant::now());
        shelved.mark = mark.or(shelved.mark);
        Ok(())
    }

    /// The store went back: what was shipped after a number waits again.
    pub fn unshipped(&mut self, lane: LaneId, upto: u64) -> Result<(), JournalError> {
        self.cursors.remove(&lane);
        self.marks.remove(&lane);
        let mut shelf = lock(&self.shared().shelf);
        if let Some(shelved) = shelf.lane(lane) {
            let upto = upto.min(shelved.shipped);
            shelved.set_shipped(upto, Instant::now());
            shelved.mark = None;
        }
        Ok(())
    }

    /// Lanes that are over, of earlier starts or of a worker that has ended, and of which nothing is left; each told once: the
    /// store may forget them.
    pub fn finished(&mut self) -> Vec<LaneId> {
        let finished = std::mem::take(&mut lock(&self.shared().shelf).finished);
        for lane in &finished {
            self.cursors.remove(lane);
            self.marks.remove(lane);
        }
        finished
    }

    /// Whether so many records wait, or so much of the disk is theirs that who has to make room should not wait for more.
    pub fn has_plenty(&self, records: u64) -> bool {
        let max_disk = self.shared().terms().max_disk;
        let shelf = lock(&self.shared().shelf);
        shelf.waiting() >= records || shelf.waiting_bytes() > max_disk / PLENTY
    }

    /// Ready when something was forced to disk since the last call, or after `patience`. Blocks the thread.
    pub fn wait(&mut self, patience: Duration) {
        let end = Instant::now() + patience;
        let paced = self.told_at.map_or(Duration::ZERO, |at| PACE.saturating_sub(at.elapsed()));
        std::thread::sleep(paced.min(patience));
        let (keeping, seen) = (Arc::clone(&self.keeping), self.seen);
        let forced = || keeping.shared.forced.load(Ordering::SeqCst);
        keeping.shared.news.wait(end, || forced() != seen);
        self.seen = forced();
        self.told_at = Some(Instant::now());
    }
}

impl Shared {
    /// The place after a record, or the first one behind it that there is.
    pub(super) fn seek(&self, lane: LaneId, after: u64) -> io::Result<Option<Cursor>> {
        let mut cursor = loop {
            let holding = lock(&self.shelf).lane(lane).and_then(|lane| lane.holding(after + 1));
            let Some(segment) = holding else { return Ok(None) };
            if let Some(cursor) = self.open(lane, segment)? {
                break cursor;
            }
        };
        let mut passed = Vec::new();
        while cursor.seq < after {
            passed.clear();
            let limit = cursor.segment.readable();
            match cursor.reader.step(cursor.at, limit, &mut passed)? {
                Found::Start { size, .. } | Found::Begin { size } => cursor.at += size,
                Found::Record { size, .. } => {
                    cursor.at += size;
                    cursor.seq += 1;
                }
                Found::End | Found::Torn => break,
            }
        }
        Ok(Some(cursor))
    }

    /// None where it is gone, and then it is not on the shelf any more, or leaves it just now.
    pub(super) fn open(&self, lane: LaneId, segment: Arc<Segment>) -> io::Result<Option<Cursor>> {
        let opened = match Reader::open(&segment.path) {
            Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let Some(file) = self.miss(lane, &segment) else { return Ok(None) };
                Reader::of(file.try_clone()?)
            }
            opened => opened,
        };
        match opened {
            Ok((reader, header)) => {
                let seq = segment.first().saturating_sub(1);
                let reader = reader.of_records();
                Ok(Some(Cursor { segment, reader, at: header.length as u64, seq }))
            }
            Err(Unreadable::Io(error)) => Err(error),
            Err(Unreadable::Header(what)) => {
                let path = segment.path.display();
                Err(io::Error::other(format!("{path} is no segment any more ({what:?})")))
            }
        }
    }

    /// Somebody took a file away. As long as we have it open nothing is lost: the keeper writes it anew.
    fn miss(&self, lane: LaneId, segment: &Arc<Segment>) -> Option<Arc<File>> {
        let path = segment.path.display();
        let mut shelf = lock(&self.shelf);
        if segment.leaves.load(Ordering::Relaxed) {
            return None;
        }
        let held = shelf.lane(lane).and_then(|shelved| shelved.file_of(segment));
        if held.is_some() {
            drop(shelf);
            if !segment.failed.swap(true, Ordering::Relaxed) {
                tracing::error!(%path, "this file of the journal was taken away: what is in it is written to a new one");
                self.bell.ring();
            }
            return held;
        }
        if shelf.remove(lane, segment) {
            self.used.fetch_sub(segment.size(), Ordering::Relaxed);
            tracing::error!(%path, "this file of the journal is gone: what the store does not have of it is lost");
        }
        None
    }

    /// Nothing comes behind this place any more.
    fn is_last(&self, cursor: &Cursor, lane: LaneId) -> bool {
        let segment = &cursor.segment;
        segment.is_closed()
            && segment.readable() == segment.end()
            && lock(&self.shelf).lane(lane).is_none_or(|lane| lane.ends_with(segment.number))
    }

    pub(super) fn advance(
        &self,
        cursor: &mut Cursor,
        batch: &mut Batch,
        most: usize,
        bytes: usize,
    ) -> io::Result<()> {
        while batch.len() < most && (batch.bytes.len() < bytes || batch.is_empty()) {
            // In this order: what is closed has its last end.
            let is_closed = cursor.segment.is_closed();
            let limit = cursor.segment.readable();
            let is_final = is_closed && limit >= cursor.segment.end();
            match cursor.reader.step(cursor.at, limit, &mut batch.bytes)? {
                Found::Start { size, .. } | Found::Begin { size } => cursor.at += size,
                Found::Record { size, .. } => {
                    cursor.at += size;
                    cursor.seq += 1;
                    batch.end_record();
                    courtesy::worked(1);
                }
                Found::End if !is_final => break,
                Found::Torn if !self.passes_damage(cursor, is_closed) => break,
                Found::End | Found::Torn => {
                    if !self.go_on(cursor, batch)? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// A disk changed or lost something: told once.
    fn passes_damage(&self, cursor: &Cursor, is_closed: bool) -> bool {
        if !cursor.segment.told.swap(true, Ordering::Relaxed) {
            let (path, at) = (cursor.segment.path.display(), cursor.at);
            tracing::error!(%path, at, "this file of the journal is damaged: what comes after that place in it cannot be shipped");
        }
        is_closed
    }

    /// Into the next segment; false where there is none yet, or where the batch has to end first.
    fn go_on(&self, cursor: &mut Cursor, batch: &mut Batch) -> io::Result<bool> {
        let number = cursor.segment.number;
        let opened = loop {
            let following = |shelved: &mut Shelved| shelved.following(number);
            let Some(next) = lock(&self.shelf).lane(batch.lane).and_then(following) else {
                return Ok(false);
            };
            let lost = (next.first() - 1).checked_sub(cursor.seq);
            if lost != Some(0) && !batch.is_empty() {
                return Ok(false);
            }
            let Some(lost) = lost else {
                // Numbers that were read already would be given out again.
                if !next.told.swap(true, Ordering::Relaxed) {
                    let (path, before) = (next.path.display(), cursor.segment.path.display());
                    tracing::error!(
                        %path, %before,
                        "these files of the journal contradict each other: what is in the first and behind it is not shipped; move one of them away and start again"
                    );
                }
                return Ok(false);
            };
            if let Some(opened) = self.open(batch.lane, next)? {
                if lost > 0 {
                    let path = opened.segment.path.display();
                    tracing::error!(%path, lost, "records before the first of this file of the journal are lost");
                }
                break opened;
            }
        };
        *cursor = opened;
        batch.after = batch.after.max(cursor.seq - batch.len() as u64);
        Ok(true)
    }
}

#[cfg(test)]
impl Source {
    /// Does what the keeper does now and then.
    pub(super) fn force(&self) {
        let _alone = lock(&self.shared().duty);
        assert!(self.shared().sync().is_none());
    }
}
