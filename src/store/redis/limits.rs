//! Limits that nodes count together, in Redis: what lies there is told in `names`, and how it is counted in the scripts.
//!
//! A question is on the way of every request, so this is no `Line`: a question is written at once on a connection that is
//! there already, behind those of other requests and before their answers came. It is asked once, and fails where there is
//! no connection. Only [`SharedLimits::greet`] makes one.
//!
//! Who asks may give up at any time. Redis answers in order, and so does the client pair: `aio/multiplexed_connection.rs` of
//! redis 1.8 keeps a place in its queue for each question that was written, whether or not somebody still waits for it, and
//! takes one off for each answer; one that nobody waits for before it was written is not written at all. So a late answer
//! is thrown away and never taken for another one's, and a caller who hangs up costs the others nothing. But a connection
//! that was silent for long is as good as dead, and holds what it was told for Redis to find later: it is given up.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};

use crate::config::RedisAddress;
use crate::store::limits::{Answer, Question, Settlement, SharedLimits};
use crate::store::redis::door::{self, Door};
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::names;
use crate::store::{Mode, StoreError, Task};

mod call;

/// Whose question is dropped after longer than this gave up waiting; before, the caller went. Limits wait for a tenth of a
/// second, of which a little has passed before the question is written.
const SILENT: Duration = Duration::from_millis(95);
/// In one call: some milliseconds of Redis's time at most.
const AT_ONCE: usize = 200;

#[derive(Debug)]
struct RedisLimits {
    door: Door,
    held: Mutex<Held>,
    /// One connection is made at a time: whoever waited for it has it, too.
    making: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    way: Option<Way>,
    /// How many there were.
    number: u64,
}

/// A connection to the primary, with the scripts loaded.
#[derive(Clone)]
struct Way {
    connection: MultiplexedConnection,
    server: Arc<str>,
    number: u64,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Way({} to {})", self.number, self.server)
    }
}

pub(in crate::store) fn open(address: &RedisAddress) -> Result<Arc<dyn SharedLimits>, StoreError> {
    Ok(Arc::new(RedisLimits::new(address)?))
}

/// Gives a connection up, unless the question on it ended well.
struct Stake<'l> {
    limits: &'l RedisLimits,
    number: u64,
    asked_at: Instant,
    /// None: nobody waited for the answer.
    is_lost: Option<bool>,
}

impl Drop for Stake<'_> {
    fn drop(&mut self) {
        if self.is_lost.unwrap_or_else(|| self.asked_at.elapsed() > SILENT) {
            self.limits.give_up(self.number);
        }
    }
}

impl RedisLimits {
    fn new(address: &RedisAddress) -> Result<Self, Trouble> {
        let door = Door::new(address, Mode::Sole, None)?.that_leads_to(names::LIMITS_PROBE);
        Ok(Self { door, held: Mutex::default(), making: tokio::sync::Mutex::default() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self, number: u64) {
        let mut held = self.held();
        if held.number == number {
            held.way = None;
        }
    }

    async fn ask<T: FromRedisValue>(&self, question: &Cmd) -> Result<T, Trouble> {
        let Some(mut way) = self.held().way.clone() else {
            return Err(Trouble::new(Kind::Unreached, "there is no connection to Redis"));
        };
        let (number, asked_at) = (way.number, Instant::now());
        let mut stake = Stake { limits: self, number, asked_at, is_lost: None };
        let answer = question.query_async(&mut way.connection).await;
        let answer = answer.map_err(|error| Trouble::of(&error, &way.server));
        stake.is_lost = Some(answer.as_ref().is_err_and(Trouble::ends_the_connection));
        answer
    }

    async fn decide_once(&self, question: &Question) -> Result<Answer, StoreError> {
        let told: Vec<u64> = self.ask(&call::take(question)).await?;
        call::read(&told, question.rates.len()).ok_or_else(|| {
            StoreError::Corrupt("Redis: limits were told in another form".to_owned())
        })
    }

    async fn settle_once(&self, settlements: &[Settlement]) -> Result<(), StoreError> {
        for piece in settlements.chunks(AT_ONCE) {
            self.ask::<()>(&call::settle(piece)).await?;
        }
        Ok(())
    }

    async fn renew_once(
        &self,
        running: &[(String, String)],
        lease: Duration,
    ) -> Result<(), StoreError> {
        for piece in running.chunks(AT_ONCE) {
            self.ask::<()>(&call::renew(piece, lease)).await?;
        }
        Ok(())
    }

    /// Writes something, as questions do: a Redis that only reads, or is full, is of no use.
    async fn greet_once(&self) -> Result<(), StoreError> {
        let making = self.making.lock().await;
        let is_there = self.held().way.is_some();
        if !is_there {
            let connected = self.door.connect().await?;
            let server = door::name(&connected.server).into();
            let mut held = self.held();
            held.number += 1;
            let number = held.number;
            held.way = Some(Way { connection: connected.connection, server, number });
        }
        drop(making);
        let mut probe = redis::cmd("SET");
        probe.arg(names::LIMITS_PROBE).arg(1).arg("EX").arg(60);
        Ok(self.ask::<()>(&probe).await?)
    }
}

impl SharedLimits for RedisLimits {
    fn decide<'a>(&'a self, question: &'a Question) -> Task<'a, Answer> {
        Box::pin(self.decide_once(question))
    }

    fn settle<'a>(&'a self, settlements: &'a [Settlement]) -> Task<'a, ()> {
        Box::pin(self.settle_once(settlements))
    }

    fn renew<'a>(&'a self, running: &'a [(String, String)], lease: Duration) -> Task<'a, ()> {
        Box::pin(self.renew_once(running, lease))
    }

    fn greet(&self) -> Task<'_, ()> {
        Box::pin(self.greet_once())
    }
}

#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
