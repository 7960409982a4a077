//! What a node does all the time: follows the store's feed, says that it lives and what it took into effect, and keeps
//! last uses on both sides.
//!
//! Each of these goes on alone, so that a slow one holds up no other; none of them ends. An error is told when contact
//! is lost and when it is back, not at each try.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::model::{Actor, KeyId, Timestamp, Username};
use crate::registry::contact::Backoff;
use crate::registry::operation::administrators::{ClearExpired, over_before};
use crate::registry::restore::Kinship;
use crate::registry::uses::Flushed;
use crate::registry::view::KeySlot;
use crate::registry::{Registry, RegistryError};
use crate::store::{News, NodeStatus, Replicas, StoreError};

/// How long the store may hold a question for news; also the most by which `staleness` is off while all is well.
const LONG_POLL: Duration = Duration::from_millis(500);
/// A store that answers at once that there is nothing is not asked in a tight circle.
const SHORT_POLL: Duration = Duration::from_millis(10);
const BEAT: Duration = Duration::from_secs(3);
const FLUSH: Duration = Duration::from_secs(5);
const CLEAR: Duration = Duration::from_secs(60);
/// Between one round of clearing and the next, where there is more than one may take.
const CLEAR_ON: Duration = Duration::from_secs(1);
/// How often uses on other nodes are learned, where idle expiry does not ask for more.
const LEARN: Duration = Duration::from_secs(60);
/// Last uses written at once.
const BATCH: usize = 1000;

/// What is still to be told to the store.
#[derive(Debug, Default)]
pub(in crate::registry) struct Duties {
    /// Keys whose revocation is in effect here since then. Locked for a push or a take.
    revoked: Mutex<Vec<(KeyId, Timestamp)>>,
    has_revoked: Notify,
    /// Uses that the store has. Locked for a look over the keys, never across an await.
    flushed: Mutex<Flushed>,
    /// How many replicas had a revocation when it was answered, so that the receipt stays the same.
    replicas: Mutex<HashMap<KeyId, Replicas>>,
}

impl Duties {
    /// For what came while this node runs. What was revoked before it started it does not tell of: nobody waits for
    /// that, and receipts would grow with every node that ever was.
    pub(in crate::registry) fn acknowledge(&self, revoked: Vec<KeyId>, at: Timestamp) {
        if !revoked.is_empty() {
            let mut waiting = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.extend(revoked.into_iter().map(|key| (key, at)));
            self.has_revoked.notify_one();
        }
    }

    fn take_revoked(&self) -> Vec<(KeyId, Timestamp)> {
        std::mem::take(&mut *self.revoked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, revoked: Vec<(KeyId, Timestamp)>) {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner).extend(revoked);
    }

    pub(in crate::registry) fn remember(&self, key: KeyId, replicas: Replicas) {
        let mut known = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, replicas);
    }

    pub(in crate::registry) fn replicas_of(&self, key: KeyId) -> Option<Replicas> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }
}

impl Registry {
    /// Follows the store's feed, flushes last uses, beats, clears what is over; endless.
    pub async fn run(&self) {
        tokio::join!(
            self.follow(),
            self.tell_revocations(),
            self.beat(),
            self.flush_uses(),
            self.learn_uses(),
            self.clear_expired(),
        );
    }

    async fn follow(&self) {
        let mut backoff = Backoff::default();
        loop {
            let asked = Instant::now();
            match self.follow_once().await {
                Ok(had_news) => {
                    self.contact.made();
                    backoff.reset();
                    if !had_news && asked.elapsed() < SHORT_POLL {
                        sleep(SHORT_POLL).await;
                    }
                }
                Err(error) => {
                    self.contact.failed(&error);
                    sleep(backoff.pause()).await;
                }
            }
        }
    }

    pub(in crate::registry) async fn follow_once(&self) -> Result<bool, RegistryError> {
        let after = self.state().records.position();
        let kinship = match self.store.news(after, LONG_POLL).await? {
            News::Changes(changes) if self.take(&changes) => return Ok(!changes.is_empty()),
            News::Changes(_) => Kinship::Another,
            News::Reload => Kinship::Later,
        };
        let _no_decision_meanwhile = self.writer.lock().await;
        // A decision that was being made meanwhile may have caught up: then this is old news.
        if self.state().records.position() == after {
            self.reload(kinship).await?;
        }
        Ok(true)
    }

    async fn tell_revocations(&self) {
        let mut backoff = Backoff::default();
        loop {
            let waiting = self.duties.take_revoked();
            let Some((_, first)) = waiting.first() else {
                self.duties.has_revoked.notified().await;
                continue;
            };
            // In effect at the latest of them.
            let at = waiting.iter().fold(*first, |latest, (_, at)| latest.max(*at));
            let keys: Vec<KeyId> = waiting.iter().map(|(key, _)| *key).collect();
            if self.store.acknowledge(&keys, &self.node, at).await.is_ok() {
                backoff.reset();
            } else {
                self.duties.put_back(waiting);
                sleep(backoff.pause()).await;
            }
        }
    }

    async fn beat(&self) {
        loop {
            let position = self.state().records.position();
            let status = NodeStatus { name: self.node.clone(), position, seen_at: self.now() };
            // Its failure is the feed's, too, which tells of it.
            drop(self.store.heartbeat(&status).await);
            sleep(BEAT).await;
        }
    }

    async fn flush_uses(&self) {
        loop {
            sleep(FLUSH).await;
            // What was not written is news again the next time.
            drop(self.flush().await);
        }
    }

    /// Before the process ends: last uses are written.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let unwritten = self.unwritten_uses();
        for batch in unwritten.chunks(BATCH) {
            let uses: Vec<_> = batch.iter().map(|(_, id, at)| (*id, *at)).collect();
            if let Err(error) = self.store.record_use(&uses).await {
                let mut known = self.duties.flushed.lock().unwrap_or_else(PoisonError::into_inner);
                // A batch that was written before is written again, which changes nothing.
                unwritten.iter().for_each(|(slot, _, _)| known.forget(*slot));
                return Err(error);
            }
        }
        Ok(())
    }

    fn unwritten_uses(&self) -> Vec<(KeySlot, KeyId, Timestamp)> {
        let state = self.state();
        let mut known = self.duties.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        let used = state.records.keys.all().filter_map(|(slot, key)| {
            let at = state.uses().last(slot)?;
            known.is_news(slot, at).then_some((slot, key.id, at))
        });
        used.collect()
    }

    async fn learn_uses(&self) {
        loop {
            let idle = self.terms().lifetimes.idle_expiry;
            let often = idle.map_or(LEARN, |span| (span / 4).clamp(BEAT, LEARN));
            sleep(often.mul_f64(0.75 + fastrand::f64() / 4.0)).await;
            if !self.store.is_shared() {
                continue;
            }
            if let Ok(used) = self.store.used().await {
                self.learn(&used);
            }
        }
    }

    fn learn(&self, used: &[(KeyId, Timestamp)]) {
        let state = self.state();
        let mut known = self.duties.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in used {
            if let Some(slot) = self.index.key_by_id(*id) {
                state.uses().learn(slot, *at);
                known.is_news(slot, *at);
            }
        }
    }

    /// Uses that an earlier start noted and did not get to write. They are written at once, for their records may be gone
    /// from the journal at the next start. Says of how many keys they were.
    pub async fn recover_uses(&self, used: &[(KeyId, Timestamp)]) -> Result<usize, StoreError> {
        let news: Vec<_> = {
            let state = self.state();
            let is_news = |(id, at): &(KeyId, Timestamp)| {
                let slot = self.index.key_by_id(*id)?;
                let is_later = state.uses().last(slot).is_none_or(|known| known < *at);
                state.uses().learn(slot, *at);
                is_later.then_some((*id, *at))
            };
            used.iter().filter_map(is_news).collect()
        };
        for batch in news.chunks(BATCH) {
            self.store.record_use(batch).await?;
        }
        Ok(news.len())
    }

    fn has_expired(&self) -> bool {
        let before = over_before(self.now());
        self.read(|records| records.has_expired(before))
    }

    async fn clear_expired(&self) {
        loop {
            sleep(CLEAR.mul_f64(0.75 + fastrand::f64() / 4.0)).await;
            // Not in the audit, so nobody reads the name.
            let Ok(username) = Username::parse("postern") else { continue };
            let actor = Actor { username, address: None };
            while self.has_expired() {
                if let Err(error) = self.execute(&actor, ClearExpired).await {
                    tracing::debug!(%error, "what is over stays until the next minute");
                    break;
                }
                sleep(CLEAR_ON).await;
            }
        }
    }
}
