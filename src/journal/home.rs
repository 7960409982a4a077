//! The journal's directory: made private, and held by one process at a time.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::exclusive::{Denied, Exclusive};
use crate::journal::{JournalError, segment};
use crate::model::LaneId;

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _held: Exclusive,
}

impl Lock {
    /// Makes the directory where there is none.
    pub(super) fn take(directory: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { dir: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let taken = Exclusive::take(&directory.join("lock"));
        let mut held = taken.map_err(|denied| match denied {
            Denied::InUse(holder) => JournalError::InUse(format!(
                "the journal {} is in use by {holder}: stop it first, or give this gateway a `log.dir` of its own",
                directory.display()
            )),
            Denied::Failed(error) => failed(error),
        })?;
        // A full disk has no room for the number, and the lock is held without it.
        drop(held.sign());
        Ok(Self { _held: held })
    }
}

/// Files that are segments by their names, by lane and number; and those that a rewriting left behind.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) segments: Vec<(LaneId, u32, PathBuf)>,
    pub(super) leftovers: Vec<PathBuf>,
}

/// What a segment is rewritten to before it takes its place.
pub(super) const REWRITTEN: &str = "rewritten";

pub(super) fn list(directory: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let named = name.to_str().and_then(segment::read_name);
        if let Some((lane, number)) = named {
            found.segments.push((lane, number, entry.path()));
        } else if entry.path().extension().is_some_and(|ending| ending == REWRITTEN) {
            found.leftovers.push(entry.path());
        }
    }
    found.segments.sort();
    Ok(found)
}

/// What the file system would still give to this process.
pub(super) fn free_space(directory: &Path) -> Option<u64> {
    let said = rustix::fs::statvfs(directory).ok()?;
    Some(said.f_bavail.saturating_mul(said.f_frsize))
}

/// File systems that write to another place what is written over, and so need room where a file has all of its blocks.
const COPYING: [(u64, &str); 2] = [(0x9123_683e, "btrfs"), (0x2fc1_2fc1, "zfs")];

pub(super) fn warn_of_copying(directory: &Path) {
    let Ok(said) = rustix::fs::statfs(directory) else { return };
    let kind = u64::try_from(said.f_type);
    if let Some((_, name)) = COPYING.iter().find(|(magic, _)| kind == Ok(*magic)) {
        let dir = directory.display();
        tracing::warn!(
            %dir,
            "`log.dir` is on {name}, which needs room even for what was laid out ahead: a full disk may kill the gateway there; put it on ext4 or xfs, or see that the disk never fills"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_holds_it_and_the_other_is_told_who() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a/journal");
        let held = Lock::take(&directory).unwrap();
        let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let refused = Lock::take(&directory).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(refused.contains("log.dir"), "{refused}");
        drop(held);
        Lock::take(&directory).unwrap();
    }
}
