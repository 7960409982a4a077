//! A store in memory whose faults are chosen by the test. Several registries may share one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::model::{AuditEntry, AuditHead, KeyId, NodeName, Timestamp};
use crate::store::{
    Applied, AuditQuery, Change, Committed, Document, DocumentId, Intake, Loaded, News, NodeStatus,
    Position, RegistryStore, Safety, StoreError, Task,
};

/// What the next commit does instead of committing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Fault {
    /// Nothing is written.
    Unavailable,
    /// Written, and not answered.
    TakenUntold,
    /// Neither written nor answered.
    LostUntold,
}

#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Kept {
    pub(in crate::registry) vault: Option<String>,
    pub(in crate::registry) changes: Vec<Change>,
    /// News of changes up to here are gone.
    pub(in crate::registry) forgotten: u64,
    pub(in crate::registry) used: BTreeMap<KeyId, Timestamp>,
    nodes: BTreeMap<NodeName, NodeStatus>,
    receipts: BTreeMap<KeyId, Vec<Applied>>,
    opened: BTreeSet<KeyId>,
}

#[derive(Debug, Default)]
pub(in crate::registry) struct FakeStore {
    pub(in crate::registry) kept: Mutex<Kept>,
    pub(in crate::registry) faults: Mutex<VecDeque<Fault>>,
    pub(in crate::registry) is_away: Mutex<bool>,
    /// What was asked of commits, in order.
    pub(in crate::registry) safeties: Mutex<Vec<Safety>>,
    news: Notify,
}

impl Kept {
    pub(in crate::registry) fn nodes_known(&self) -> Vec<NodeName> {
        self.nodes.keys().cloned().collect()
    }
}

impl FakeStore {
    pub(in crate::registry) fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap())
    }

    pub(in crate::registry) fn fail(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// As a failover to a replica that was behind.
    pub(in crate::registry) fn lose(&self, changes: usize) {
        self.with(|kept| kept.changes.truncate(kept.changes.len() - changes));
    }

    pub(in crate::registry) fn documents(&self) -> BTreeMap<DocumentId, (Position, Document)> {
        let mut documents = BTreeMap::new();
        self.with(|kept| {
            for (number, change) in (1..).zip(&kept.changes) {
                for id in &change.removes {
                    documents.remove(id);
                }
                for document in &change.puts {
                    documents.insert(document.id(), (Position(number), document.clone()));
                }
            }
        });
        documents
    }

    pub(in crate::registry) fn audit_entries(&self) -> Vec<AuditEntry> {
        self.with(|kept| kept.changes.iter().flat_map(|change| change.audit.clone()).collect())
    }

    fn reach(&self) -> Result<(), StoreError> {
        match *self.is_away.lock().unwrap() {
            true => Err(StoreError::Unavailable("away".to_owned())),
            false => Ok(()),
        }
    }
}

fn now<'a, T: Send + 'a>(result: Result<T, StoreError>) -> Task<'a, T> {
    Box::pin(std::future::ready(result))
}

impl RegistryStore for FakeStore {
    fn load<'a>(&'a self, intake: &'a mut dyn Intake) -> Task<'a, Loaded> {
        now(self.reach().map(|()| {
            intake.restart();
            self.documents().into_values().for_each(|(at, document)| intake.put(at, document));
            let last = self.audit_entries().pop();
            self.with(|kept| {
                kept.used.iter().for_each(|(key, at)| intake.used(*key, *at));
                Loaded {
                    position: Position(kept.changes.len() as u64),
                    head: last
                        .map_or(AuditHead::default(), |e| AuditHead { seq: e.seq, hash: e.hash }),
                    vault: kept.vault.clone(),
                }
            })
        }))
    }

    fn adopt(&self, vault: String) -> Task<'_, ()> {
        now(self.with(|kept| match kept.vault {
            Some(_) => Err(StoreError::Conflict),
            None => {
                kept.vault = Some(vault);
                Ok(())
            }
        }))
    }

    fn commit<'a>(
        &'a self,
        after: Position,
        change: &'a Change,
        safety: Safety,
    ) -> Task<'a, Committed> {
        if let Err(error) = self.reach() {
            return now(Err(error));
        }
        let fault = self.faults.lock().unwrap().pop_front();
        self.safeties.lock().unwrap().push(safety);
        let untold = || StoreError::Unknown("no answer".to_owned());
        match fault {
            Some(Fault::Unavailable) => {
                return now(Err(StoreError::Unavailable("fault".to_owned())));
            }
            Some(Fault::LostUntold) => return now(Err(untold())),
            Some(Fault::TakenUntold) | None => {}
        }
        let committed = self.with(|kept| {
            if after.0 != kept.changes.len() as u64 {
                return Err(StoreError::Conflict);
            }
            kept.changes.push(change.clone());
            Ok(Committed { position: Position(kept.changes.len() as u64), replicas: None })
        });
        self.news.notify_waiters();
        now(if fault.is_some() && committed.is_ok() { Err(untold()) } else { committed })
    }

    fn news(&self, after: Position, patience: Duration) -> Task<'_, News> {
        Box::pin(async move {
            let look = || {
                self.reach()?;
                Ok(self.with(|kept| {
                    let known = usize::try_from(after.0).unwrap();
                    if known > kept.changes.len() || after.0 < kept.forgotten {
                        return News::Reload;
                    }
                    let changes = kept.changes[known..].iter().cloned();
                    News::Changes((after.0 + 1..).map(Position).zip(changes).collect())
                }))
            };
            let woken = self.news.notified();
            match look()? {
                News::Changes(changes) if changes.is_empty() && !patience.is_zero() => {
                    drop(timeout(patience, woken).await);
                    look()
                }
                news => Ok(news),
            }
        })
    }

    fn audit<'a>(&'a self, _query: &'a AuditQuery) -> Task<'a, Vec<AuditEntry>> {
        now(Ok(self.audit_entries()))
    }

    fn audit_from(&self, seq: u64, limit: usize) -> Task<'_, Vec<AuditEntry>> {
        let entries = self.audit_entries().into_iter().filter(|entry| entry.seq >= seq);
        now(Ok(entries.take(limit.min(3)).collect()))
    }

    fn record_use<'a>(&'a self, used: &'a [(KeyId, Timestamp)]) -> Task<'a, ()> {
        now(self.reach().map(|()| {
            self.with(|kept| {
                for (id, at) in used {
                    let known = kept.used.entry(*id).or_insert(*at);
                    *known = (*known).max(*at);
                }
            });
        }))
    }

    fn used(&self) -> Task<'_, Vec<(KeyId, Timestamp)>> {
        now(self.reach().map(|()| self.with(|kept| kept.used.clone().into_iter().collect())))
    }

    fn heartbeat<'a>(&'a self, node: &'a NodeStatus) -> Task<'a, ()> {
        now(self.reach().map(|()| {
            self.with(|kept| kept.nodes.insert(node.name.clone(), node.clone()));
        }))
    }

    fn nodes(&self) -> Task<'_, Vec<NodeStatus>> {
        now(self.reach().map(|()| self.with(|kept| kept.nodes.values().cloned().collect())))
    }

    fn open_receipt<'a>(&'a self, key: KeyId, nodes: &'a [NodeName]) -> Task<'a, ()> {
        now(self.reach().map(|()| {
            self.with(|kept| {
                if !kept.opened.insert(key) {
                    return;
                }
                let lines = kept.receipts.entry(key).or_default();
                for node in nodes {
                    if lines.iter().all(|line| line.node != *node) {
                        lines.push(Applied { node: node.clone(), applied_at: None });
                    }
                }
            });
        }))
    }

    fn acknowledge<'a>(
        &'a self,
        keys: &'a [KeyId],
        node: &'a NodeName,
        at: Timestamp,
    ) -> Task<'a, ()> {
        now(self.reach().map(|()| {
            self.with(|kept| {
                for key in keys {
                    let lines = kept.receipts.entry(*key).or_default();
                    match lines.iter_mut().find(|line| line.node == *node) {
                        Some(line) => line.applied_at = line.applied_at.or(Some(at)),
                        None => {
                            lines.push(Applied { node: node.clone(), applied_at: Some(at) });
                        }
                    }
                }
            });
        }))
    }

    fn receipt(&self, key: KeyId) -> Task<'_, Vec<Applied>> {
        now(self
            .reach()
            .map(|()| self.with(|kept| kept.receipts.get(&key).cloned().unwrap_or_default())))
    }

    fn concerns(&self) -> Task<'_, Vec<String>> {
        now(Ok(Vec::new()))
    }
}
