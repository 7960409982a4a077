//! Limits that nodes count together, in Redis: what lies there is told in `names`, and how it is counted in the scripts.
//!
//! What a worker wants to know is gathered and asked in one call: whatever comes up in the same turn of its runtime, or while
//! a call is on its way. Who asks alone does not wait; the more ask, the less each costs, the worker and Redis. Who has given
//! up before the question was written is not asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::RedisAddress;
use crate::store::limits::{Answer, Question, Settlement, SharedLimits};
use crate::store::redis::fault::Trouble;
use crate::store::redis::limits::gathering::Gathering;
use crate::store::redis::limits::line::Line;
use crate::store::{StoreError, Task};

mod batch;
mod call;
mod gathering;
mod line;

/// In one call: some milliseconds of Redis's time at most.
const AT_ONCE: usize = 200;

#[derive(Debug)]
struct RedisLimits {
    line: Arc<Line>,
    gathering: Arc<Gathering>,
}

pub(in crate::store) fn open(address: &RedisAddress) -> Result<Arc<dyn SharedLimits>, StoreError> {
    Ok(Arc::new(RedisLimits::new(address)?))
}

impl RedisLimits {
    fn new(address: &RedisAddress) -> Result<Self, Trouble> {
        Ok(Self { line: Arc::new(Line::new(address)?), gathering: Arc::default() })
    }

    async fn decide_once(&self, question: &Question) -> Result<Answer, StoreError> {
        let (asker, answer) = oneshot::channel();
        if self.gathering.push(question.clone(), asker) {
            let (line, gathering) = (Arc::clone(&self.line), Arc::clone(&self.gathering));
            tokio::spawn(async move { gathering.ask_all(&line).await });
        }
        let nobody = || StoreError::Unavailable("Redis: nobody asks any more".to_owned());
        answer.await.unwrap_or_else(|_| Err(nobody()))
    }

    async fn settle_once(&self, settlements: &[Settlement]) -> Result<(), StoreError> {
        for piece in settlements.chunks(AT_ONCE) {
            self.line.ask::<()>(&call::settle(piece)).await?;
        }
        Ok(())
    }

    async fn renew_once(
        &self,
        running: &[(String, String)],
        lease: Duration,
    ) -> Result<(), StoreError> {
        for piece in running.chunks(AT_ONCE) {
            self.line.ask::<()>(&call::renew(piece, lease)).await?;
        }
        Ok(())
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
        Box::pin(async { Ok(self.line.greet().await?) })
    }
}

#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
