//! From a directory to a connection that may be trusted with changes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;
use crate::store::embedded::Home;
use crate::store::embedded::fault::Fault;
use crate::store::embedded::schema::{self, Form};

/// How long to wait for another process's lock on the file. Nobody holds one for long: a backup reads without.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// More than there are in this module, so that each is parsed once.
const STATEMENTS: usize = 64;

/// For its owner alone, as everything in it.
pub(super) fn make_directory(home: &Home) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&home.0);
    made.map_err(|error| {
        let directory = home.0.display();
        StoreError::Unavailable(format!("the directory {directory} cannot be made: {error}"))
    })
}

/// SQLite would make the file with the permissions of the process's mask; its other files take after this one.
fn make_file(home: &Home, file: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let synced = match made {
        Ok(_new) => sync_directory(&home.0),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    synced.map_err(|error| {
        StoreError::Unavailable(format!("{} cannot be made: {error}", file.display()))
    })
}

/// A name that was made is there after a power cut only when its directory was synced.
pub(super) fn sync_directory(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

/// One of the files of a store.
pub(super) fn to_write(home: &Home, file: &Path, form: Form) -> Result<Connection, StoreError> {
    make_file(home, file)?;
    prepare(file, form).map_err(|fault| fault.told(file))
}

fn prepare(file: &Path, form: Form) -> Result<Connection, Fault> {
    let mut connection = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // A store that is refused is left as it is: closing it must not bring its log home.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let found = schema::look(&connection, form)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    if found == schema::Found::Nothing && form.shrinks {
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
    }
    // Where the file system cannot do it, the mode stays what it was: `concerns` tells.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_mode| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // What an import leaves of the log beyond this is given back to the disk.
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_limit| Ok(()))?;
    schema::migrate(&mut connection, found, form)?;
    Ok(connection)
}

/// Beside whoever serves, or where nobody does.
pub(super) fn to_read(home: &Home, file: &Path, form: Form) -> Result<Connection, StoreError> {
    // SQLite would say that it cannot open the file, and not why.
    match fs::metadata(file) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let directory = home.0.display();
            return Err(StoreError::Unavailable(format!("there is no store at {directory}")));
        }
        Err(error) => {
            let file = file.display();
            return Err(StoreError::Unavailable(format!("{file} cannot be read: {error}")));
        }
    }
    let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let looked = connection.map_err(Fault::from).and_then(|connection| {
        let found = schema::look(&connection, form)?;
        Ok((connection, found))
    });
    let (connection, found) = looked.map_err(|fault| fault.told(file))?;
    match found {
        schema::Found::Nothing => {
            let directory = home.0.display();
            Err(StoreError::Unavailable(format!("the store at {directory} was never begun")))
        }
        found if schema::is_current(found, form) => Ok(connection),
        schema::Found::Version(_) => Err(StoreError::Corrupt(
            "it was written by an earlier version of Postern; start the gateway once, which brings it up to date"
                .to_owned(),
        )),
    }
}

fn connect(file: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // One thread has it, so SQLite need not guard it; and no name is ever taken for a URI.
    let connection = Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A file from elsewhere may have views and triggers that do more than they say.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A damaged page is found where it is read, not where it was believed.
    connection.pragma_update(None, "cell_size_check", true)?;
    // Nothing of the store is written anywhere else.
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}
