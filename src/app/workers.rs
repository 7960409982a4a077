//! The worker threads: started together, watched until they end.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::journal::Journal;
use crate::proxy::worker::{self, Keys, Sockets};
use crate::proxy::{LimitsOfNode, Snapshot};
use crate::telemetry::Metrics;

/// How one worker ended.
type End = anyhow::Result<()>;

/// The running workers. Threads are not joined: a process that ends takes them with it.
#[derive(Debug)]
pub(super) struct Workers {
    running: JoinSet<End>,
}

impl Workers {
    /// Starts a thread for each set of sockets, with a line of records of its own. To be called on the control runtime.
    pub(super) fn start(
        sockets: Vec<Sockets>,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        keys: &Keys,
        journal: &Journal,
        metrics: &Metrics,
        limits: &dyn Fn() -> anyhow::Result<LimitsOfNode>,
        drain: &watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let mut running = JoinSet::new();
        for (number, sockets) in sockets.into_iter().enumerate() {
            let name = format!("worker-{number}");
            let (ended, end) = oneshot::channel();
            let (snapshot, keys) = (Arc::clone(snapshot), keys.clone());
            let (cells, drain) = (metrics.worker(), drain.clone());
            let limits = limits()?;
            let lane = if cfg!(feature = "unrecorded") { None } else { Some(journal.lane()?) };
            thread::Builder::new()
                .name(name.clone())
                .spawn(move || {
                    // Nobody listens any more only where the process is ending.
                    let _unheard = ended.send(
                        worker::run(sockets, snapshot, keys, cells, lane, limits, drain)
                            .map_err(Into::into),
                    );
                })
                .with_context(|| format!("cannot start the thread {name}"))?;
            running.spawn(async move {
                end.await.unwrap_or_else(|_| Err(anyhow!("it panicked"))).context(name)
            });
        }
        Ok(Self { running })
    }

    /// Waits for the next worker to end; None when all have. Cancel-safe.
    pub(super) async fn next_end(&mut self) -> Option<End> {
        let joined = self.running.join_next().await?;
        Some(joined.unwrap_or_else(|error| Err(error.into())))
    }
}
