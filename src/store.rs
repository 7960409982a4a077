//! Where the registry is kept: one trait, two stores, and one suite that both are held to.
//!
//! The registry lives whole in the memory of every node; a store is its durable form and the feed by which nodes learn of
//! each other's changes. Every change has a position, counted from 1, and is written only if the store still is where the
//! writer believed it to be: so there is one global order, and a writer that was late decides again on what is true now.
//!
//! - `embedded`: SQLite in a directory, for one node.
//! - `redis`: for several; single, Sentinel or Cluster.
//!
//! `store::conformance` says in tests what this file says in words. What is kept, and how it is written, is told in
//! `store/document.rs`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::StoreAddress;
use crate::model::{AuditEntry, AuditHead, KeyId, NodeName, PracticeId, Timestamp};

pub mod access;
#[cfg(test)]
pub(crate) mod conformance;
mod document;
mod embedded;
pub mod limits;
mod redis;

pub use document::{Change, DeadToken, Document, DocumentId, Unreadable};
pub use embedded::{Copied, back_up};

/// How many changes a registry has seen since it was made.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

/// The moment as of which everything was told to an [`Intake`].
#[derive(Debug)]
pub struct Loaded {
    pub position: Position,
    pub head: AuditHead,
    /// The vault that made what is kept; None in a new store.
    pub vault: Option<String>,
}

/// Takes everything that is kept while a store reads it: all documents at once, as they are written, would be twice the
/// memory of the registry that is made of them. What was told counts only when the loading ended well.
pub trait Intake: Send {
    /// It is told from the beginning, and what was told before is void. Every attempt begins with it.
    fn restart(&mut self);
    /// A document with the position of the change that put it, in place of what was told under the same id.
    fn put(&mut self, at: Position, document: Document);
    /// It was removed while the store was read.
    fn remove(&mut self, id: &DocumentId);
    /// When a key was last used. After the documents.
    fn used(&mut self, key: KeyId, at: Timestamp);
}

/// Takes nothing in: for whoever asks only as of when, and whose, everything is.
#[derive(Debug)]
pub struct Unheard;

impl Intake for Unheard {
    fn restart(&mut self) {}
    fn put(&mut self, _at: Position, _document: Document) {}
    fn remove(&mut self, _id: &DocumentId) {}
    fn used(&mut self, _key: KeyId, _at: Timestamp) {}
}

/// What came after a position.
#[derive(Debug)]
pub enum News {
    /// In order from the position asked for, each with its own, without a gap; perhaps not all yet, so ask on from the
    /// last. Empty: nothing came, and the store was in reach.
    Changes(Vec<(Position, Change)>),
    /// Too much or too long ago to tell, or the store went back: load again.
    Reload,
}

#[derive(Debug, Default)]
pub struct Committed {
    pub position: Position,
    /// Where replicas exist and were asked for.
    pub replicas: Option<Replicas>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replicas {
    pub connected: u32,
    pub confirmed: u32,
}

/// How sure a commit must be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    Usual,
    /// Waits for replicas, where there are any.
    Replicated,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote first: catch up with `news` and decide again. Nothing was written.
    #[error("the registry changed meanwhile")]
    Conflict,
    /// Nothing was written.
    #[error("the store is out of reach: {0}")]
    Unavailable(String),
    /// The answer did not come: the change may or may not be there.
    #[error("the store did not answer: {0}")]
    Unknown(String),
    /// What is kept cannot be read, or is of a later version.
    #[error("the store cannot be used: {0}")]
    Corrupt(String),
    /// Another process has it.
    #[error("{0}")]
    InUse(String),
}

pub type Task<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Entries newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    pub practice: Option<PracticeId>,
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// Only entries with a smaller `seq`.
    pub before: Option<u64>,
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub name: NodeName,
    pub position: Position,
    pub seen_at: Timestamp,
}

/// When a node took a revocation into effect; None until it said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub node: NodeName,
    pub applied_at: Option<Timestamp>,
}

/// The durable form of the registry, and its change feed. Every operation ends within a deadline of the store's own.
pub trait RegistryStore: Send + Sync + fmt::Debug {
    /// Whether others may change it. What only this process has is never out of date: the embedded store says no.
    fn is_shared(&self) -> bool {
        true
    }
    /// Tells everything, as of one moment, a bounded piece at a time.
    fn load<'a>(&'a self, intake: &'a mut dyn Intake) -> Task<'a, Loaded>;
    /// Remembers which vault the store belongs to. Only in a store that has none, else [`StoreError::Conflict`].
    fn adopt(&self, vault: String) -> Task<'_, ()>;
    /// Writes the change if the store is at exactly `after`, else [`StoreError::Conflict`].
    fn commit<'a>(
        &'a self,
        after: Position,
        change: &'a Change,
        safety: Safety,
    ) -> Task<'a, Committed>;
    /// What came after a position; waits up to `patience` for something to come.
    fn news(&self, after: Position, patience: Duration) -> Task<'_, News>;
    fn audit<'a>(&'a self, query: &'a AuditQuery) -> Task<'a, Vec<AuditEntry>>;
    /// Entries from `seq` on, oldest first, for verification.
    fn audit_from(&self, seq: u64, limit: usize) -> Task<'_, Vec<AuditEntry>>;
    /// Keeps the later of each.
    fn record_use<'a>(&'a self, used: &'a [(KeyId, Timestamp)]) -> Task<'a, ()>;
    fn used(&self) -> Task<'_, Vec<(KeyId, Timestamp)>>;
    fn heartbeat<'a>(&'a self, node: &'a NodeStatus) -> Task<'a, ()>;
    fn nodes(&self) -> Task<'_, Vec<NodeStatus>>;
    /// Opens the receipt of a revocation with the nodes that must apply it; those that acknowledged before keep their
    /// time. Opening again changes nothing.
    fn open_receipt<'a>(&'a self, key: KeyId, nodes: &'a [NodeName]) -> Task<'a, ()>;
    /// Says in the receipts of revoked keys when a node took that into effect, once: the first time stays. Another node
    /// may be quicker than the one that opens the receipt, so there need be neither a line nor a receipt.
    fn acknowledge<'a>(
        &'a self,
        keys: &'a [KeyId],
        node: &'a NodeName,
        at: Timestamp,
    ) -> Task<'a, ()>;
    fn receipt(&self, key: KeyId) -> Task<'_, Vec<Applied>>;
    /// What about the store is not safe, in sentences for people. Asked at start and now and then.
    fn concerns(&self) -> Task<'_, Vec<String>>;
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To serve, or to change it: nobody else may have an embedded one.
    Sole,
    /// To read, beside whoever serves.
    Reader,
}

/// Opens the store that a configuration names. An embedded one is made where there is none (not by a reader).
pub async fn open(
    address: &StoreAddress,
    mode: Mode,
) -> Result<Arc<dyn RegistryStore>, StoreError> {
    match address {
        StoreAddress::Embedded(directory) => embedded::open(directory, mode).await,
        StoreAddress::Redis(address) => redis::open(address, mode).await,
    }
}

/// Opens where records and their sums are kept. To be called after [`open`], which takes the lock of an embedded store.
pub async fn open_history(
    address: &StoreAddress,
    mode: Mode,
) -> Result<Arc<dyn access::AccessStore>, StoreError> {
    match address {
        StoreAddress::Embedded(directory) => embedded::access::open(directory, mode).await,
        StoreAddress::Redis(address) => redis::open_history(address, mode).await,
    }
}
