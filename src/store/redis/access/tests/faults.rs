//! Connections that break, and a Redis that refuses: a batch is taken once or not at all, and told why.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::config::RedisAddress;
use crate::model::{LaneId, PlainKey};
use crate::store::access::{AccessStore, Taken, Whose};
use crate::store::conformance::access::samples::{at, batch, parts, records};
use crate::store::conformance::access::{everybody, newest_first, read, ship};
use crate::store::redis::access::RedisHistory;
use crate::store::redis::access::tests::{ends, eventually, open};
use crate::store::redis::tests::server::Redis;
use crate::store::redis::tests::single;
use crate::store::{Mode, StoreError};

const STREAM: &str = "postern:access";

async fn is_whole(store: &dyn AccessStore, last: u64) {
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [last]);
    assert_eq!(read(store, everybody()).await, newest_first(records(1, 0, &parts(1..=last))));
    let total = store.totals(&[Whose::Everybody], at(-24), at(100_000)).await.unwrap();
    assert_eq!(total[0].requests, last);
}

/// Between a store and its Redis. It passes everything on, but loses the next answers and their connections when told to.
struct Between {
    port: u16,
    lose: Arc<AtomicUsize>,
}

impl Between {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lose = Arc::new(AtomicUsize::new(0));
        let losing = Arc::clone(&lose);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
                tokio::spawn(Self::pass(near, far, Arc::clone(&losing)));
            }
        });
        Self { port, lose }
    }

    async fn pass(near: TcpStream, far: TcpStream, lose: Arc<AtomicUsize>) {
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
            (near.into_split(), far.into_split());
        let questions = async { tokio::io::copy(&mut from_near, &mut to_far).await.map(drop) };
        let answers = async {
            let mut bytes = vec![0; 64 * 1024];
            loop {
                let length = from_far.read(&mut bytes).await?;
                let is_lost = lose
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok();
                if length == 0 || is_lost {
                    return Ok(());
                }
                to_near.write_all(&bytes[..length]).await?;
            }
        };
        // Whichever end is gone, the other one goes with it.
        let done: std::io::Result<()> =
            tokio::select! { done = questions => done, done = answers => done };
        drop(done);
    }
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_taken_once() {
    let server = Redis::start(&[]);
    let between = Between::start(server.port).await;
    let address =
        RedisAddress { servers: vec![("127.0.0.1".to_owned(), between.port)], ..single(&server) };
    let store = open(&address, Mode::Sole).await;
    let mut last = 0;
    // One is repeated within the call; more end it with an error, and the caller repeats it.
    for lost in [1, 1, 2, 3, 1, 2] {
        // Of several pieces, so that some were taken when the connection broke.
        let given = parts(last + 1..=last + 1_000);
        ship(&*store, 1, last, &given[..10]).await;
        between.lose.store(lost, Ordering::SeqCst);
        eventually("it is taken", async || {
            let taken = store.take(batch(1, last, &given)).await?;
            assert_eq!(taken, Taken::All);
            Ok(())
        })
        .await;
        last += 1_000;
    }
    assert_eq!(between.lose.load(Ordering::SeqCst), 0, "nothing was lost");
    is_whole(&*store, last).await;
    assert_eq!(server.command(&["XLEN", STREAM]), last.to_string());
}

#[tokio::test]
async fn a_batch_is_taken_once_by_a_redis_that_hangs_dies_and_comes_back() {
    let mut server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    ship(&*store, 1, 0, &parts(1..=100)).await;
    server.stop();
    let hung = ends("take", store.take(batch(1, 100, &parts(101..=700)))).await.unwrap_err();
    assert!(matches!(hung, StoreError::Unknown(_)), "{hung:?}");
    let hung = ends("page", store.page(&everybody())).await.unwrap_err();
    assert!(matches!(hung, StoreError::Unavailable(_)), "{hung:?}");
    ends("expire", store.expire(at(0), at(0))).await.unwrap_err();
    ends("lanes", store.lanes(&[LaneId(1)])).await.unwrap_err();
    ends("concerns", store.concerns()).await.unwrap_err();
    server.go_on();
    let again = async || store.take(batch(1, 100, &parts(101..=700))).await;
    assert_eq!(eventually("it is taken", again).await, Taken::All);
    is_whole(&*store, 700).await;
    server.kill();
    let dead = ends("take", store.take(batch(1, 700, &parts(701..=800)))).await.unwrap_err();
    assert!(dead.to_string().contains("127.0.0.1"), "{dead}");
    server.restart();
    let again = async || store.take(batch(1, 700, &parts(701..=800))).await;
    assert_eq!(eventually("it is taken", again).await, Taken::All);
    is_whole(&*store, 800).await;
}

#[tokio::test]
async fn connections_that_are_killed_lose_and_double_nothing() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    let killing = async {
        for _ in 0..40 {
            server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let shipping = async {
        for piece in 0..20 {
            let given = parts(piece * 300 + 1..=piece * 300 + 300);
            let taken = async || store.take(batch(1, piece * 300, &given)).await;
            assert_eq!(eventually("it is taken", taken).await, Taken::All);
        }
    };
    tokio::join!(killing, shipping);
    is_whole(&*store, 6_000).await;
}

/// Nothing of it was taken, and once the cause is gone it is taken whole.
async fn is_refused(store: &dyn AccessStore, after: u64, what: &str, expected: &str) {
    let given = parts(after + 1..=after + 200);
    let error = ends("take", store.take(batch(1, after, &given))).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains(expected), "{what}: {told}");
}

#[tokio::test]
async fn a_redis_whose_memory_is_full_is_relieved() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    ship(&*store, 1, 0, &parts(1..=100)).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let gone = store.expire(at(30), at(-1_000)).await.unwrap();
    assert!(gone.records > 40, "{gone:?}");
    let left = server.command(&["XLEN", STREAM]);
    assert_eq!(left, (100 - gone.records).to_string());
    assert_eq!(read(&*store, everybody()).await.len().to_string(), left);
}

#[tokio::test]
async fn a_redis_that_refuses_says_why_and_takes_it_later() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    ship(&*store, 1, 0, &parts(1..=100)).await;
    let is_said = async |kind: &str, error: &str| is_refused(&*store, 100, kind, error).await;

    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    is_said("out of memory", "raise maxmemory").await;
    assert_eq!(read(&*store, everybody()).await.len(), 100, "reading goes on");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);

    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    is_said("no replicas", "min-replicas-to-write").await;
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    is_whole(&*store, 100).await;

    let other = Redis::start(&[]);
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    is_said("a replica", "replica").await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    drop(other);

    server.command(&["CONFIG", "SET", "requirepass", "another"]);
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    is_said("a password", "`store`").await;
    let wrong =
        RedisAddress { password: Some(PlainKey::new("hunter2".to_owned())), ..single(&server) };
    let error = RedisHistory::open(&wrong, Mode::Sole, None).await.unwrap_err().to_string();
    assert!(error.contains("refuses the username and password") && !error.contains("hunter2"));
    let right =
        RedisAddress { password: Some(PlainKey::new("another".to_owned())), ..single(&server) };
    let store = open(&right, Mode::Sole).await;

    let again = async || store.take(batch(1, 100, &parts(101..=400))).await;
    assert_eq!(eventually("it is taken", again).await, Taken::All);
    is_whole(&*store, 400).await;
}

#[tokio::test]
async fn keys_of_another_type_are_told_and_nothing_is_half_taken() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    ship(&*store, 1, 0, &parts(1..=100)).await;
    // Of records that are not yet there: their hours and days are new, but for those that all share.
    let keys = server.command(&["KEYS", "*"]);
    let ours: Vec<_> = keys.lines().map(str::to_owned).collect();
    ship(&*store, 1, 100, &parts(101..=300)).await;
    let keys = server.command(&["KEYS", "*"]);
    let all: Vec<_> = keys.lines().filter(|key| !ours.iter().any(|known| known == key)).collect();
    let next = |kind: &str| {
        all.iter()
            .find(|key| key.contains(kind))
            .copied()
            .unwrap_or_else(|| panic!("{kind}: {keys}"))
    };
    let names = [
        STREAM,
        "{postern:access}:lanes",
        "{postern:access}:counted",
        next(":at:"),
        next(":sum:"),
        next(":refused:"),
        "{postern:access}:hours:e",
    ];
    for name in names {
        server.command(&["FLUSHALL"]);
        ship(&*store, 1, 0, &parts(1..=100)).await;
        server.command(&["DEL", "moved"]);
        server.command(&["RENAME", name, "moved"]);
        server.command(&["SADD", name, "odd"]);
        let lane = server.command(&["HGET", "{postern:access}:lanes", "0000000000000001"]);
        is_refused(&*store, 100, name, "another type").await;
        assert_eq!(server.command(&["HGET", "{postern:access}:lanes", "0000000000000001"]), lane);
        server.command(&["DEL", name]);
        server.command(&["RENAME", "moved", name]);
        assert_eq!(server.command(&["XLEN", STREAM]), "100", "{name}");
        ship(&*store, 1, 100, &parts(101..=400)).await;
        is_whole(&*store, 400).await;
    }
}

#[tokio::test]
async fn a_user_who_may_not_do_all_of_it_does_nothing_of_it() {
    let server = Redis::start(&[]);
    server.command(&["ACL", "SETUSER", "postern", "on", ">sesame", "~*", "+@all"]);
    let address = RedisAddress {
        username: Some("postern".to_owned()),
        password: Some(PlainKey::new("sesame".to_owned())),
        ..single(&server)
    };
    let store = open(&address, Mode::Sole).await;
    let mut last = 0;
    for command in ["xadd", "append", "hset", "hincrby", "sadd", "hget", "strlen", "xinfo"] {
        server.command(&["ACL", "SETUSER", "postern", &format!("-{command}")]);
        is_refused(&*store, last, command, "extend the ACL").await;
        assert_eq!(server.command(&["XLEN", STREAM]), last.to_string(), "{command}");
        server.command(&["ACL", "SETUSER", "postern", "+@all"]);
        ship(&*store, 1, last, &parts(last + 1..=last + 200)).await;
        last += 200;
        is_whole(&*store, last).await;
    }
    server.command(&["ACL", "SETUSER", "postern", "resetkeys", "~postern:access"]);
    is_refused(&*store, last, "keys", "extend the ACL").await;
    assert_eq!(server.command(&["XLEN", STREAM]), last.to_string());
    let _ = server.command(&["ACL", "SETUSER", "postern", "~{postern:access}:*"]);
    ship(&*store, 1, last, &parts(last + 1..=last + 300)).await;
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let server = Redis::start(&[]);
    let reader = open(&single(&server), Mode::Reader).await;
    reader.take(batch(1, 0, &parts(1..=2))).await.unwrap_err();
    reader.expire(at(0), at(0)).await.unwrap_err();
    reader.forget(&[LaneId(1)]).await.unwrap_err();
    reader.skip(LaneId(1), 3).await.unwrap_err();
    assert_eq!(server.command(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn what_endangers_records_is_told() {
    let server = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"]);
    let store = open(&single(&server), Mode::Sole).await;
    assert_eq!(store.concerns().await.unwrap(), [""; 0]);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let told = store.concerns().await.unwrap();
    assert!(told.len() == 1 && told[0].contains("WILL be lost"), "{told:?}");
    assert!(told[0].contains(&server.address()), "{told:?}");
}
