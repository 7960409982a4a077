//! A line to the primary: a connection that is made when it is needed and made again when it broke.
//!
//! Whatever is asked on it has a deadline. A connection on which an answer did not come is given up, for an answer that
//! comes later would be taken for that of another question. Attempts to connect keep a growing, uneven distance from each
//! other, so that nodes that lost Redis together do not come back together; whoever asks meanwhile waits for the attempt.

use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, Pipeline};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::store::redis::door::{self, Connected, Door};
use crate::store::redis::fault::{Kind, Trouble};

/// For one answer.
pub(super) const COMMAND: Duration = Duration::from_secs(2);
/// Between the first failed attempt to connect and the next; doubled after each.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that was quiet for longer is asked whether it lives before something is said that must not be said twice.
const FRESH: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Line {
    door: Arc<Door>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    connected: Option<Connected>,
    /// Of the connection, so that who gives one up does not give up its successor.
    number: u64,
    heard_at: Option<Instant>,
    failures: u32,
    failed: Option<(Instant, Trouble)>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What became of something that is said once.
#[derive(Debug)]
pub(super) enum Told<T> {
    Answered(T, Same),
    /// Not a byte of it was sent.
    Unsent(Trouble),
    /// It was sent: whether it was done, the trouble tells.
    Sent(Trouble),
}

/// The connection on which something was said, and no other that took its place.
#[derive(Clone)]
pub(super) struct Same {
    number: u64,
    connected: Connected,
}

impl std::fmt::Debug for Same {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Same").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self { door, held: Mutex::default() }
    }

    /// For what may be asked twice: a connection that turns out to be broken, or at the wrong end, is made again once.
    pub(super) async fn ask<T: FromRedisValue>(&self, question: &Pipeline) -> Result<T, Trouble> {
        self.ask_within(question, COMMAND).await
    }

    pub(super) async fn ask_within<T: FromRedisValue>(
        &self,
        question: &Pipeline,
        patience: Duration,
    ) -> Result<T, Trouble> {
        let (number, connected) = self.connected().await?;
        let outcome = self.exchange(question, patience, number, connected).await;
        match outcome {
            Err(trouble) if matches!(trouble.kind, Kind::Broken | Kind::Elsewhere) => {
                let (number, connected) = self.connected().await?;
                self.exchange(question, patience, number, connected).await
            }
            outcome => outcome,
        }
    }

    /// For what must not be sent twice.
    pub(super) async fn tell_once<T: FromRedisValue>(
        &self,
        question: &Pipeline,
        patience: Duration,
    ) -> Told<T> {
        if let Err(trouble) = self.freshen().await {
            return Told::Unsent(trouble);
        }
        let (number, connected) = match self.connected().await {
            Ok(connected) => connected,
            Err(trouble) => return Told::Unsent(trouble),
        };
        let same = Same { number, connected: connected.clone() };
        match self.exchange(question, patience, number, connected).await {
            Ok(answer) => Told::Answered(answer, same),
            Err(trouble) => Told::Sent(trouble),
        }
    }

    /// For what has a meaning on that connection alone; fails where it is gone.
    pub(super) async fn ask_same<T: FromRedisValue>(
        &self,
        same: &Same,
        question: &Pipeline,
    ) -> Result<T, Trouble> {
        self.exchange(question, COMMAND, same.number, same.connected.clone()).await
    }

    /// Who is at the other end; connects where nobody is.
    pub(super) async fn far_end(&self) -> Result<Connected, Trouble> {
        self.connected().await.map(|(_, connected)| connected)
    }

    /// The next question goes to whoever is the primary then.
    pub(super) async fn hang_up(&self) {
        self.held.lock().await.connected = None;
    }

    async fn freshen(&self) -> Result<(), Trouble> {
        let quiet = self.held.lock().await.heard_at.is_none_or(|at| at.elapsed() > FRESH);
        if quiet {
            let mut hello = redis::pipe();
            hello.cmd("PING").ignore();
            return self.ask(&hello).await;
        }
        Ok(())
    }

    async fn exchange<T: FromRedisValue>(
        &self,
        question: &Pipeline,
        patience: Duration,
        number: u64,
        mut connected: Connected,
    ) -> Result<T, Trouble> {
        let server = door::name(&connected.server);
        let answer = timeout(patience, question.query_async(&mut connected.connection)).await;
        let trouble = match answer {
            Ok(Ok(answer)) => {
                self.heard(number).await;
                return Ok(answer);
            }
            Ok(Err(error)) => Trouble::of(&error, &server),
            Err(_) => {
                let text = format!("Redis at {server}: no answer within {patience:?}");
                Trouble::new(Kind::Silent, text)
            }
        };
        if trouble.ends_the_connection() {
            self.give_up(number).await;
        }
        Err(trouble)
    }

    async fn heard(&self, number: u64) {
        let mut held = self.held.lock().await;
        if held.number == number {
            held.heard_at = Some(Instant::now());
        }
    }

    async fn give_up(&self, number: u64) {
        let mut held = self.held.lock().await;
        if held.number == number {
            held.connected = None;
        }
    }

    async fn connected(&self) -> Result<(u64, Connected), Trouble> {
        let asked_at = Instant::now();
        let mut held = self.held.lock().await;
        if let Some(connected) = &held.connected {
            return Ok((held.number, connected.clone()));
        }
        // Somebody tried while this one waited for the lock: that is the answer for both.
        if let Some((at, trouble)) = &held.failed {
            if *at >= asked_at {
                return Err(trouble.clone());
            }
            sleep_until(*at + pause(held.failures)).await;
        }
        match self.door.connect().await {
            Ok(connected) => {
                let number = held.number + 1;
                let heard_at = Some(Instant::now());
                let kept = Some(connected.clone());
                *held = Held { connected: kept, number, heard_at, ..Held::default() };
                Ok((number, connected))
            }
            Err(trouble) => {
                held.failures = held.failures.saturating_add(1);
                held.failed = Some((Instant::now(), trouble.clone()));
                Err(trouble)
            }
        }
    }
}

/// Between half and all of a span that doubles with every failure.
pub(super) fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(LONGEST_PAUSE).mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        for failures in [1, 2, 5, 40, u32::MAX] {
            let pauses: Vec<_> = (0..50).map(|_| pause(failures)).collect();
            assert!(pauses.iter().all(|pause| (FIRST_PAUSE / 2..=LONGEST_PAUSE).contains(pause)));
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "no jitter");
        }
        assert!(pause(9) > pause(1));
    }
}
