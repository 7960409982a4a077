//! Which files a configuration was read from, and whether they have changed since.
//!
//! By polling, not by inotify: a Kubernetes ConfigMap changes by a symbolic link two directories up, editors save by
//! renaming another file into place, and a network file system tells nobody. All of them change what `stat` says. Twice
//! a second is a few microseconds of work.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::app::Faults;
use crate::app::sources::DiskSources;
use crate::config::{Config, Sources};
use crate::proxy::snapshot::tls_faults;

const POLL: Duration = Duration::from_millis(500);

/// What a file looks like from outside, symbolic links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None for a file that is not there or cannot be asked about.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            len: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Every file that was asked for, faulty and missing ones included, as it was just before it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched(BTreeMap<PathBuf, Option<Stamp>>);

/// Reads a configuration and remembers from which files, so that a change in between is never missed.
pub(super) fn load(path: &Path) -> (Result<Config, Faults>, Watched) {
    let recording = Recording::default();
    let config = Config::load_trying(path, &recording, &tls_faults).map_err(Faults);
    (config, Watched(recording.seen.into_inner()))
}

#[derive(Debug, Default)]
struct Recording {
    seen: RefCell<BTreeMap<PathBuf, Option<Stamp>>>,
}

impl Sources for Recording {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let stamp = || Stamp::of(path);
        self.seen.borrow_mut().entry(path.to_owned()).or_insert_with(stamp);
        DiskSources.read(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        DiskSources.env(name)
    }
}

impl Watched {
    fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// Waits until the files differ from what was read, and have stopped changing. Cancel-safe.
    pub(super) async fn changed(&self) {
        let mut settling = Settling::default();
        loop {
            sleep(POLL).await;
            let known = self.clone();
            // A network file system may take its time to answer.
            let Ok(now) = spawn_blocking(move || known.now()).await else { continue };
            if settling.is_over(self, now) {
                return;
            }
        }
    }
}

/// A change counts once two looks in a row have found the same: nobody is in the middle of writing.
#[derive(Debug, Default)]
struct Settling(Option<Watched>);

impl Settling {
    fn is_over(&mut self, read: &Watched, now: Watched) -> bool {
        if now == *read {
            self.0 = None;
            return false;
        }
        let settled = self.0.as_ref() == Some(&now);
        self.0 = Some(now);
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(files: &[PathBuf]) -> Watched {
        Watched(files.iter().map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    #[test]
    fn a_change_counts_once_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postern.yaml");
        fs::write(&file, "a").unwrap();
        let read = watched(std::slice::from_ref(&file));
        let mut settling = Settling::default();
        assert!(!settling.is_over(&read, read.now()), "nothing changed");
        fs::write(&file, "ab").unwrap();
        assert!(!settling.is_over(&read, read.now()), "may still be written");
        fs::write(&file, "abc").unwrap();
        assert!(!settling.is_over(&read, read.now()), "was still being written");
        assert!(settling.is_over(&read, read.now()), "has settled");
    }

    #[test]
    fn a_change_that_is_taken_back_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("routes.yaml");
        let read = watched(std::slice::from_ref(&file));
        let mut settling = Settling::default();
        fs::write(&file, "a").unwrap();
        assert!(!settling.is_over(&read, read.now()));
        fs::remove_file(&file).unwrap();
        assert!(!settling.is_over(&read, read.now()));
        fs::write(&file, "a").unwrap();
        assert!(!settling.is_over(&read, read.now()), "settling begins again");
    }

    #[test]
    fn a_link_that_points_elsewhere_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new, link) =
            (dir.path().join("v1"), dir.path().join("v2"), dir.path().join("current"));
        fs::write(&old, "same").unwrap();
        fs::write(&new, "same").unwrap();
        std::os::unix::fs::symlink(&old, &link).unwrap();
        let read = watched(std::slice::from_ref(&link));
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&new, &link).unwrap();
        assert_ne!(read.now(), read);
    }
}
