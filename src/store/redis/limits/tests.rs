//! Limits in real servers: the same arithmetic as on a node, and what becomes of a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::conformance::Subject;
use crate::store::limits::{Answer, Day, Question, Rate, Running, Settlement, SharedLimits, Used};
use crate::store::redis::limits::RedisLimits;
use crate::store::redis::tests::server::Redis;
use crate::store::redis::tests::{Clustered, Sentinels, single};

mod batches;
mod scripts;

/// Far above any deadline of the store's, on a machine that is busy.
const HANG: Duration = Duration::from_secs(60);
const HOUR: u64 = 3_600_000_000_000;

fn limits(server: &Redis) -> Arc<RedisLimits> {
    Arc::new(RedisLimits::new(&single(server)).unwrap())
}

fn hourly(name: &str, burst: u32) -> Rate {
    Rate { name: name.to_owned(), interval: HOUR, burst, cost: 1, debt: 0 }
}

fn rates(rates: Vec<Rate>) -> Question {
    Question { rates, ..Question::default() }
}

fn unavailable(outcome: &Result<Answer, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
}

async fn greeted(limits: &RedisLimits) {
    let found = timeout(HANG, async {
        while limits.greet().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.expect("the store is found");
}

#[tokio::test]
async fn three_nodes_at_once_take_what_there_is_and_not_one_more() {
    const BURST: u32 = 100;
    let server = Redis::start(&[]);
    let mut asked = Vec::new();
    for _ in 0..3 {
        let node = limits(&server);
        greeted(&node).await;
        for _ in 0..BURST {
            let node = Arc::clone(&node);
            asked.push(tokio::spawn(async move {
                let question = rates(vec![hourly("key:a", BURST), hourly("vendor:v", BURST * 9)]);
                node.decide(&question).await.unwrap().is_admitted
            }));
        }
    }
    let mut admitted = 0;
    for asked in asked {
        admitted += u32::from(asked.await.unwrap());
    }
    assert_eq!(admitted, BURST);
    // What was refused by the one took nothing from the other.
    let look = Question { only_look: true, ..rates(vec![hourly("vendor:v", BURST * 9)]) };
    let owed = limits(&server);
    greeted(&owed).await;
    let debt = owed.decide(&look).await.unwrap().debts[0];
    assert_eq!(debt.div_ceil(HOUR), u64::from(BURST));
}

#[tokio::test]
async fn a_redis_that_forgot_its_scripts_or_was_away_is_greeted_and_counts_again() {
    let mut server = Redis::start(&[]);
    let node = limits(&server);
    let question = rates(vec![hourly("key:a", 10)]);
    unavailable(&node.decide(&question).await);
    greeted(&node).await;
    assert!(node.decide(&question).await.unwrap().is_admitted);
    assert_eq!(server.command(&["SCRIPT", "FLUSH"]), "OK");
    unavailable(&node.decide(&question).await);
    assert!(!node.line.is_there(), "a connection without scripts is kept");
    greeted(&node).await;
    assert!(node.decide(&question).await.unwrap().is_admitted);
    server.end();
    unavailable(&node.decide(&question).await);
    unavailable(&node.decide(&question).await);
    assert!(node.greet().await.is_err());
    server.restart();
    greeted(&node).await;
    let debt = node.decide(&question).await.unwrap().debts[0];
    assert_eq!(debt.div_ceil(HOUR), 3, "two before, and one now");
}

#[tokio::test]
async fn a_silent_connection_is_given_up_and_a_late_answer_is_nobodys() {
    let server = Redis::start(&[]);
    let node = limits(&server);
    greeted(&node).await;
    let question = |name: &str, cost| rates(vec![Rate { cost, ..hourly(name, 100) }]);
    // Somebody hangs up at once: others go on, and get their own answers.
    for round in 1..50_u32 {
        let (gone, own) = (question("key:gone", 1), question("key:own", 2));
        tokio::select! {
            biased;
            _ = node.decide(&gone) => {}
            () = tokio::task::yield_now() => {}
        }
        let debt = node.decide(&own).await.unwrap().debts[0];
        assert_eq!(debt.div_ceil(HOUR), u64::from(2 * round));
    }
    assert!(node.line.is_there(), "given up, though only a caller went");
    server.stop();
    let late = question("key:late", 7);
    unavailable(&timeout(HANG, node.decide(&late)).await.unwrap());
    assert!(!node.line.is_there(), "a silent connection is kept");
    unavailable(&node.decide(&late).await);
    server.go_on();
    greeted(&node).await;
    let debt = node.decide(&question("key:other", 1)).await.unwrap().debts[0];
    assert_eq!(debt.div_ceil(HOUR), 1);
}

#[tokio::test]
async fn a_redis_that_takes_nothing_in_is_not_greeted() {
    let server = Redis::start(&["--maxmemory-policy", "noeviction"]);
    let node = limits(&server);
    greeted(&node).await;
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    unavailable(&node.decide(&rates(vec![hourly("key:a", 1)])).await);
    assert!(node.greet().await.is_err());
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    greeted(&node).await;
    assert!(node.decide(&rates(vec![hourly("key:a", 1)])).await.unwrap().is_admitted);
}

#[tokio::test]
async fn what_is_kept_goes_by_itself_a_little_after_it_says_nothing_any_more() {
    let server = Redis::start(&[]);
    let node = limits(&server);
    greeted(&node).await;
    let question = Question {
        rates: vec![Rate { interval: 60_000_000_000, ..hourly("key:a", 5) }],
        day: Some(day(Some(9), None)),
        running: Some(running("one", 3)),
        ..Question::default()
    };
    assert!(node.decide(&question).await.unwrap().is_admitted);
    let left = |name: &str| -> u64 {
        server.command(&["PTTL", &format!("{{postern:limits}}:{name}")]).parse().unwrap()
    };
    let rate = left("key:a");
    assert!((30_000..=61_000).contains(&rate), "{rate}");
    assert!((3_600_000 - 30_000..=90_000_000).contains(&left("day:a")), "{}", left("day:a"));
    assert!((10_000..=16_000).contains(&left("running:a")), "{}", left("running:a"));
    let count = server.command(&["DBSIZE"]);
    assert_eq!(count, "4", "with the probe");
}

fn day(requests: Option<u64>, bytes: Option<u64>) -> Day {
    Day { name: "a".to_owned(), requests, bytes, believed: Used::default() }
}

fn running(request: &str, most: u32) -> Running {
    let (name, request) = ("a".to_owned(), request.to_owned());
    Running { name, most, own: 0, request, lease: Duration::from_secs(15) }
}

#[tokio::test]
async fn a_cluster_counts_all_limits_of_a_request_together() {
    let cluster = Clustered::start().await;
    let (one, other) = (RedisLimits::new(&cluster.address()), RedisLimits::new(&cluster.address()));
    let (one, other) = (one.unwrap(), other.unwrap());
    greeted(&one).await;
    greeted(&other).await;
    let question = Question {
        rates: vec![hourly("key:a", 3), hourly("category:a:files", 2), hourly("practice:p", 9)],
        day: Some(day(Some(9), Some(9))),
        running: Some(running("one", 9)),
        ..Question::default()
    };
    assert!(one.decide(&question).await.unwrap().is_admitted);
    assert!(other.decide(&question).await.unwrap().is_admitted);
    assert!(!one.decide(&question).await.unwrap().is_admitted);
    let over = Settlement {
        returned: question.rates.clone(),
        day: Some(("a".to_owned(), Used::default())),
        ended: Some(("a".to_owned(), "one".to_owned())),
    };
    other.settle(&[over]).await.unwrap();
    one.renew(&[("a".to_owned(), "one".to_owned())], HANG).await.unwrap();
    assert!(one.decide(&question).await.unwrap().is_admitted);
}

#[tokio::test]
async fn sentinels_lead_to_the_primary() {
    let sentinels = Sentinels::start().await;
    let node = RedisLimits::new(&sentinels.address()).unwrap();
    greeted(&node).await;
    assert!(node.decide(&rates(vec![hourly("key:a", 1)])).await.unwrap().is_admitted);
    let answer = node.decide(&rates(vec![hourly("key:a", 1)])).await.unwrap();
    assert!(!answer.is_admitted && answer.now > Timestamp::from_micros(0));
}
