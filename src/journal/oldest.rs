//! Since when the oldest record has been waiting for the store.
//!
//! To know that, files have to be read. So the keeper looks it up now and then, and whoever asks is told what was seen last:
//! readiness and metrics wait for no disk.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use crate::journal::Shared;
use crate::journal::batch::Batch;
use crate::journal::news::lock;
use crate::journal::source::Cursor;
use crate::model::{LaneId, Timestamp};

/// Nothing was seen to wait.
const NONE: i64 = i64::MIN;

#[derive(Debug)]
pub(super) struct Oldest {
    micros: AtomicI64,
    /// The first record of a lane that waits behind a number: what was looked up before.
    found: Mutex<HashMap<LaneId, (u64, Timestamp)>>,
}

impl Default for Oldest {
    fn default() -> Self {
        Self { micros: NONE.into(), found: Mutex::default() }
    }
}

impl Oldest {
    pub(super) fn seen(&self) -> Option<Timestamp> {
        let micros = self.micros.load(Ordering::Relaxed);
        (micros != NONE).then(|| Timestamp::from_micros(micros))
    }
}

impl Shared {
    /// The oldest among the first records that wait in all lanes.
    pub(super) fn look(&self) {
        let waiting: Vec<(LaneId, u64)> = {
            let shelf = lock(&self.shelf);
            let waiting = shelf.lanes.iter().filter(|lane| lane.last() > lane.shipped);
            waiting.map(|lane| (lane.id, lane.shipped)).collect()
        };
        let mut found = lock(&self.oldest.found);
        found.retain(|lane, (shipped, _)| waiting.contains(&(*lane, *shipped)));
        for (lane, shipped) in waiting {
            // A file that cannot be read now is a trouble of its own, told by who ships.
            if !found.contains_key(&lane)
                && let Ok(Some(ts)) = self.oldest_waiting(lane)
            {
                found.insert(lane, (shipped, ts));
            }
        }
        let oldest = found.values().map(|(_, ts)| ts.as_micros()).min();
        self.oldest.micros.store(oldest.unwrap_or(NONE), Ordering::Relaxed);
    }

    /// When the oldest record that waits in a lane began.
    fn oldest_waiting(&self, lane: LaneId) -> io::Result<Option<Timestamp>> {
        let (mark, shipped, segments) = {
            let mut shelf = lock(&self.shelf);
            let Some(shelved) = shelf.lane(lane) else { return Ok(None) };
            let mark = shelved.mark.filter(|mark| mark.seq <= shelved.shipped);
            let marked = mark.and_then(|mark| {
                let mut segments = shelved.segments.iter().map(|kept| &kept.segment);
                segments.find(|segment| segment.number == mark.number).map(Arc::clone)
            });
            (mark, shelved.shipped, marked)
        };
        let marked = match segments {
            Some(segment) => self.open(lane, segment)?.zip(mark),
            None => None,
        };
        let mut cursor = match marked {
            Some((opened, mark)) => Cursor { at: mark.at, seq: mark.seq, ..opened },
            None => match self.seek(lane, shipped)? {
                Some(cursor) => cursor,
                None => return Ok(None),
            },
        };
        let mut batch = Batch::new(lane, Arc::default(), cursor.seq);
        // Between the mark and what was shipped there may be some.
        while cursor.seq < shipped {
            let (before, missing) = (cursor.seq, shipped - cursor.seq);
            let most = usize::try_from(missing).unwrap_or(usize::MAX).min(1000);
            self.advance(&mut cursor, &mut batch, most, usize::MAX)?;
            if cursor.seq == before {
                return Ok(None);
            }
            batch = Batch::new(lane, Arc::default(), cursor.seq);
        }
        self.advance(&mut cursor, &mut batch, 1, usize::MAX)?;
        Ok(batch.records().next().map(|record| record.opening.ts))
    }
}
