//! A directory that one process has at a time. The lock is the kernel's (`flock`), so that no crash leaves it behind; the
//! number in its file is for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Exclusive {
    file: File,
}

/// Why a lock is not to be had.
#[derive(Debug)]
pub(crate) enum Denied {
    /// By whom, for people: `process 4711`.
    InUse(String),
    Failed(io::Error),
}

impl Exclusive {
    /// Makes the file where there is none. It says nothing yet of who holds it.
    pub(crate) fn take(path: &Path) -> Result<Self, Denied> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(Denied::Failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Denied::InUse(holder(&mut file))),
            Err(TryLockError::Error(error)) => Err(Denied::Failed(error)),
        }
    }

    /// Writes the number of this process into it. It is held without that, too.
    pub(crate) fn sign(&mut self) -> io::Result<()> {
        let number = format!("{}\n", std::process::id());
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(number.as_bytes())
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // At most a number; what else is in there is nobody's business.
    let read = file.take(20).read_to_string(&mut text);
    let number = read.ok().and_then(|_| text.trim().parse::<u32>().ok());
    number.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
