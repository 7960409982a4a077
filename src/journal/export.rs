//! Reads a journal's directory on any machine, beside whoever has it open, and writes nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::journal::chain::{Chain, Used, cannot_read};
use crate::journal::format::{INTERRUPTED, put_outcome, read_record};
use crate::journal::reading::Found;
use crate::journal::{JournalError, Recovered, home};
use crate::model::{AccessRecord, LaneId, RecordId};

/// Takes each record.
type Each<'e> = &'e mut dyn FnMut(AccessRecord<'_>) -> io::Result<()>;

/// Reads a journal's directory on any machine, whoever has it open: every complete record of every lane, the oldest lane first, those
/// that were begun and never completed as `interrupted` at the end of their lane. For `postern logs export --journal`.
pub fn read_directory(dir: &Path, each: Each<'_>) -> Result<Recovered, JournalError> {
    let failed = |source| JournalError::Io { dir: dir.to_owned(), source };
    let mut files: BTreeMap<LaneId, Vec<(u32, PathBuf)>> = BTreeMap::new();
    for (lane, number, path) in home::list(dir).map_err(failed)?.segments {
        files.entry(lane).or_default().push((number, path));
    }
    let mut chains = Vec::new();
    for (lane, files) in files {
        let chain = Chain::examine(lane, &files)?;
        if let Some(first) = chain.used.first() {
            chains.push(((first.header.created, lane), chain));
        }
    }
    chains.sort_by_key(|(order, _)| *order);
    let mut found = Recovered { lanes: chains.len(), ..Recovered::default() };
    for ((_, lane), Chain { used, .. }) in chains {
        let count = used.len();
        for (index, segment) in used.iter().enumerate() {
            let is_last = index + 1 == count;
            read_segment(lane, segment, is_last, &mut found, each)?;
        }
    }
    Ok(found)
}

fn read_segment(
    lane: LaneId,
    segment: &Used,
    is_last: bool,
    found: &mut Recovered,
    each: Each<'_>,
) -> Result<(), JournalError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| cannot_read(&path, error)
    };
    let failed = failed(&segment.path);
    let mut reader = segment.open().map_err(&failed)?;
    let node = segment.header.node.clone();
    let mut seq = segment.first - 1;
    let mut tell = |bytes: &[u8]| {
        seq += 1;
        let id = RecordId { lane, seq };
        read_record(bytes).map_or(Ok(()), |(opening, outcome)| {
            each(AccessRecord { id, node: node.as_str().into(), opening, outcome })
        })
    };
    let mut open = std::collections::BTreeSet::new();
    let mut at = segment.frames_at;
    let mut record = Vec::new();
    loop {
        record.clear();
        at += match reader.step(at, u64::MAX, &mut record).map_err(&failed)? {
            Found::Begin { size } => {
                open.insert(at);
                size
            }
            Found::Record { size, begin } => {
                begin.map(|begin| open.remove(&begin));
                tell(&record).map_err(&failed)?;
                size
            }
            Found::End => break,
            Found::Torn | Found::Start { .. } => {
                found.torn += 1;
                found.torn_bytes += reader.length().saturating_sub(at);
                break;
            }
        };
    }
    if !is_last {
        return Ok(());
    }
    for begin in open {
        record.clear();
        if reader.opening(begin, at, &mut record).map_err(&failed)? {
            put_outcome(&mut record, &INTERRUPTED);
            tell(&record).map_err(&failed)?;
            found.interrupted += 1;
        }
    }
    Ok(())
}
