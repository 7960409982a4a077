//! A small disk of a test's own, and what fills it. It takes the right to mount, which root has outside of most containers.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A tmpfs, unmounted when it is dropped.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// At this path, which is made. None, loudly, where mounting is not permitted.
    pub(crate) fn mount(path: &Path, mebibytes: usize) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let options = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).stderr(Stdio::piped());
        let outcome = mount.output().unwrap();
        if !outcome.status.success() {
            let why = String::from_utf8_lossy(&outcome.stderr).into_owned();
            super::say(&format!("*** NOT TESTED: a full disk. Nothing can be mounted here: {why}"));
            return None;
        }
        Some(Self { path: path.to_owned() })
    }

    /// Takes every byte that is left.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::options().append(true).create(true).open(self.filler()).unwrap();
        for size in [1 << 20, 64 << 10, 4 << 10] {
            let bytes = vec![b'.'; size];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there was killed, or will be.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

/// What the segments of a journal take on the disk.
pub(crate) fn used(journal: &Path) -> u64 {
    let entries = fs::read_dir(journal).unwrap().flatten();
    let segments = entries.filter(|entry| entry.path().extension() == Some("journal".as_ref()));
    // What was deleted meanwhile takes nothing.
    segments.filter_map(|entry| entry.metadata().ok()).map(|data| data.blocks() * 512).sum()
}
