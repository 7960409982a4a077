//! The suite, and what only an embedded history promises.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::store::Mode;
use crate::store::access::AccessStore;
use crate::store::conformance::access::HistorySubject;
use crate::store::embedded::access::open;

mod faults;
mod histories;

struct EmbeddedHistorySubject {
    directory: TempDir,
    /// The one process that serves.
    store: Arc<dyn AccessStore>,
}

impl HistorySubject for EmbeddedHistorySubject {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let store = open(&directory.path().join("data"), Mode::Sole).await.unwrap();
        Self { directory, store }
    }

    async fn node(&self) -> Arc<dyn AccessStore> {
        Arc::clone(&self.store)
    }

    async fn reader(&self) -> Arc<dyn AccessStore> {
        open(&self.directory.path().join("data"), Mode::Reader).await.unwrap()
    }
}

crate::store::conformance::access::history_suite!(EmbeddedHistorySubject);

fn home() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    (directory, data)
}

fn mode_of(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
