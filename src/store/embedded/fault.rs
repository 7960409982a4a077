//! What SQLite says, for people: which file, what is wrong with it, what to do.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::{StoreError, Unreadable};

/// The file of the history.
const HISTORY: &str = "access.db";

/// Why an errand failed, before it is known on which file.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// In the very moment of committing.
    Committing(rusqlite::Error),
    Told(StoreError),
    /// What cannot be read, whatever is to be done about it.
    Damaged(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Told(error)
    }
}

impl From<Unreadable> for Fault {
    fn from(error: Unreadable) -> Self {
        Self::Told(StoreError::Corrupt(error.to_string()))
    }
}

impl Fault {
    /// A number or a text that no version of ours has written.
    pub(super) fn damaged(what: &str) -> Self {
        Self::Damaged(format!("{what} cannot be read"))
    }

    pub(super) fn told(self, file: &Path) -> StoreError {
        match self {
            Self::Told(error) => error,
            Self::Damaged(what) => StoreError::Corrupt(format!("{what}; {}", remedy(file))),
            Self::Sqlite(error) => explain(file, &error),
            // A sync that failed says nothing of what is on the disk: the bytes may be there, and whole.
            Self::Committing(error)
                if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) =>
            {
                StoreError::Unknown(format!("{} failed while writing: {error}", file.display()))
            }
            Self::Committing(error) => explain(file, &error),
        }
    }
}

/// A backup has the registry alone; and without its history a gateway serves as before.
fn remedy(file: &Path) -> &'static str {
    if file.file_name().is_some_and(|name| name == HISTORY) {
        "stop the gateway and move access.db, access.db-wal and access.db-shm away: it makes them anew as it starts, and what \
         the journal still has is in them then"
    } else {
        "restore a backup"
    }
}

pub(super) fn explain(file: &Path, error: &rusqlite::Error) -> StoreError {
    let (file, remedy) = (file.display(), remedy(file));
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => {
            StoreError::Corrupt(format!("{file} is damaged ({error}); {remedy}"))
        }
        Some(ErrorCode::NotADatabase) => StoreError::Corrupt(format!(
            "{file} is not a store, or its beginning is damaged; {remedy}"
        )),
        Some(ErrorCode::DiskFull) => {
            StoreError::Unavailable(format!("no space is left on the disk of {file}"))
        }
        Some(ErrorCode::ReadOnly) => StoreError::Unavailable(format!(
            "{file} cannot be written: the file, its directory or the file system is read-only"
        )),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => StoreError::Unavailable(
            format!("{file} cannot be opened ({error}); is it, with its directory, this user's?"),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Unavailable(
            format!("{file} is held by another program; end whatever has it open"),
        ),
        Some(ErrorCode::SystemIoFailure) => {
            StoreError::Unavailable(format!("the disk of {file} fails: {error}"))
        }
        _ => StoreError::Unavailable(format!("{file}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_disk_that_fails_in_a_commit_leaves_its_outcome_open() {
        let file = Path::new("data/postern.db");
        let open = Fault::Committing(failure(ffi::SQLITE_IOERR_FSYNC)).told(file);
        assert!(matches!(open, StoreError::Unknown(_)), "{open}");
        let full = Fault::Committing(failure(ffi::SQLITE_FULL)).told(file);
        assert!(matches!(full, StoreError::Unavailable(_)), "{full}");
        let before = Fault::Sqlite(failure(ffi::SQLITE_IOERR_WRITE)).told(file);
        assert!(matches!(before, StoreError::Unavailable(_)), "{before}");
    }

    #[test]
    fn what_is_to_be_done_about_damage_fits_the_file() {
        let damage = || {
            let faults = [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB].map(|code| failure(code).into());
            faults.into_iter().chain([Fault::damaged("a block")])
        };
        for fault in damage() {
            let told = fault.told(Path::new("data/access.db"));
            assert!(matches!(told, StoreError::Corrupt(_)), "{told}");
            let told = told.to_string();
            assert!(told.contains("access.db-wal") && !told.contains("backup"), "{told}");
        }
        for fault in damage() {
            let told = fault.told(Path::new("data/postern.db")).to_string();
            assert!(told.contains("restore a backup") && !told.contains("access.db"), "{told}");
        }
    }

    #[test]
    fn every_message_names_the_file() {
        let codes = [
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_FULL,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_NOMEM,
        ];
        for code in codes {
            let told = explain(Path::new("data/postern.db"), &failure(code)).to_string();
            assert!(told.contains("data/postern.db"), "{told}");
        }
    }
}
