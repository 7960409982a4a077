//! The Redis store: one server, one that Sentinels watch over, or a cluster. What lies where is said in `names`.
//!
//! It promises what [`RegistryStore`] asks, on the condition that Redis keeps what it acknowledges; [`concerns`] says where
//! its settings make that doubtful. Where Redis lost something all the same (a failover before the replica had it), a
//! node that saw more is told to load again instead of following another history, and the position it loads is then
//! lower than its own, or leads elsewhere.
//!
//! Every operation ends within seconds, whatever Redis does: see `line`. Three connections at most: `talk` for questions
//! that may be asked twice, `writes` for changes and the wait for their replicas, `waiting` for the feed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::RootCertStore;

use crate::config::RedisAddress;
use crate::model::{AuditEntry, KeyId, NodeName, Timestamp};
use crate::store::{
    Applied, AuditQuery, Change, Committed, Intake, Loaded, Mode, News, NodeStatus, Position,
    RegistryStore, Safety, StoreError, Task,
};

mod access;
mod audit;
mod commit;
mod concerns;
mod door;
mod fault;
mod feed;
mod limits;
mod line;
mod load;
mod names;
mod nodes;
mod script;
mod tls;
mod trail;

pub(super) use access::open_history;
use door::Door;
use fault::{Kind, Trouble};
use feed::Waiting;
pub(super) use limits::open as open_limits;
#[cfg(test)]
pub(super) use limits::simulated;
use line::Line;
use trail::Trail;

/// How long a start waits for a Redis that is starting, too.
const START: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct RedisStore {
    mode: Mode,
    door: Arc<Door>,
    talk: Line,
    writes: Line,
    waiting: Waiting,
    trail: Trail,
}

/// Connects, so that a wrong address or password is found at the start.
pub(super) async fn open(
    address: &RedisAddress,
    mode: Mode,
) -> Result<Arc<dyn RegistryStore>, StoreError> {
    Ok(Arc::new(RedisStore::open(address, mode, None).await?))
}

/// Returns once Redis answers, and has its data in memory.
async fn greet(line: &Line, key: &str) -> Result<(), Trouble> {
    let mut question = redis::pipe();
    question.cmd("EXISTS").arg(key).ignore();
    let until = Instant::now() + START;
    while let Err(trouble) = line.ask::<()>(&question).await {
        let hopeless = matches!(trouble.kind, Kind::Settings | Kind::Nonsense);
        if hopeless || Instant::now() >= until {
            return Err(trouble);
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn refuse_reader(mode: Mode) -> Result<(), StoreError> {
    match mode {
        Mode::Sole => Ok(()),
        Mode::Reader => {
            Err(StoreError::Unavailable("the store was opened to be read alone".to_owned()))
        }
    }
}

impl RedisStore {
    async fn open(
        address: &RedisAddress,
        mode: Mode,
        roots: Option<RootCertStore>,
    ) -> Result<Self, StoreError> {
        let door = Arc::new(Door::new(address, mode, roots)?);
        let store = Self {
            mode,
            talk: Line::new(Arc::clone(&door)),
            writes: Line::new(Arc::clone(&door)),
            waiting: Waiting::default(),
            trail: Trail::default(),
            door,
        };
        greet(&store.talk, names::META).await?;
        Ok(store)
    }

    fn must_write(&self) -> Result<(), StoreError> {
        refuse_reader(self.mode)
    }

    /// Every connection is made again when it is needed, to whoever is the primary then.
    async fn hang_up(&self) {
        self.talk.hang_up().await;
        self.writes.hang_up().await;
        self.waiting.hang_up();
    }

    async fn adopt_once(&self, vault: String) -> Result<(), StoreError> {
        self.must_write()?;
        let attempt = format!("{:032x}", fastrand::u128(..));
        let mut call = script::call(&script::ADOPT, &[names::META]);
        call.arg(names::VERSION).arg(vault).arg(attempt);
        let (answer,): (String,) = self.talk.ask(redis::pipe().add_command(call)).await?;
        if answer == "OK" { Ok(()) } else { Err(StoreError::Conflict) }
    }
}

impl RegistryStore for RedisStore {
    fn load<'a>(&'a self, intake: &'a mut dyn Intake) -> Task<'a, Loaded> {
        Box::pin(load::load(self, intake))
    }

    fn adopt(&self, vault: String) -> Task<'_, ()> {
        Box::pin(self.adopt_once(vault))
    }

    fn commit<'a>(
        &'a self,
        after: Position,
        change: &'a Change,
        safety: Safety,
    ) -> Task<'a, Committed> {
        Box::pin(commit::commit(self, after, change, safety))
    }

    fn news(&self, after: Position, patience: Duration) -> Task<'_, News> {
        Box::pin(feed::news(self, after, patience))
    }

    fn audit<'a>(&'a self, query: &'a AuditQuery) -> Task<'a, Vec<AuditEntry>> {
        Box::pin(audit::page(self, query))
    }

    fn audit_from(&self, seq: u64, limit: usize) -> Task<'_, Vec<AuditEntry>> {
        Box::pin(audit::from(self, seq, limit))
    }

    fn record_use<'a>(&'a self, used: &'a [(KeyId, Timestamp)]) -> Task<'a, ()> {
        Box::pin(nodes::record_use(self, used))
    }

    fn used(&self) -> Task<'_, Vec<(KeyId, Timestamp)>> {
        Box::pin(load::used(self))
    }

    fn heartbeat<'a>(&'a self, node: &'a NodeStatus) -> Task<'a, ()> {
        Box::pin(nodes::heartbeat(self, node))
    }

    fn nodes(&self) -> Task<'_, Vec<NodeStatus>> {
        Box::pin(nodes::nodes(self))
    }

    fn open_receipt<'a>(&'a self, key: KeyId, nodes: &'a [NodeName]) -> Task<'a, ()> {
        Box::pin(nodes::open_receipt(self, key, nodes))
    }

    fn acknowledge<'a>(
        &'a self,
        keys: &'a [KeyId],
        node: &'a NodeName,
        at: Timestamp,
    ) -> Task<'a, ()> {
        Box::pin(nodes::acknowledge(self, keys, node, at))
    }

    fn receipt(&self, key: KeyId) -> Task<'_, Vec<Applied>> {
        Box::pin(nodes::receipt(self, key))
    }

    fn concerns(&self) -> Task<'_, Vec<String>> {
        Box::pin(concerns::concerns(self))
    }
}

#[cfg(test)]
mod tests;
