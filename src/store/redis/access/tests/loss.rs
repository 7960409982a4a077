//! A Redis that lost something: it is noticed, and what the journals have comes again, once.

use crate::config::RedisAddress;
use crate::model::{AccessRecord, LaneId};
use crate::store::access::{AccessStore, Step, Taken, Whose};
use crate::store::conformance::access::samples::{Part, at, batch, parts, records};
use crate::store::conformance::access::{everybody, newest_first, read, ship};
use crate::store::redis::access::tests::{eventually, open};
use crate::store::redis::tests::server::Redis;
use crate::store::redis::tests::single;
use crate::store::{Mode, StoreError};

const STREAM: &str = "postern:access";
const LANES: &str = "{postern:access}:lanes";
const COUNTED: &str = "{postern:access}:counted";

struct History {
    server: Redis,
    store: std::sync::Arc<dyn AccessStore>,
    given: Vec<Part>,
}

/// Forty records in a lane and as many in another one.
async fn history() -> History {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    let given = parts(1..=80);
    ship(&*store, 1, 0, &given[..40]).await;
    ship(&*store, 2, 0, &given[40..]).await;
    History { server, store, given }
}

async fn lanes(store: &dyn AccessStore) -> Vec<u64> {
    store.lanes(&[LaneId(1), LaneId(2)]).await.unwrap()
}

async fn requests(store: &dyn AccessStore) -> u64 {
    let spans = store.usage(&Whose::Everybody, at(-24), at(1_000), Step::Hour).await.unwrap();
    let by_hour = spans.iter().map(|span| span.tally.requests).sum();
    let days = store.totals(&[Whose::Everybody], at(-24), at(1_000)).await.unwrap();
    assert_eq!(days[0].requests, by_hour, "hours and days agree");
    by_hour
}

impl History {
    fn all(&self) -> Vec<AccessRecord<'static>> {
        let (one, other) = (records(1, 0, &self.given[..40]), records(2, 0, &self.given[40..]));
        newest_first(one.into_iter().chain(other))
    }

    /// As a shipper does: asks, and goes on from there; what the store has is not sent.
    async fn ship_all(&self) {
        for (lane, given) in [(1, &self.given[..40]), (2, &self.given[40..])] {
            let has = self.store.lanes(&[LaneId(lane)]).await.unwrap()[0];
            ship(&*self.store, lane, has, &given[usize::try_from(has).unwrap()..]).await;
        }
    }

    async fn is_whole(&self) {
        assert_eq!(lanes(&*self.store).await, [40, 40]);
        assert_eq!(read(&*self.store, everybody()).await, self.all());
        assert_eq!(self.server.command(&["XLEN", STREAM]), "80");
        assert_eq!(requests(&*self.store).await, 80);
    }
}

#[tokio::test]
async fn a_flushed_redis_gets_everything_again() {
    let history = history().await;
    history.is_whole().await;
    history.server.command(&["FLUSHALL"]);
    assert_eq!(lanes(&*history.store).await, [0, 0]);
    let beyond = batch(1, 40, &parts(41..=41));
    assert_eq!(history.store.take(beyond).await.unwrap(), Taken::Behind(0));
    assert_eq!(requests(&*history.store).await, 0);
    history.ship_all().await;
    history.is_whole().await;
}

#[tokio::test]
async fn a_stream_that_is_gone_is_written_again_and_not_counted_again() {
    let history = history().await;
    history.server.command(&["DEL", STREAM]);
    assert_eq!(lanes(&*history.store).await, [0, 0], "though the lanes are still there");
    assert_eq!(read(&*history.store, everybody()).await, []);
    assert_eq!(requests(&*history.store).await, 80, "sums are still there");
    // Somebody waits for it meanwhile, and so makes it anew.
    history.server.command(&["XGROUP", "CREATE", STREAM, "siem", "$", "MKSTREAM"]);
    assert_eq!(lanes(&*history.store).await, [0, 0]);
    let beyond = batch(2, 40, &parts(81..=81));
    assert_eq!(history.store.take(beyond).await.unwrap(), Taken::Behind(0));
    // By halves, so that it is taken and lost again in the middle.
    ship(&*history.store, 1, 0, &history.given[..25]).await;
    assert_eq!(lanes(&*history.store).await, [25, 0]);
    history.server.command(&["DEL", STREAM]);
    assert_eq!(lanes(&*history.store).await, [0, 0]);
    history.ship_all().await;
    history.is_whole().await;
    // What is new counts.
    ship(&*history.store, 1, 40, &parts(81..=85)).await;
    assert_eq!(requests(&*history.store).await, 85);
}

#[tokio::test]
async fn lanes_that_are_gone_are_known_from_what_was_counted() {
    for key in [LANES, COUNTED] {
        let history = history().await;
        history.server.command(&["DEL", key]);
        assert_eq!(lanes(&*history.store).await, [40, 40], "without {key}");
        ship(&*history.store, 1, 30, &history.given[30..40]).await;
        history.is_whole().await;
        ship(&*history.store, 2, 40, &parts(81..=85)).await;
        assert_eq!(lanes(&*history.store).await, [40, 45]);
        assert_eq!(requests(&*history.store).await, 85, "without {key}");
    }
}

/// `counted` has more than what came again.
#[tokio::test]
async fn lanes_that_are_gone_after_the_stream_was_are_what_came_again() {
    let history = history().await;
    history.server.command(&["DEL", STREAM]);
    ship(&*history.store, 1, 0, &history.given[..25]).await;
    history.server.command(&["DEL", LANES]);
    assert_eq!(lanes(&*history.store).await, [25, 0]);
    history.ship_all().await;
    history.is_whole().await;
    // Both at once, and then the lanes alone.
    history.server.command(&["DEL", STREAM, LANES]);
    ship(&*history.store, 2, 0, &history.given[40..50]).await;
    history.server.command(&["DEL", LANES]);
    assert_eq!(lanes(&*history.store).await, [0, 10]);
    history.ship_all().await;
    history.is_whole().await;
}

#[tokio::test]
async fn an_older_snapshot_is_caught_up() {
    let mut server = Redis::start_plain(&["--save", "", "--appendonly", "no"]);
    let store = open(&single(&server), Mode::Sole).await;
    let given = parts(1..=80);
    ship(&*store, 1, 0, &given[..20]).await;
    server.command(&["SAVE"]);
    ship(&*store, 1, 20, &given[20..40]).await;
    ship(&*store, 2, 0, &given[40..]).await;
    server.kill();
    server.restart();
    let known = eventually("lanes", async || store.lanes(&[LaneId(1), LaneId(2)]).await).await;
    assert_eq!(known, [20, 0]);
    let history = History { server, store, given };
    assert_eq!(requests(&*history.store).await, 20);
    history.ship_all().await;
    history.is_whole().await;
}

#[tokio::test]
async fn a_failover_to_a_replica_without_the_tail_is_caught_up() {
    let mut primary = Redis::start(&[]);
    let replica = primary.replica();
    let both = RedisAddress {
        servers: [primary.port, replica.port].map(|port| ("127.0.0.1".to_owned(), port)).into(),
        ..single(&primary)
    };
    let store = open(&both, Mode::Sole).await;
    let given = parts(1..=80);
    ship(&*store, 1, 0, &given[..20]).await;
    eventually("the replica has the beginning", async || {
        let has = replica.command(&["XLEN", STREAM]);
        if has == "20" { Ok(()) } else { Err(StoreError::Conflict) }
    })
    .await;
    // From here on it gets nothing more, and is promoted all the same.
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    ship(&*store, 1, 20, &given[20..40]).await;
    ship(&*store, 2, 0, &given[40..]).await;
    primary.kill();
    let beyond = async || store.take(batch(1, 40, &parts(81..=82))).await;
    assert_eq!(eventually("the other one answers", beyond).await, Taken::Behind(20));
    let history = History { server: replica, store, given };
    assert_eq!(requests(&*history.store).await, 20);
    history.ship_all().await;
    history.is_whole().await;
}

#[tokio::test]
async fn what_is_lost_for_good_is_passed_over() {
    let history = history().await;
    history.server.command(&["FLUSHALL"]);
    let store = &history.store;
    store.skip(LaneId(1), 30).await.unwrap();
    assert_eq!(lanes(&**store).await, [30, 0]);
    store.skip(LaneId(1), 7).await.unwrap();
    assert_eq!(lanes(&**store).await, [30, 0], "never back");
    ship(&**store, 1, 30, &history.given[30..40]).await;
    assert_eq!(
        read(&**store, everybody()).await,
        newest_first(records(1, 30, &history.given[30..40]))
    );
    assert_eq!(requests(&**store).await, 10);
    // The same where the stream alone is gone.
    history.server.command(&["DEL", STREAM]);
    store.skip(LaneId(1), 35).await.unwrap();
    assert_eq!(lanes(&**store).await, [35, 0]);
    ship(&**store, 1, 35, &history.given[35..40]).await;
    assert_eq!(requests(&**store).await, 10, "these were counted");
    store.skip(LaneId(1), u64::MAX - 1).await.unwrap();
    store.skip(LaneId(1), 9_999).await.unwrap();
    assert_eq!(lanes(&**store).await, [u64::MAX - 1, 0]);
}
