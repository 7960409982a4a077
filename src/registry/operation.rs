//! What administrators can do, as pure decisions: an operation looks at the records and gives back what is to be written,
//! or why not.
//!
//! An operation may be asked many times, because another node can be first to write; so it decides from its [`Ground`]
//! alone and keeps nothing. All faults of its fields are told at once, by the names that the fields have in JSON. A value
//! that is there already is never a fault: what was allowed once may be sent back with an edit of something else. An edit
//! that changes nothing writes nothing, so its object keeps its revision.

use std::sync::Arc;

use crate::model::{
    Actor, Administrator, Deed, KeyId, Practice, PracticeId, StaffUser, SubscriberKey, Timestamp,
    Username, Vendor, VendorId,
};
use crate::registry::{Records, Terms};
use crate::store::{Document, DocumentId, Position};

pub mod administrators;
mod deed;
pub mod export;
mod field;
pub mod import;
pub mod keys;
pub mod practices;
mod proof;
pub mod vendors;

pub use proof::{Held, Proof};

/// What an operation may look at.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    pub records: &'a Records,
    pub terms: &'a Terms,
    pub now: Timestamp,
    pub actor: &'a Actor,
    pub last_used: &'a dyn LastUsed,
}

pub trait LastUsed: std::fmt::Debug {
    fn of(&self, key: KeyId) -> Option<Timestamp>;
}

/// What is to be written. Without documents and without deeds, nothing is; a deed alone is written, as that of revealing.
#[derive(Debug)]
pub struct Plan<T> {
    pub puts: Vec<Document>,
    pub removes: Vec<DocumentId>,
    pub deeds: Vec<Deed>,
    pub output: T,
}

/// A decision that may be asked again, against newer records.
pub trait Operation: Send + Sync {
    type Output: Send;
    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Self::Output>, Rejection>;
}

/// `If-Match`: the revision that the caller has seen.
pub type IfMatch = Option<Position>;

/// A field left out, or a new value for it (None: emptied).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldFault {
    pub field: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("there is no {what} `{id}`")]
    NotFound { what: &'static str, id: String },
    #[error("{}", .0.iter().map(|f| format!("{}: {}", f.field, f.message)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldFault>),
    #[error("{what} `{id}` is there already")]
    Duplicate { what: &'static str, id: String },
    /// A sentence that says who owns how many.
    #[error("{0}")]
    OwnerInUse(String),
    #[error("the last operator can be neither deleted nor given another role")]
    LastOperator,
    /// Whoever asked is no administrator any more, or another than when the request came.
    #[error("who asked may not any more")]
    Dismissed,
    /// The object changed since the caller read it.
    #[error("the object changed since it was read")]
    Stale,
    /// A conflict with what the object is now: its code (`not_revealable`, `already_rotated`, `key_revoked`,
    /// `key_expired`) and why.
    #[error("{1}")]
    NotPossible(&'static str, String),
}

/// What is there, with its revision.
type Found<T> = Result<(Position, Arc<T>), Rejection>;

impl Ground<'_> {
    fn practice(&self, id: &PracticeId) -> Found<Practice> {
        let kept = self.records.practice(id);
        let found = kept.map(|kept| (kept.revision, Arc::clone(&kept.value)));
        found.ok_or_else(|| Rejection::missing("practice", id))
    }

    fn user(&self, practice: &PracticeId, username: &Username) -> Found<StaffUser> {
        self.practice(practice)?;
        let kept = self.records.user(practice, username);
        let found = kept.map(|kept| (kept.revision, Arc::clone(&kept.value)));
        found.ok_or_else(|| Rejection::missing("staff user", username))
    }

    fn vendor(&self, id: &VendorId) -> Found<Vendor> {
        let kept = self.records.vendor(id);
        let found = kept.map(|kept| (kept.revision, Arc::clone(&kept.value)));
        found.ok_or_else(|| Rejection::missing("vendor", id))
    }

    fn key(&self, id: KeyId) -> Found<SubscriberKey> {
        let kept = self.records.key(id);
        let found = kept.map(|kept| (kept.revision, Arc::clone(&kept.value)));
        found.ok_or_else(|| Rejection::missing("key", &id))
    }

    fn admin(&self, username: &Username) -> Found<Administrator> {
        let kept = self.records.admin(username);
        let found = kept.map(|kept| (kept.revision, Arc::clone(&kept.value)));
        found.ok_or_else(|| Rejection::missing("administrator", username))
    }
}

impl Rejection {
    fn missing(what: &'static str, id: &impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    fn duplicate(what: &'static str, id: &impl ToString) -> Self {
        Self::Duplicate { what, id: id.to_string() }
    }
}

impl<T> Plan<T> {
    /// Everything is as it should be already.
    fn nothing(output: T) -> Self {
        Self { puts: Vec::new(), removes: Vec::new(), deeds: Vec::new(), output }
    }

    fn put(document: Document, deed: Deed, output: T) -> Self {
        Self { puts: vec![document], removes: Vec::new(), deeds: vec![deed], output }
    }
}

fn unless_stale(if_match: IfMatch, revision: Position) -> Result<(), Rejection> {
    if if_match.is_none_or(|seen| seen == revision) { Ok(()) } else { Err(Rejection::Stale) }
}

#[cfg(test)]
mod tests;
