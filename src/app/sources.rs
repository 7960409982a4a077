//! The disk and the environment, as the configuration reads them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::config::Sources;

/// The most that is read of one file. A configuration is written by hand; whatever is longer is something else.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The real files and the real environment.
#[derive(Clone, Copy, Debug)]
pub struct DiskSources;

impl Sources for DiskSources {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_at_most(path, MAX_BYTES)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn read_at_most(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    // A pipe or a device may block or never end, so nothing but a file is opened.
    let kind = std::fs::metadata(path)?;
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if !kind.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file; save what it gives in one and name that",
        ));
    }
    let too_long = || {
        let message = format!("it is longer than {} MiB", max_bytes / (1024 * 1024));
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    };
    if kind.len() > max_bytes {
        return Err(too_long());
    }
    // The file may grow while it is read.
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max_bytes {
        return Err(too_long());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit_and_not_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        assert_eq!(read_at_most(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let missing = DiskSources.read(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let directory = DiskSources.read(dir.path()).unwrap_err();
        assert_eq!(directory.kind(), io::ErrorKind::IsADirectory);
        let device = DiskSources.read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(device.kind(), io::ErrorKind::InvalidInput);
    }
}
