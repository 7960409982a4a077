//! A copy of a store, taken while it is served.
//!
//! SQLite's backup copies the pages of one moment: it reads as any reader does, so nobody waits for it, and it has all of a
//! change or nothing. The copy is made under another name, checked and synced, and only then gets its own: a file of that
//! name is a whole backup.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;
use crate::store::embedded::fault::Fault;
use crate::store::embedded::schema::REGISTRY;
use crate::store::embedded::{Home, changes, opening};

/// A backup that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    pub documents: u64,
    pub bytes: u64,
}

/// Copies the embedded store of a directory into a file that must not be there yet. Blocking.
pub fn back_up(directory: &Path, to: &Path) -> Result<Copied, StoreError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(exists(to));
    }
    let home = Home(directory.to_owned());
    let source = opening::to_read(&home, &home.database(), REGISTRY)?;
    let copy = Unfinished::make(to)?;
    let documents = copy_pages(&source, &copy.0).map_err(|fault| fault.told(&copy.0))?;
    let bytes = copy.finish(to).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(to),
        _ => StoreError::Unavailable(format!("{} cannot be written: {error}", to.display())),
    })?;
    Ok(Copied { documents, bytes })
}

fn exists(to: &Path) -> StoreError {
    let to = to.display();
    StoreError::Unavailable(format!("{to} is there already; a backup overwrites nothing"))
}

fn copy_pages(source: &Connection, copy: &Path) -> Result<u64, Fault> {
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(copy, access)?;
    {
        let backup = Backup::new(source, &mut copy)?;
        // All pages in one step: between two, a writer in another process would make it begin again.
        while backup.step(-1)? != StepResult::Done {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // One file, without a log beside it.
    copy.pragma_update_and_check(None, "journal_mode", "delete", |_mode| Ok(()))?;
    let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        let damaged = format!("the store is damaged ({verdict}): its backup was not kept");
        return Err(StoreError::Corrupt(damaged).into());
    }
    let documents = changes::count(&copy)?;
    copy.close().map_err(|(_still_open, error)| error)?;
    changes::number(documents, "the number of documents")
}

/// The copy before it has its name; gone when it is dropped.
struct Unfinished(PathBuf);

impl Unfinished {
    fn make(to: &Path) -> Result<Self, StoreError> {
        let mut name = to.as_os_str().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let path = PathBuf::from(name);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map(|_file| Self(path)).map_err(|error| {
            StoreError::Unavailable(format!("{} cannot be made: {error}", to.display()))
        })
    }

    fn finish(self, to: &Path) -> std::io::Result<u64> {
        let file = File::open(&self.0)?;
        file.sync_all()?;
        // A link is refused where the name is taken, which a rename would not be.
        fs::hard_link(&self.0, to)?;
        let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        opening::sync_directory(directory.unwrap_or(Path::new(".")))?;
        Ok(file.metadata()?.len())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // With its own name it lives on; without, nobody misses it.
        drop(fs::remove_file(&self.0));
    }
}
