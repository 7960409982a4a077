//! A file of 32 random bytes that only its owner may read, made once.
//!
//! Several processes may start at the same time on one directory: each writes a file of its own and links it to the name,
//! which only one of them can do; the others read what the first one made. Until the link is there, nobody sees the name;
//! once it is there, all of it is, on the disk too. A crash leaves at most a file with a random name that nobody reads.
//! Whoever makes several of them holds the directory's lock, so that nobody takes the first one for what is left of all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::vault::{VaultError, key, random};

/// With a dot, as what nobody needs to put into a backup.
const LOCK: &str = ".lock";
/// There as long as the secrets are being made for the first time.
const FIRST_START: &str = ".first-start";

pub(super) const LEN: usize = 32;
pub(super) type Secret = Zeroizing<[u8; LEN]>;

/// Makes the directory where there is none, and refuses one that others may write to.
pub(super) fn directory(dir: &Path) -> Result<(), VaultError> {
    let shown = dir.display();
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|error| cannot_make(dir, &error))
        }
        Err(error) => Err(fault(format!("the secrets directory {shown} cannot be read: {error}"))),
        Ok(found) if !found.is_dir() => Err(fault(format!(
            "{shown} is no directory: let `keys.secrets` name one, for the pepper and the sealing key"
        ))),
        Ok(found) if found.mode() & 0o022 != 0 => Err(fault(format!(
            "the secrets directory {shown} may be written to by others (mode {:03o}): chmod 700 {shown}",
            found.mode() & 0o777
        ))),
        Ok(_) => Ok(()),
    }
}

/// The secret of that name, if there is one.
pub(super) fn read(dir: &Path, name: &str) -> Result<Option<Secret>, VaultError> {
    let path = dir.join(name);
    let shown = path.display();
    let cannot = |error: io::Error| fault(format!("{shown} cannot be read: {error}"));
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
        // Before it is opened: opening a pipe would wait for its writer.
        Ok(found) if !found.is_file() => return Err(fault(format!("{shown} is no file"))),
        Ok(_) => {}
    }
    let mut file = File::open(&path).map_err(cannot)?;
    let found = file.metadata().map_err(cannot)?;
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o777;
        return Err(fault(format!(
            "{shown} is open to others (mode {mode:03o}): chmod 600 {shown}, and think of what is in it as known to them"
        )));
    }
    if let (owner, Some(own)) = (found.uid(), own_uid())
        && owner != own
    {
        return Err(fault(format!(
            "{shown} belongs to user {owner}, and this process runs as {own}: chown {own} {shown}"
        )));
    }
    let mut secret = Secret::new([0; LEN]);
    let whole = found.len() == LEN as u64;
    if !whole || file.read_exact(secret.as_mut()).is_err() {
        return Err(fault(format!(
            "{shown} has {} bytes in place of {LEN}: put the right file back from your backup",
            found.len()
        )));
    }
    Ok(Some(secret))
}

/// Waits until no other process is making secrets in the directory, and keeps them waiting until it is dropped. The file
/// stays and says nothing: what counts is who has it locked, which no crash outlives.
pub(super) fn alone(dir: &Path) -> Result<File, VaultError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let opened = options.open(dir.join(LOCK));
    let locked = opened.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| cannot_make(dir, &error))
}

/// Notes, for whoever comes after a crash, that what is missing was never there. Only under the lock.
pub(super) fn begin_first_start(dir: &Path) -> Result<(), VaultError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let noted = options.open(dir.join(FIRST_START)).and_then(|_| File::open(dir)?.sync_all());
    noted.map_err(|error| cannot_make(dir, &error))
}

pub(super) fn is_first_start(dir: &Path) -> bool {
    dir.join(FIRST_START).exists()
}

/// Both are there: from now on a missing one is a loss.
pub(super) fn end_first_start(dir: &Path) {
    match fs::remove_file(dir.join(FIRST_START)) {
        Ok(()) => drop(File::open(dir).and_then(|dir| dir.sync_all())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "remove the file {FIRST_START} in `keys.secrets`"),
    }
}

/// Makes the secret of that name, or reads it where another process was faster.
pub(super) fn make(dir: &Path, name: &str) -> Result<Secret, VaultError> {
    let secret = random()?;
    let own = dir.join(format!(".{name}.{}", key::fresh_id()?));
    let made = link(dir, &own, &dir.join(name), &secret);
    // What is left behind is a name and bytes that nobody uses.
    drop(fs::remove_file(&own));
    match made {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot_make(dir, &error)),
    }
    read(dir, name)?.ok_or_else(|| {
        let shown = dir.join(name);
        fault(format!("{} went away as it was made", shown.display()))
    })
}

fn link(dir: &Path, own: &Path, path: &Path, secret: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(own)?;
    file.write_all(secret.as_ref())?;
    file.sync_all()?;
    fs::hard_link(own, path)?;
    File::open(dir)?.sync_all()?;
    // The directory itself may be new.
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Whoever makes a pipe owns it.
fn own_uid() -> Option<u32> {
    let (reader, _writer) = io::pipe().ok()?;
    File::from(OwnedFd::from(reader)).metadata().ok().map(|found| found.uid())
}

fn cannot_make(dir: &Path, error: &io::Error) -> VaultError {
    fault(format!(
        "the pepper and the sealing key cannot be kept in {}: {error}. Let `keys.secrets` name a directory that this process may write to",
        dir.display()
    ))
}

fn fault(message: String) -> VaultError {
    VaultError::File(message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        directory(&dir).unwrap();
        assert!(read(&dir, "pepper").unwrap().is_none());
        let made = make(&dir, "pepper").unwrap();
        assert_ne!(*made, [0; LEN]);
        assert_eq!(*make(&dir, "pepper").unwrap(), *made);
        assert_eq!(read(&dir, "pepper").unwrap().as_deref(), Some(&*made));
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(dir.join("pepper")).unwrap().mode() & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["pepper"]);
    }

    #[test]
    fn many_at_once_agree() {
        let dir = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        let secrets: Vec<Secret> = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                make(dir.path(), "pepper").unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.windows(2).all(|pair| pair[0] == pair[1]));
    }

    fn message<T>(result: Result<T, VaultError>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_others_may_read_or_is_not_whole_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), "pepper").unwrap();
        let path = dir.path().join("pepper");
        for mode in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let told = message(read(dir.path(), "pepper"));
            assert!(told.contains(&format!("chmod 600 {}", path.display())), "{told}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for length in [0, 31, 33] {
            fs::write(&path, vec![7; length]).unwrap();
            let told = message(read(dir.path(), "pepper"));
            assert!(told.contains(&format!("has {length} bytes")), "{told}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(message(read(dir.path(), "pepper")).contains("is no file"));
    }

    #[test]
    fn a_directory_that_will_not_do_is_named_with_its_field() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(message(directory(dir.path())).contains("chmod 700"));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(message(directory(file.path())).contains("`keys.secrets`"));
        assert!(message(directory(&file.path().join("below"))).contains("cannot be read"));
        // Nobody may make anything there, whoever runs this test.
        let told = message(directory(Path::new("/proc/self/postern")));
        assert!(told.contains("`keys.secrets`"), "{told}");
    }

    #[test]
    fn the_owner_of_a_pipe_is_the_owner_of_a_new_file() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(own_uid(), Some(file.metadata().unwrap().uid()));
    }
}
