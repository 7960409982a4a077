//! The scripts under a clock of the test's own, on a server of its own.

use std::fmt;
use std::time::Duration;

use redis::{Arg, Cmd};

use crate::model::Timestamp;
use crate::store::limits::{Answer, Question, Settlement};
use crate::store::redis::limits::batch::{self, Batch};
use crate::store::redis::limits::{RedisLimits, call};
use crate::store::redis::tests::server::Redis;
use crate::store::redis::tests::single;

struct Server(Redis);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server(…)")
    }
}

/// The scripts with the time as their last arguments.
#[derive(Debug)]
pub(crate) struct Simulated {
    node: RedisLimits,
    take: String,
    settle: String,
    renew: String,
    server: Server,
}

/// As the macro of `script` puts it together, but under a clock of the test's own, and nothing goes meanwhile.
fn simulated(parts: &[&str]) -> String {
    let source = parts.concat();
    assert!(source.contains("redis.call('TIME')") && source.contains("+ 1000)"));
    source
        .replace("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }")
        .replace("+ 1000)", "+ 1000000)")
}

impl Simulated {
    pub(crate) async fn start() -> Self {
        let server = Redis::start_plain(&["--save", ""]);
        let node = RedisLimits::new(&single(&server)).unwrap();
        node.line.greet().await.unwrap();
        let bucket = include_str!("bucket.lua");
        let load = |source: String| server.command(&["SCRIPT", "LOAD", &source]);
        Self {
            take: load(simulated(&[bucket, include_str!("take.lua")])),
            settle: load(simulated(&[bucket, include_str!("settle.lua")])),
            renew: load(simulated(&[include_str!("renew.lua")])),
            node,
            server: Server(server),
        }
    }

    pub(crate) fn ask_redis(&self, words: &[&str]) -> String {
        self.server.0.command(words)
    }

    fn at(command: &Cmd, hash: &str, now: u64) -> Cmd {
        let mut moved = Cmd::new();
        for (place, arg) in command.args_iter().enumerate() {
            match arg {
                Arg::Simple(_) if place == 1 => moved.arg(hash),
                Arg::Simple(bytes) => moved.arg(bytes),
                _ => panic!("a cursor"),
            };
        }
        moved.arg(now / 1_000_000).arg(now % 1_000_000);
        moved
    }

    pub(crate) async fn take(&self, question: &Question, now: u64) -> Answer {
        self.take_all(std::slice::from_ref(question), now).await.remove(0)
    }

    /// In one batch.
    pub(crate) async fn take_all(&self, questions: &[Question], now: u64) -> Vec<Answer> {
        let mut batch = Batch::default();
        assert!(questions.iter().all(|question| batch.take(question)));
        let command = Self::at(&batch.command().unwrap(), &self.take, now);
        let told: Vec<u64> = self.node.line.ask(&command).await.unwrap();
        let answers = batch::read(&told, &batch.shape()).unwrap();
        let now = Timestamp::from_micros(now.try_into().unwrap());
        assert!(answers.iter().all(|answer| answer.now == now));
        answers
    }

    pub(crate) async fn settle(&self, settlements: &[Settlement], now: u64) {
        let command = Self::at(&call::settle(settlements), &self.settle, now);
        self.node.line.ask::<()>(&command).await.unwrap();
    }

    pub(crate) async fn renew(&self, requests: &[&str], lease: Duration, now: u64) {
        let named = |request: &&str| ("a".to_owned(), (*request).to_owned());
        let running: Vec<_> = requests.iter().map(named).collect();
        let command = Self::at(&call::renew(&running, lease), &self.renew, now);
        self.node.line.ask::<()>(&command).await.unwrap();
    }
}
