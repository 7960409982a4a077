//! Records of one lane on their way to the store, as they lie on disk: an opening and an outcome each, decoded when asked.

use std::sync::Arc;

use crate::journal::format::{put_opening, put_outcome, read_record};
use crate::model::{AccessRecord, LaneId, Opening, Outcome, RecordId};

/// Complete records of one lane, in order and without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub lane: LaneId,
    pub node: Arc<str>,
    /// The record before the first of these has this number.
    pub after: u64,
    /// Encoded, one after the other (`journal/format.rs`).
    pub(super) bytes: Vec<u8>,
    /// Where each ends.
    pub(super) ends: Vec<u32>,
}

impl Batch {
    pub(super) fn new(lane: LaneId, node: Arc<str>, after: u64) -> Self {
        Self { lane, node, after, bytes: Vec::new(), ends: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of its last record.
    pub fn last(&self) -> u64 {
        self.after + self.ends.len() as u64
    }

    /// In order.
    pub fn records(&self) -> impl Iterator<Item = AccessRecord<'_>> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).zip(self.after + 1..).filter_map(|((start, end), seq)| {
            let bytes = self.bytes.get(*start as usize..*end as usize)?;
            // Whoever filled it has looked: none is missing.
            let (opening, outcome) = read_record(bytes)?;
            let id = RecordId { lane: self.lane, seq };
            Some(AccessRecord { id, node: (&*self.node).into(), opening, outcome })
        })
    }

    /// Makes one of records (tests, generators); their ids are given by `lane` and `after`.
    pub fn of<'a>(
        lane: LaneId,
        node: &str,
        after: u64,
        records: impl IntoIterator<Item = (Opening<'a>, Outcome<'a>)>,
    ) -> Self {
        let mut batch = Self::new(lane, node.into(), after);
        for (opening, outcome) in records {
            put_opening(&mut batch.bytes, &opening);
            put_outcome(&mut batch.bytes, &outcome);
            batch.end_record();
        }
        batch
    }

    /// What was appended to the bytes since the last one is a record.
    pub(super) fn end_record(&mut self) {
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }
}
