//! The suite, and what only an embedded store promises.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::store::conformance::Subject;
use crate::store::conformance::samples::{change, commit, key, key_id, moment, practice};
use crate::store::embedded::changes::REMEMBERED;
use crate::store::embedded::schema::REGISTRY;
use crate::store::embedded::{Home, back_up, open, opening};
use crate::store::{Document, Mode, News, Position, RegistryStore, Safety, StoreError};

struct EmbeddedSubject {
    directory: TempDir,
    /// The one process that serves.
    store: Arc<dyn RegistryStore>,
}

impl Subject for EmbeddedSubject {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let store = open(&directory.path().join("data"), Mode::Sole).await.unwrap();
        Self { directory, store }
    }

    async fn node(&self) -> Arc<dyn RegistryStore> {
        Arc::clone(&self.store)
    }

    async fn reader(&self) -> Arc<dyn RegistryStore> {
        open(&self.directory.path().join("data"), Mode::Reader).await.unwrap()
    }
}

crate::store::conformance::suite!(EmbeddedSubject);

fn home() -> (TempDir, std::path::PathBuf) {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    (directory, data)
}

async fn refusal(data: &Path, mode: Mode) -> StoreError {
    open(data, mode).await.map(|store| format!("{store:?}")).unwrap_err()
}

fn writer(data: &Path) -> Connection {
    let home = Home(data.to_owned());
    opening::to_write(&home, &home.database(), REGISTRY).unwrap()
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A store with something in it, closed.
async fn some_store(data: &Path) {
    let store = open(data, Mode::Sole).await.unwrap();
    for after in 0..3 {
        let id = format!("p{after}");
        commit(&*store, after, &change(&id, vec![practice(&id, &"x".repeat(5_000))])).await;
    }
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_who_has_it() {
    let (_directory, data) = home();
    let first = open(&data, Mode::Sole).await.unwrap();
    let error = refusal(&data, Mode::Sole).await;
    assert!(matches!(error, StoreError::InUse(_)), "{error:?}");
    let told = error.to_string();
    let process = format!("process {}", std::process::id());
    assert!(told.contains(&process) && told.contains("stop it"), "{told}");
    commit(&*first, 0, &change("a", vec![])).await;
    drop(first);
    let next = open(&data, Mode::Sole).await.unwrap();
    assert_eq!(next.everything().await.unwrap().position, Position(1));
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    store.adopt("vault".to_owned()).await.unwrap();
    commit(&*store, 0, &change("a", vec![Document::Key(key(1))])).await;
    store.record_use(&[(key_id(1), moment(4))]).await.unwrap();
    drop(store);
    let store = open(&data, Mode::Sole).await.unwrap();
    let loaded = store.everything().await.unwrap();
    assert_eq!(loaded.vault.as_deref(), Some("vault"));
    assert_eq!(loaded.documents, [(Position(1), Document::Key(key(1)))]);
    assert_eq!(loaded.used, [(key_id(1), moment(4))]);
    let news = store.news(Position(0), Duration::ZERO).await.unwrap();
    assert!(matches!(&news, News::Changes(changes) if changes.len() == 1), "{news:?}");
    commit(&*store, 1, &change("b", vec![])).await;
}

/// What SIGKILL leaves: the file and its log, as they were, and nobody to bring the one home into the other.
#[tokio::test]
async fn what_was_committed_is_there_after_the_process_was_killed() {
    let (directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    for after in 0..20 {
        let id = format!("p{after}");
        commit(&*store, after, &change(&id, vec![practice(&id, &id)])).await;
    }
    for mode in [Mode::Reader, Mode::Sole] {
        let left = directory.path().join(format!("{mode:?}"));
        fs::create_dir(&left).unwrap();
        for name in ["postern.db", "postern.db-wal"] {
            fs::copy(data.join(name), left.join(name)).unwrap();
        }
        let loaded = open(&left, mode).await.unwrap().everything().await.unwrap();
        assert_eq!((loaded.position, loaded.documents.len()), (Position(20), 20), "{mode:?}");
    }
}

/// A log whose end was not written is as long as its last whole change.
#[tokio::test]
async fn a_log_cut_off_anywhere_holds_whole_changes_alone() {
    let (directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    for after in 0..6 {
        let puts = (0..4).map(|n| practice(&format!("p{after}-{n}"), "x")).collect();
        let mut change = change("a", puts);
        change.audit = vec![crate::store::conformance::samples::entry(after + 1, moment(1), None)];
        commit(&*store, after, &change).await;
    }
    let log = fs::read(data.join("postern.db-wal")).unwrap();
    let left = directory.path().join("left");
    let mut seen = std::collections::BTreeSet::new();
    for cut in (0..=log.len()).step_by(log.len() / 60) {
        drop(fs::remove_dir_all(&left));
        fs::create_dir(&left).unwrap();
        fs::copy(data.join("postern.db"), left.join("postern.db")).unwrap();
        fs::write(left.join("postern.db-wal"), &log[..cut]).unwrap();
        let store = open(&left, Mode::Sole).await.unwrap();
        let loaded = store.everything().await.unwrap();
        let position = loaded.position.0;
        assert_eq!(loaded.documents.len() as u64, 4 * position, "cut at {cut}");
        assert_eq!(loaded.head.seq, position, "cut at {cut}");
        assert_eq!(store.audit_from(1, 99).await.unwrap().len() as u64, position, "cut at {cut}");
        seen.insert(position);
    }
    assert!(seen.len() > 3, "{seen:?}");
}

#[tokio::test]
async fn files_are_their_owners_alone() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    commit(&*store, 0, &change("a", vec![])).await;
    assert_eq!(mode_of(&data), 0o700);
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode_of(&file), 0o600, "{}", file.display());
    }
    assert_eq!(store.concerns().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_store_that_others_can_read_is_a_concern() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(data.join("postern.db"), fs::Permissions::from_mode(0o640)).unwrap();
    let concerns = store.concerns().await.unwrap().join("\n");
    assert!(concerns.contains("mode 755") && concerns.contains("mode 640"), "{concerns}");
}

#[tokio::test]
async fn there_is_nothing_to_read_where_no_store_was_made() {
    let (_directory, data) = home();
    let error = refusal(&data, Mode::Reader).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("there is no store at"), "{error}");
    assert!(!data.exists(), "a reader makes nothing");
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let (_directory, data) = home();
    some_store(&data).await;
    let reader = open(&data, Mode::Reader).await.unwrap();
    assert_eq!(reader.everything().await.unwrap().documents.len(), 3);
    let outcome = reader.commit(Position(3), &change("a", vec![]), Safety::Usual).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert!(reader.adopt("mine".to_owned()).await.is_err());
    assert_eq!(reader.everything().await.unwrap().position, Position(3));
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused_and_left_as_it_is() {
    let (_directory, data) = home();
    some_store(&data).await;
    let file = data.join("postern.db");
    let other = Connection::open(&file).unwrap();
    other.pragma_update(None, "user_version", 4_000).unwrap();
    drop(other);
    let before = fs::read(&file).unwrap();
    for mode in [Mode::Sole, Mode::Reader] {
        let error = refusal(&data, mode).await;
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        let told = error.to_string();
        assert!(told.contains("later version") && told.contains("4000"), "{told}");
    }
    assert!(fs::read(&file).unwrap() == before, "it was written to");
}

#[tokio::test]
async fn a_damaged_file_is_an_error_that_names_it() {
    for damage in ["garbage", "first page", "truncated", "a page in the middle"] {
        let (_directory, data) = home();
        some_store(&data).await;
        let file = data.join("postern.db");
        let mut bytes = fs::read(&file).unwrap();
        match damage {
            "garbage" => bytes.fill(0x5a),
            "first page" => bytes[..100].fill(0),
            "truncated" => bytes.truncate(bytes.len() / 2),
            _ => {
                let end = bytes.len();
                bytes[4_096..end].fill(0x5a);
            }
        }
        fs::write(&file, &bytes).unwrap();
        let outcome = match open(&data, Mode::Sole).await {
            Ok(store) => store.everything().await.map(|loaded| format!("{loaded:?}")),
            Err(error) => Err(error),
        };
        let error = outcome.expect_err(damage);
        assert!(matches!(error, StoreError::Corrupt(_)), "{damage}: {error:?}");
        assert!(error.to_string().contains("postern.db"), "{damage}: {error}");
        assert!(fs::read(&file).unwrap() == bytes, "{damage}: it was written to");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_named_and_not_shown() {
    let (_directory, data) = home();
    some_store(&data).await;
    let other = Connection::open(data.join("postern.db")).unwrap();
    let sql = "UPDATE documents SET body = '{\"kind\":\"practice\",\"plan\":\"c0ffee\"}' WHERE id = 'practice/p1'";
    assert_eq!(other.execute(sql, []).unwrap(), 1);
    let error = open(&data, Mode::Sole).await.unwrap().everything().await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("practice/p1") && !told.contains("c0ffee"), "{told}");
}

#[tokio::test]
async fn a_full_disk_refuses_a_change_and_keeps_what_was_there() {
    let (_directory, data) = home();
    some_store(&data).await;
    let store = open(&data, Mode::Sole).await.unwrap();
    // What SQLite says at its own limit of pages is what it says at the disk's.
    let mut full = writer(&data);
    full.pragma_update_and_check(None, "max_page_count", 1, |_pages| Ok(())).unwrap();
    let big = change("big", (0..200).map(|n| Document::Key(key(n))).collect());
    let error = super::changes::commit(&mut full, Position(3), &big).unwrap_err();
    let error = error.told(&data);
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("no space"), "{error}");
    let loaded = store.everything().await.unwrap();
    assert_eq!((loaded.position, loaded.documents.len()), (Position(3), 3));
    drop(full);
    commit(&*store, 3, &big).await;
}

#[tokio::test]
async fn a_change_is_synced_whatever_a_heartbeat_left_behind() {
    let (_directory, data) = home();
    drop(open(&data, Mode::Sole).await.unwrap());
    let home = Home(data.clone());
    let mut connection = opening::to_write(&home, &home.database(), REGISTRY).unwrap();
    connection.pragma_update(None, "synchronous", "normal").unwrap();
    super::changes::commit_synced(&mut connection, Position(0), &change("a", vec![])).unwrap();
    let full = 2;
    let synchronous = connection.pragma_query_value(None, "synchronous", |row| row.get(0));
    assert_eq!(synchronous, Ok(full));
}

#[tokio::test]
async fn the_feed_forgets_the_oldest_changes() {
    let (_directory, data) = home();
    drop(open(&data, Mode::Sole).await.unwrap());
    let mut connection = writer(&data);
    // A sync for each of a thousand changes is not what this is about.
    connection.pragma_update(None, "synchronous", "off").unwrap();
    let last = REMEMBERED + 10;
    for after in 0..last {
        super::changes::commit(&mut connection, Position(after), &change("a", vec![])).unwrap();
    }
    drop(connection);
    let store = open(&data, Mode::Sole).await.unwrap();
    for gone in [0, 9] {
        let news = store.news(Position(gone), Duration::ZERO).await.unwrap();
        assert!(matches!(news, News::Reload), "{gone}: {news:?}");
    }
    let news = store.news(Position(10), Duration::ZERO).await.unwrap();
    let News::Changes(changes) = news else { panic!("asked to load again") };
    assert_eq!(changes.len() as u64, REMEMBERED);
    assert_eq!(changes[0].0, Position(11));
}

#[tokio::test]
async fn a_change_too_big_for_the_feed_asks_for_a_reload() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    let big = change("big", (0..1_001).map(|n| Document::Key(key(n))).collect());
    commit(&*store, 0, &big).await;
    commit(&*store, 1, &change("small", vec![])).await;
    let news = store.news(Position(0), Duration::ZERO).await.unwrap();
    assert!(matches!(news, News::Reload), "{news:?}");
    let news = store.news(Position(1), Duration::ZERO).await.unwrap();
    assert!(matches!(&news, News::Changes(changes) if changes.len() == 1), "{news:?}");
}

#[tokio::test]
async fn an_entry_whose_number_is_taken_takes_its_change_with_it() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    let entry = crate::store::conformance::samples::entry(1, moment(1), None);
    let mut first = change("a", vec![]);
    first.audit = vec![entry.clone()];
    commit(&*store, 0, &first).await;
    let mut forked = change("b", vec![practice("north", "North")]);
    forked.audit = vec![entry];
    assert!(store.commit(Position(1), &forked, Safety::Usual).await.is_err());
    let loaded = store.everything().await.unwrap();
    assert_eq!((loaded.position, loaded.documents), (Position(1), vec![]));
}

#[tokio::test]
async fn a_backup_is_taken_beside_the_writer_and_opens_as_a_store() {
    let (directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    commit(&*store, 0, &change("a", vec![practice("north", "North")])).await;
    let other = directory.path().join("restored");
    fs::create_dir(&other).unwrap();
    let to = other.join("postern.db");
    let copied = back_up(&data, &to).unwrap();
    assert_eq!(copied.documents, 1);
    assert_eq!(copied.bytes, fs::metadata(&to).unwrap().len());
    assert_eq!(mode_of(&to), 0o600);
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1, "one file, and nothing beside it");
    commit(&*store, 1, &change("b", vec![practice("south", "South")])).await;
    let restored = open(&other, Mode::Sole).await.unwrap();
    let loaded = restored.everything().await.unwrap();
    assert_eq!(loaded.documents, [(Position(1), practice("north", "North"))]);
    commit(&*restored, 1, &change("c", vec![])).await;
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_half_made() {
    let (directory, data) = home();
    some_store(&data).await;
    let to = directory.path().join("backup.db");
    fs::write(&to, "precious").unwrap();
    let error = back_up(&data, &to).unwrap_err().to_string();
    assert!(error.contains("there already"), "{error}");
    assert_eq!(fs::read_to_string(&to).unwrap(), "precious");
    let nowhere = directory.path().join("no such directory/backup.db");
    assert!(back_up(&data, &nowhere).is_err());
    assert!(back_up(&directory.path().join("no store"), &directory.path().join("b")).is_err());
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// Not timed here: what it takes is said, and kept in docs/measurements.md. `POSTERN_BIG=1` for 100,000.
#[tokio::test]
async fn very_many_keys_are_one_change_and_are_loaded_again() {
    let many = if std::env::var_os("POSTERN_BIG").is_some() { 100_000 } else { 3_000 };
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    let import = change("import", (0..many).map(|n| Document::Key(key(n))).collect());
    let start = std::time::Instant::now();
    commit(&*store, 0, &import).await;
    let committed = start.elapsed();
    drop(store);
    let store = open(&data, Mode::Sole).await.unwrap();
    let start = std::time::Instant::now();
    let loaded = store.everything().await.unwrap();
    let size = fs::metadata(data.join("postern.db")).unwrap().len() >> 20;
    println!("{many} keys: {committed:?} to commit, {:?} to load, {size} MiB", start.elapsed());
    assert_eq!(loaded.documents.len(), many);
    assert!(matches!(store.news(Position(0), Duration::ZERO).await, Ok(News::Reload)));
}
