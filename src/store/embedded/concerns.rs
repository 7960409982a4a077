//! What about an embedded store is not safe.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use crate::store::embedded::Home;
use crate::store::embedded::fault::Fault;

/// `file` is the one that the connection has open.
pub(super) fn of(connection: &Connection, home: &Home, file: &Path) -> Result<Vec<String>, Fault> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let journal = (mode != "wal").then(|| {
        format!(
            "the file system of {} does not take SQLite's write-ahead log (it uses `{mode}`), as network file systems \
             do not: keep the store on a local disk",
            home.0.display()
        )
    });
    let exposed = [(home.0.clone(), "700"), (file.to_owned(), "600")];
    let exposed = exposed.iter().filter_map(|(path, mode)| exposure(path, mode));
    Ok(exposed.chain(journal).collect())
}

fn exposure(path: &Path, proper: &str) -> Option<String> {
    // What cannot be looked at is told by the operation that needs it.
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let path = path.display();
    let open = mode & 0o077 != 0;
    open.then(|| format!("{path} is open to other users (mode {mode:03o}): chmod {proper} {path}"))
}
