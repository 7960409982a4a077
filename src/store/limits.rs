//! Limits that several nodes count together: what is asked of a shared store, and what it answers.
//!
//! One question is all limits of one request, decided at once and by the store's own clock: taken from all of them, or from
//! none. A bucket is told as its debt, as in `limits::bucket`: nanoseconds until it is full. With each goes the debt that
//! the node believes in; the store goes on with the higher of the two, so that a store that lost its memory, or was away
//! while nodes counted alone, begins where they are and not with full buckets.

use std::sync::Arc;
use std::time::Duration;

use crate::config::StoreAddress;
use crate::model::Timestamp;
use crate::store::{StoreError, Task, redis};

#[cfg(test)]
pub(crate) use redis::simulated::Simulated;

/// All limits of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    pub rates: Vec<Rate>,
    pub day: Option<Day>,
    pub running: Option<Running>,
    /// Only what is left is asked for: nothing is taken, and nothing refused.
    pub only_look: bool,
    /// By the store's clock, the node asked at this time or later; None where it cannot tell. What it believes is as of then.
    pub asked_at: Option<Timestamp>,
}

impl Question {
    /// Nothing holds.
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.day.is_none() && self.running.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// `key:KEY`, `vendor:VENDOR`, `practice:PRACTICE`, `category:KEY:CATEGORY`: under which it is counted.
    pub name: String,
    /// Nanoseconds for one unit to come back.
    pub interval: u64,
    pub burst: u32,
    /// In units; never more than `burst`.
    pub cost: u32,
    /// What this node believes is owed as it asks, in nanoseconds.
    pub debt: u64,
}

/// The quotas of a key for the UTC day that the store's clock is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The key.
    pub name: String,
    pub requests: Option<u64>,
    pub bytes: Option<u64>,
    /// What this node believes was used, on this day since 1970.
    pub believed: Used,
}

/// What was used of quotas on one UTC day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Since 1970.
    pub day: u32,
    pub requests: u64,
    pub bytes: u64,
}

/// Requests of a key that run at once. Each is leased: who does not renew it in time has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The key.
    pub name: String,
    pub most: u32,
    /// What this node runs itself.
    pub own: u32,
    /// The request, among all of all nodes.
    pub request: String,
    pub lease: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Everything was taken (or could be, where it was only looked); else nothing.
    pub is_admitted: bool,
    /// In the order of the question, as it is now: with what was taken, or before what was refused.
    pub debts: Vec<u64>,
    pub used: Used,
    /// How many run, this one among them if it was admitted.
    pub running: u32,
    /// By the store's clock.
    pub now: Timestamp,
}

/// A request that is over, or went nowhere after all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// What was taken and comes back, as it was asked for; `debt` means nothing here.
    pub returned: Vec<Rate>,
    /// A key, how many of its requests come back, and the bytes that it moved, on which day.
    pub day: Option<(String, Used)>,
    /// A key, and its request that runs no more.
    pub ended: Option<(String, String)>,
}

/// Counts for all nodes. What fails was perhaps counted and perhaps not. Deadlines are the caller's: what is dropped is
/// given up.
pub trait SharedLimits: Send + Sync + std::fmt::Debug {
    fn decide<'a>(&'a self, question: &'a Question) -> Task<'a, Answer>;
    fn settle<'a>(&'a self, settlements: &'a [Settlement]) -> Task<'a, ()>;
    /// Requests that still run: each a key and a request. Also those that the store does not know (any more).
    fn renew<'a>(&'a self, running: &'a [(String, String)], lease: Duration) -> Task<'a, ()>;
    /// Whether it answers; connects where there is no connection.
    fn greet(&self) -> Task<'_, ()>;
}

/// A connection of its own, to be used on the runtime that first uses it. None where nobody shares: the embedded store is
/// one node's.
pub fn open(address: &StoreAddress) -> Result<Option<Arc<dyn SharedLimits>>, StoreError> {
    match address {
        StoreAddress::Embedded(_) => Ok(None),
        StoreAddress::Redis(address) => redis::open_limits(address).map(Some),
    }
}
