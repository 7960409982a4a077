//! The thread that looks after the files: forces them to disk, lays segments ready, deletes what is not needed.
//!
//! A sync that failed is not believed when it succeeds later: the kernel may have dropped the pages and called them clean. So
//! the worker leaves that segment, and what is in it is written once more, to a new file that takes its place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::journal::Shared;
use crate::journal::format::{Header, Parsed, parse};
use crate::journal::home::REWRITTEN;
use crate::journal::lane::LaneShared;
use crate::journal::news::lock;
use crate::journal::segment::{Segment, new_file, sync_directory};

/// How often a segment that could not be had is tried for again.
const RETRY: Duration = Duration::from_millis(100);
/// How often it looks for what is to be deleted, and what has waited the longest.
const LOOK: Duration = Duration::from_secs(1);
/// Between two syncs at least, where they follow each other.
const BREATH: Duration = Duration::from_millis(2);

/// A file of which not all is on the disk.
struct Dirty {
    worker: Option<Arc<LaneShared>>,
    segment: Arc<Segment>,
    file: Arc<File>,
}

/// Until the bell says that it is over.
pub(super) fn keep(shared: &Shared) {
    let mut synced_at = Instant::now();
    let mut looked_at = synced_at;
    let mut patience = RETRY;
    while shared.bell.wait(patience) {
        let is_due = synced_at.elapsed() >= shared.terms().sync || shared.troubles.is_failing();
        if is_due {
            synced_at = Instant::now();
        }
        let all_well = shared.turn(is_due);
        if looked_at.elapsed() >= LOOK {
            shared.look();
            shared.warn_of_workers();
            looked_at = Instant::now();
        }
        let look = if all_well { LOOK } else { RETRY };
        let sync = shared.terms().sync.saturating_sub(synced_at.elapsed());
        patience = look.min(sync.max(BREATH));
    }
}

impl Shared {
    /// One round; true where nothing has to be tried again soon.
    fn turn(&self, sync_is_due: bool) -> bool {
        let _alone = lock(&self.duty);
        let is_short = !self.supply_all();
        // Only what is on the disk is shipped, and only what was shipped makes room.
        if sync_is_due || is_short {
            self.sync();
        }
        self.delete_expired();
        self.warn();
        let lanes = lock(&self.shelf);
        let lacks = |worker: &Arc<LaneShared>| {
            worker.spare_size().is_none() || worker.is_refusing.load(Ordering::Relaxed)
        };
        let workers = lanes.lanes.iter().filter_map(|lane| lane.worker.as_ref());
        let mut living = workers.filter(|worker| !worker.is_gone.load(Ordering::Acquire));
        !living.any(lacks) && !self.troubles.is_failing()
    }

    /// Forces everything to disk that was written.
    pub(super) fn sync(&self) -> Option<io::Error> {
        let mut trouble: Option<(io::Error, Arc<Segment>)> = None;
        for dirty in self.dirty() {
            if let Err(error) = self.sync_one(&dirty) {
                trouble = Some((error, dirty.segment));
            }
        }
        self.news.ring();
        let path = trouble.as_ref().map_or(&*self.dir, |(_, segment)| &*segment.path);
        self.troubles.tell_of_sync(trouble.as_ref().map(|(error, _)| error), path);
        trouble.map(|(error, _)| error)
    }

    /// Forgets files of which nothing has to be forced any more.
    fn dirty(&self) -> Vec<Dirty> {
        let mut dirty = Vec::new();
        for lane in &mut lock(&self.shelf).lanes {
            for kept in &mut lane.segments {
                let Some(file) = &kept.file else { continue };
                let is_closed = kept.segment.is_closed();
                if kept.is_dirty() || kept.segment.has_failed() {
                    let (segment, file) = (Arc::clone(&kept.segment), Arc::clone(file));
                    dirty.push(Dirty { worker: lane.worker.clone(), segment, file });
                } else if is_closed {
                    kept.file = None;
                }
            }
        }
        dirty
    }

    fn sync_one(&self, dirty: &Dirty) -> io::Result<()> {
        let segment = &dirty.segment;
        if !segment.has_failed() {
            let end = segment.end();
            match self.force(&dirty.file) {
                Ok(()) => {
                    segment.synced.store(end, Ordering::Release);
                    self.forced.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
                Err(error) => {
                    segment.failed.store(true, Ordering::Relaxed);
                    self.forced.fetch_add(1, Ordering::SeqCst);
                    // Told even where writing it again helps at once.
                    self.troubles.tell_of_sync(Some(&error), &segment.path);
                }
            }
        }
        if let Some(worker) = &dirty.worker {
            worker.leave(segment);
        }
        if !segment.is_closed() {
            return Err(io::Error::other("there is no other file to write to yet"));
        }
        let is_shipped = lock(&self.shelf).lanes.iter().any(|lane| lane.is_shipped(segment));
        if !is_shipped {
            self.rewrite(segment, &dirty.file)?;
        }
        segment.synced.store(segment.end(), Ordering::Release);
        segment.failed.store(false, Ordering::Relaxed);
        self.forced.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn force(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.pretend_to_fail()?;
        file.sync_data()
    }

    /// Writes what is in a segment to a new file that takes its place.
    fn rewrite(&self, segment: &Segment, file: &File) -> io::Result<()> {
        let end = segment.end();
        let mut bytes = vec![0; usize::try_from(end).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        if !is_whole(&bytes) {
            return Err(io::Error::other("what was written to it cannot be read back"));
        }
        let path = segment.path.with_extension(REWRITTEN);
        let written = write_anew(&path, &bytes).and_then(|file| self.force(&file));
        let replaced = written.and_then(|()| std::fs::rename(&path, &segment.path));
        if let Err(error) = replaced.and_then(|()| sync_directory(&self.dir)) {
            drop(std::fs::remove_file(&path));
            return Err(error);
        }
        let before = segment.size.swap(end, Ordering::Relaxed);
        self.used.fetch_sub(before.saturating_sub(end), Ordering::Relaxed);
        Ok(())
    }
}

fn write_anew(path: &Path, bytes: &[u8]) -> io::Result<File> {
    // An attempt that was given up may have left one.
    drop(std::fs::remove_file(path));
    let file = new_file(path)?;
    file.write_all_at(bytes, 0)?;
    Ok(file)
}

fn is_whole(bytes: &[u8]) -> bool {
    let Ok(header) = Header::read(bytes) else { return false };
    let mut rest = bytes.get(header.length..).unwrap_or_default();
    while !rest.is_empty() {
        let Parsed::Frame(frame) = parse(rest) else { return false };
        rest = rest.get(frame.size..).unwrap_or_default();
    }
    true
}
