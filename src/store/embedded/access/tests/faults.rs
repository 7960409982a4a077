//! Damage, full disks and files of others are answers, and never half a batch.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::model::LaneId;
use crate::store::access::{Step, Taken, Whose};
use crate::store::conformance::access::samples::{at, batch, parts, records};
use crate::store::conformance::access::{all_of, everybody, expire, newest_first, read, ship};
use crate::store::embedded::access::tables::HISTORY;
use crate::store::embedded::access::tests::{home, mode_of};
use crate::store::embedded::access::tidying::SETTLING;
use crate::store::embedded::access::{open, taking};
use crate::store::embedded::{Home, opening};
use crate::store::{Mode, StoreError};

/// Beside the store that serves: what a fault would do to its file.
fn beside(data: &Path) -> Connection {
    let home = Home(data.to_owned());
    opening::to_write(&home, &home.history(), HISTORY).unwrap()
}

#[tokio::test]
async fn a_directory_of_an_earlier_version_gets_its_history_when_it_is_served() {
    let (_directory, data) = home();
    fs::create_dir(&data).unwrap();
    let reader = open(&data, Mode::Reader).await.unwrap();
    assert!(read(&*reader, everybody()).await.is_empty());
    assert_eq!(reader.lanes(&[LaneId(1)]).await.unwrap(), [0]);
    assert_eq!(reader.totals(&[Whose::Everybody], at(0), at(1)).await.unwrap().len(), 1);
    assert!(!data.join("access.db").exists(), "a reader makes nothing");
    let store = open(&data, Mode::Sole).await.unwrap();
    ship(&*store, 1, 0, &parts(1..=3)).await;
    for name in ["access.db", "access.db-wal", "access.db-shm"] {
        assert_eq!(mode_of(&data.join(name)), 0o600, "{name}");
    }
    let reader = open(&data, Mode::Reader).await.unwrap();
    assert_eq!(read(&*reader, everybody()).await.len(), 3);
    let incremental = 2;
    let mode = beside(&data).pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0));
    assert_eq!(mode.unwrap(), incremental, "settled when the file is made");
}

#[tokio::test]
async fn a_reader_of_nowhere_is_refused() {
    let (_directory, data) = home();
    let error = open(&data, Mode::Reader).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let (_directory, data) = home();
    drop(open(&data, Mode::Sole).await.unwrap());
    let reader = open(&data, Mode::Reader).await.unwrap();
    assert!(reader.take(batch(1, 0, &parts(1..=2))).await.is_err());
    assert!(reader.expire(at(1_000), at(1_000)).await.is_err());
}

#[tokio::test]
async fn what_was_taken_is_there_after_a_restart_and_after_a_kill() {
    let (directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    for after in 0..12 {
        ship(&*store, 1, after * 5, &parts(after * 5 + 1..=after * 5 + 5)).await;
        store.expire(at(-1_000), at(-1_000)).await.unwrap();
    }
    let all = newest_first(records(1, 0, &parts(1..=60)));
    // What SIGKILL leaves: the file and its log as they are.
    let left = directory.path().join("left");
    fs::create_dir(&left).unwrap();
    for name in ["access.db", "access.db-wal"] {
        fs::copy(data.join(name), left.join(name)).unwrap();
    }
    drop(store);
    for data in [data, left] {
        let store = open(&data, Mode::Sole).await.unwrap();
        assert_eq!(read(&*store, everybody()).await, all);
        assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [60]);
        ship(&*store, 1, 55, &parts(56..=61)).await;
        assert_eq!(read(&*store, everybody()).await.len(), 61);
    }
}

#[tokio::test]
async fn a_full_disk_takes_nothing_of_a_batch_and_all_of_it_later() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    ship(&*store, 1, 0, &parts(1..=10)).await;
    let mut full = beside(&data);
    full.pragma_update_and_check(None, "max_page_count", 1, |_pages| Ok(())).unwrap();
    let big = parts(11..=2_000);
    let error = taking::take(&mut full, &batch(1, 10, &big)).unwrap_err().told(&data);
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("no space"), "{error}");
    drop(full);
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [10]);
    assert_eq!(read(&*store, everybody()).await.len(), 10);
    let total = store.totals(&[Whose::Everybody], at(-24), at(2_000)).await.unwrap();
    assert_eq!(total[0].requests, 10);
    ship(&*store, 1, 10, &big).await;
    assert_eq!(read(&*store, everybody()).await, newest_first(records(1, 0, &parts(1..=2_000))));
}

/// Each part of a block, cut, flipped, or put in the place of another.
#[tokio::test]
async fn a_damaged_block_is_named() {
    for damage in [
        "x'00'",
        "zeroblob(40)",
        "substr(PART, 2)",
        "substr(PART, 1, length(PART) - 1)",
        "CAST(PART || x'00' AS BLOB)",
        "rest",
    ] {
        for part in ["places", "facts", "rest"] {
            if damage == part {
                continue;
            }
            let (_directory, data) = home();
            let store = open(&data, Mode::Sole).await.unwrap();
            ship(&*store, 1, 0, &parts(1..=60)).await;
            let other = beside(&data);
            let id: i64 = other
                .query_row("SELECT id FROM blocks ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
                .unwrap();
            let sql = format!(
                "UPDATE blocks SET {part} = {} WHERE id = ?1",
                damage.replace("PART", part)
            );
            assert_eq!(other.execute(&sql, [id]).unwrap(), 1);
            let error = store.page(&everybody()).await.unwrap_err();
            assert!(matches!(error, StoreError::Corrupt(_)), "{damage}: {error:?}");
            let told = error.to_string();
            assert!(told.contains("access.db") && told.contains(&id.to_string()), "{told}");
            // The others can be read, and written to.
            let key: String = other
                .query_row("SELECT name FROM names WHERE id = (SELECT key FROM blocks WHERE id <> ?1 AND key <> (SELECT key FROM blocks WHERE id = ?1) LIMIT 1)", [id], |row| row.get(0))
                .unwrap();
            assert!(!read(&*store, all_of(Whose::Key(key.into()))).await.is_empty());
            ship(&*store, 1, 60, &parts(61..=70)).await;
        }
    }
}

#[tokio::test]
async fn a_damaged_sum_is_named_and_takes_no_batch() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    ship(&*store, 1, 0, &parts(1..=4)).await;
    assert!(beside(&data).execute("UPDATE sums SET tally = x'0105'", []).unwrap() > 0);
    let error = store.usage(&Whose::Everybody, at(0), at(48), Step::Day).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    let error = store.take(batch(1, 4, &parts(5..=6))).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [4]);
    assert_eq!(read(&*store, everybody()).await.len(), 4);
}

#[tokio::test]
async fn a_later_or_another_file_is_refused_and_left_alone() {
    for sql in ["PRAGMA user_version = 99", "PRAGMA application_id = 7"] {
        let (_directory, data) = home();
        drop(open(&data, Mode::Sole).await.unwrap());
        beside(&data).execute_batch(sql).unwrap();
        let before = fs::read(data.join("access.db")).unwrap();
        for mode in [Mode::Sole, Mode::Reader] {
            let error = open(&data, mode).await.map(|_| ()).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt(_)), "{sql}: {error:?}");
        }
        assert_eq!(fs::read(data.join("access.db")).unwrap(), before);
    }
    let (_directory, data) = home();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("access.db"), "not a database at all, but a letter").unwrap();
    let error = open(&data, Mode::Sole).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
}

#[tokio::test]
async fn a_file_open_to_others_is_a_concern() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    assert_eq!(store.concerns().await.unwrap(), Vec::<String>::new());
    fs::set_permissions(data.join("access.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let concerns = store.concerns().await.unwrap();
    assert!(concerns.len() == 1 && concerns[0].contains("access.db"), "{concerns:?}");
}

/// Many small batches of a day that is over end in one block for each key.
#[tokio::test]
async fn days_that_are_over_are_settled() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    let day = parts(1..=38);
    for (after, part) in (0..).zip(&day) {
        ship(&*store, 1, after, std::slice::from_ref(part)).await;
    }
    ship(&*store, 1, 38, &parts(60..=60)).await;
    for _ in 0..SETTLING {
        expire(&*store, at(-1_000), at(-1_000)).await;
    }
    let other = beside(&data);
    let count = |sql: &str| other.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM blocks WHERE tier < 3"), 1, "today's");
    assert_eq!(count("SELECT count(*) FROM blocks WHERE tier = 3"), 6, "one of each key");
    let expected = records(1, 0, &day).into_iter().chain(records(1, 38, &parts(60..=60)));
    assert_eq!(read(&*store, everybody()).await, newest_first(expected));
}

/// What a batch has of a busy key is settled at once where it is enough, and is not written again.
#[tokio::test]
async fn many_records_of_a_key_are_settled_as_they_come() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    let mut busy = parts(1..=2_500);
    for (micros, (opening, _)) in (0..).zip(&mut busy) {
        (opening.practice, opening.key) = ("north".into(), "busy".into());
        opening.ts = at(0).after(Duration::from_micros(micros / 3));
    }
    ship(&*store, 1, 0, &busy).await;
    let other = beside(&data);
    let count = |sql: &str| other.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    for _ in 0..2 {
        assert_eq!(count("SELECT count FROM blocks WHERE tier = 3"), 2_048);
        assert_eq!(count("SELECT sum(count) FROM blocks WHERE tier < 3"), 452);
        assert_eq!(read(&*store, everybody()).await, newest_first(records(1, 0, &busy)));
        expire(&*store, at(-1_000), at(-1_000)).await;
    }
}

/// What an hour after the other makes old is deleted by and by, and never told.
#[tokio::test]
async fn the_day_at_the_edge_is_trimmed() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    ship(&*store, 1, 0, &parts(1..=38)).await;
    let all = newest_first(records(1, 0, &parts(1..=38)));
    let mut gone = 0;
    for minutes in (0..20 * 60).step_by(11) {
        let until = at(0).after(Duration::from_secs(minutes * 60));
        gone += store.expire(until, at(-1_000)).await.unwrap().records;
        let mut left = all.clone();
        left.retain(|record| record.opening.ts >= until);
        assert_eq!(read(&*store, everybody()).await, left, "before {until}");
    }
    let kept: i64 =
        beside(&data).query_row("SELECT sum(count) FROM blocks", [], |row| row.get(0)).unwrap();
    assert_eq!(gone + kept.unsigned_abs(), 38);
    let told = read(&*store, everybody()).await.len() as u64;
    // Not more than what an hour brings is old and still there.
    assert!(told > 3 && kept.unsigned_abs() <= told + 2, "{kept} are kept, {told} told");
}

#[tokio::test]
async fn a_batch_of_one_key_beyond_a_block_is_several() {
    let (_directory, data) = home();
    let store = open(&data, Mode::Sole).await.unwrap();
    let mut many = parts(1..=5_000);
    for (number, (opening, _)) in (0_i64..).zip(&mut many) {
        (opening.key, opening.practice) = ("k".into(), "p".into());
        opening.ts = crate::model::Timestamp::from_micros(at(1).as_micros() + number % 97);
    }
    assert_eq!(store.take(batch(1, 0, &many)).await.unwrap(), Taken::All);
    expire(&*store, at(-1_000), at(-1_000)).await;
    let wanted = newest_first(records(1, 0, &many));
    assert_eq!(read(&*store, all_of(Whose::Key("k".into()))).await, wanted);
}
