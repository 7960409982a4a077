//! What an earlier start left: torn tails are cut, what was open is completed as `interrupted`, and all of it is on the disk
//! before anything new is written.
//!
//! Only the last segment of a lane can be so: the others were left whole by a rotation. What else is wrong with a file (a disk
//! that lost or changed something) is told with its place; such a file is set aside, or read up to there, never guessed at.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::chain::{Chain, Scan, Unused, Used, cannot_read, is_damage};
use crate::journal::format::{INTERRUPTED, Kind, frame, put_outcome};
use crate::journal::segment::{Segment, sync_directory};
use crate::journal::shelf::{Kept, Shelf, Shelved};
use crate::journal::supply::LARGEST;
use crate::journal::{JournalError, Recovered, home, remains};
use crate::model::LaneId;

const SET_ASIDE: &str = "damaged";

/// Lanes of earlier starts, ready to be shipped, and the disk they take.
pub(super) fn recover(dir: &Path) -> Result<(Shelf, u64, Recovered), JournalError> {
    let failed = |source| JournalError::Io { dir: dir.to_owned(), source };
    let found = home::list(dir).map_err(failed)?;
    for leftover in &found.leftovers {
        if let Err(error) = std::fs::remove_file(leftover) {
            tracing::warn!(path = %leftover.display(), %error, "this leftover in the journal's directory cannot be deleted");
        }
    }
    let mut lanes: BTreeMap<LaneId, Vec<(u32, PathBuf)>> = BTreeMap::new();
    for (lane, number, path) in found.segments {
        lanes.entry(lane).or_default().push((number, path));
    }
    let mut recovered = Recovered::default();
    let mut shelf = Shelf::default();
    for (lane, files) in lanes {
        shelf.lanes.extend(recover_lane(lane, &files, &mut recovered)?);
    }
    sync_directory(dir).map_err(failed)?;
    shelf.lanes.sort_by_key(|lane| (lane.created, lane.id));
    recovered.lanes = shelf.lanes.len();
    let kept = shelf.lanes.iter().flat_map(|lane| &lane.segments);
    let used = kept.map(|kept| kept.segment.size()).sum();
    Ok((shelf, used, recovered))
}

fn recover_lane(
    lane: LaneId,
    files: &[(u32, PathBuf)],
    recovered: &mut Recovered,
) -> Result<Option<Shelved>, JournalError> {
    let Chain { mut used, tail, unused } = Chain::examine(lane, files)?;
    for (path, why) in unused {
        clear_away(&path, why, recovered).map_err(|error| cannot_read(&path, error))?;
    }
    // What an earlier start wrote last may not be on the disk yet; what is there already costs nothing.
    used.iter().for_each(force);
    let Some(last) = used.pop() else { return Ok(None) };
    let (end, interrupted) = match mend(&last, &tail, recovered) {
        Ok(mended) => mended,
        Err(error) if is_damage(&error) => {
            let path = last.path.display();
            tracing::error!(%path, %error, "this file of the journal cannot be mended: what can be read of it counts, requests that were open have no record");
            (tail.end, 0)
        }
        Err(error) => return Err(cannot_read(&last.path, error)),
    };
    let (node, first) = (Arc::from(last.header.node.as_str()), last.first);
    let oldest = used.first().unwrap_or(&last);
    let (created, gone) = (oldest.header.created, oldest.first - 1);
    recovered.let_go += gone;
    let next_number = last.header.number + 1;
    let mut segments: VecDeque<Kept> = used.into_iter().map(|used| keep(used, None)).collect();
    segments.push_back(keep(last, Some(end)));
    let found = first - 1 + tail.records + interrupted;
    Ok(Some(Shelved {
        id: lane,
        node,
        created,
        worker: None,
        found,
        // Whole files are deleted only when the store has them.
        shipped: gone,
        segments,
        next_number,
        mark: None,
    }))
}

fn keep(used: Used, end: Option<u64>) -> Kept {
    let size = end.unwrap_or(used.length);
    let segment = Segment::of_earlier_start(used.path, used.header.number, size, used.first);
    if let Some(end) = end {
        segment.end.store(end, std::sync::atomic::Ordering::Relaxed);
    }
    Kept { segment: segment.into(), file: None, shipped_at: None }
}

fn force(used: &Used) {
    if let Err(error) = File::open(&used.path).and_then(|file| file.sync_data()) {
        let path = used.path.display();
        tracing::error!(%path, %error, "this file of the journal cannot be forced to disk: a power cut now may lose what is in it");
    }
}

fn clear_away(path: &Path, why: Unused, recovered: &mut Recovered) -> io::Result<()> {
    let shown = path.display();
    match why {
        Unused::Spare => return std::fs::remove_file(path),
        Unused::Halfway => {
            tracing::warn!(path = %shown, "a segment of the journal was being taken into use when power went: its predecessor counts");
        }
        Unused::Damaged => {
            tracing::error!(path = %shown, "the beginning of this file of the journal is damaged: none of its records can be read, it is set aside");
        }
        Unused::Unreadable => {
            tracing::error!(path = %shown, "this file of the journal cannot be read, or is none: it is set aside");
        }
    }
    recovered.torn += 1;
    recovered.torn_bytes += std::fs::metadata(path).map_or(0, |found| found.len());
    match std::fs::rename(path, path.with_extension(SET_ASIDE)) {
        // It stays where it is, and the next start tells it again.
        Err(_) if why == Unused::Unreadable => Ok(()),
        renamed => renamed,
    }
}

/// Cuts what cannot be read off the end, and completes what is open. Gives back the new end, and how many were open.
fn mend(used: &Used, tail: &Scan, recovered: &mut Recovered) -> io::Result<(u64, u64)> {
    let file = OpenOptions::new().read(true).write(true).open(&used.path)?;
    let written = remains::written_up_to(&file, tail.end)?;
    if written.is_none() && tail.open.is_empty() {
        // Nothing is added any more: what was laid out ahead goes back to the disk.
        file.set_len(tail.end)?;
        return Ok((tail.end, 0));
    }
    if let Some(written) = written {
        let torn = written - tail.end;
        recovered.torn += 1;
        recovered.torn_bytes += torn;
        let lost = remains::frames(&file, tail.end)?.all;
        let (path, at) = (used.path.display(), tail.end);
        if lost > 0 {
            // Somebody may want to look at what is cut off; without room it is cut off all the same.
            let copied = written <= LARGEST
                && std::fs::copy(&used.path, used.path.with_extension(SET_ASIDE)).is_ok();
            tracing::error!(%path, at, frames = lost, copied, "this file of the journal is damaged: what comes after that place cannot be used");
        } else {
            tracing::warn!(%path, at, bytes = torn, "the torn end of this file of the journal is cut off");
        }
        // Before anything is written there: else what is behind might be taken for what follows it.
        remains::erase(&file, tail.end)?;
    }
    let (mut frames, mut completion) = (Vec::new(), Vec::new());
    for begin in &tail.open {
        let begin = u32::try_from(*begin).map_err(io::Error::other)?;
        frame(&mut completion, Kind::Complete, |out| {
            out.extend_from_slice(&begin.to_le_bytes());
            put_outcome(out, &INTERRUPTED);
        });
        frames.extend_from_slice(&completion);
    }
    file.write_all_at(&frames, tail.end)?;
    let end = tail.end + frames.len() as u64;
    file.set_len(end)?;
    file.sync_all()?;
    let interrupted = tail.open.len() as u64;
    recovered.interrupted += interrupted;
    Ok((end, interrupted))
}
