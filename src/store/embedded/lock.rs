//! One process serves a store. The lock is the kernel's (`flock`), so that no crash leaves it behind; the number in the file
//! is for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::store::StoreError;
use crate::store::embedded::Home;

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(home: &Home) -> Result<Self, StoreError> {
        let path = home.lock();
        let unavailable = |error: std::io::Error| {
            let path = path.display();
            StoreError::Unavailable(format!("the lock {path} cannot be taken: {error}"))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(home, &mut file)),
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
        }
        let number = format!("{}\n", std::process::id());
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(number.as_bytes()));
        written.map_err(unavailable)?;
        Ok(Self { _file: file })
    }
}

fn in_use(home: &Home, file: &mut File) -> StoreError {
    let mut text = String::new();
    // At most a number; what else is in there is nobody's business.
    let read = file.take(20).read_to_string(&mut text);
    let number = read.ok().and_then(|_| text.trim().parse::<u32>().ok());
    let holder =
        number.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    StoreError::InUse(format!(
        "the store {} is in use by {holder}: stop it first, or ask the gateway that serves it through its admin API",
        home.0.display()
    ))
}
