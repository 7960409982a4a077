//! The connection to whoever counts.
//!
//! A question is on the way of every request, so this is no `store::redis::Line`: a question is written at once on a connection
//! that is there already, behind others and before their answers came. It is asked once, and fails where there is no
//! connection. Only [`Line::greet`] makes one.
//!
//! Who asks may give up at any time. Redis answers in order, and so does the client pair: `aio/multiplexed_connection.rs` of
//! redis 1.8 keeps a place in its queue for each question that was written, whether or not somebody still waits for it, and
//! takes one off for each answer; one that nobody waits for before it was written is not written at all. So a late answer
//! is thrown away and never taken for another one's. But a connection that was silent for long is as good as dead, and holds
//! what it was told for Redis to find later: it is given up.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use tokio::time::timeout;

use crate::config::RedisAddress;
use crate::store::Mode;
use crate::store::redis::door::{self, Door};
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::names;

/// Whose question is dropped after longer than this gave up waiting; before, the caller went. Limits wait for a tenth of a
/// second, of which a little has passed before the question is written.
pub(super) const SILENT: Duration = Duration::from_millis(95);

/// The connection, and whoever makes one.
#[derive(Debug)]
pub(super) struct Line {
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

/// Gives a connection up, unless the question on it ended well.
struct Stake<'l> {
    line: &'l Line,
    number: u64,
    asked_at: Instant,
    /// None: nobody waited for the answer.
    is_lost: Option<bool>,
}

impl Drop for Stake<'_> {
    fn drop(&mut self) {
        if self.is_lost.unwrap_or_else(|| self.asked_at.elapsed() > SILENT) {
            self.line.give_up(self.number);
        }
    }
}

impl Line {
    pub(super) fn new(address: &RedisAddress) -> Result<Self, Trouble> {
        let door = Door::new(address, Mode::Sole, None)?.that_leads_to(names::LIMITS_PROBE);
        Ok(Self { door, held: Mutex::default(), making: tokio::sync::Mutex::default() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_there(&self) -> bool {
        self.held().way.is_some()
    }

    fn give_up(&self, number: u64) {
        let mut held = self.held();
        if held.number == number {
            held.way = None;
        }
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, question: &Cmd) -> Result<T, Trouble> {
        let Some(mut way) = self.held().way.clone() else {
            return Err(Trouble::new(Kind::Unreached, "there is no connection to Redis"));
        };
        let (number, asked_at) = (way.number, Instant::now());
        let mut stake = Stake { line: self, number, asked_at, is_lost: None };
        let answer = question.query_async(&mut way.connection).await;
        let answer = answer.map_err(|error| Trouble::of(&error, &way.server));
        stake.is_lost = Some(answer.as_ref().is_err_and(Trouble::ends_the_connection));
        answer
    }

    /// For somebody who waits no longer than that himself.
    pub(super) async fn ask_in_time<T: FromRedisValue>(
        &self,
        question: &Cmd,
    ) -> Result<T, Trouble> {
        let number = self.held().number;
        timeout(SILENT, self.ask(question)).await.unwrap_or_else(|_| {
            self.give_up(number);
            Err(Trouble::new(Kind::Silent, format!("Redis: no answer within {SILENT:?}")))
        })
    }

    /// Writes something, as questions do: a Redis that only reads, or is full, is of no use.
    pub(super) async fn greet(&self) -> Result<(), Trouble> {
        let making = self.making.lock().await;
        if self.held().way.is_none() {
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
        self.ask(&probe).await
    }
}
