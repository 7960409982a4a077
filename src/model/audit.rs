//! Who changed what. Entries are chained: each carries a keyed hash over its predecessor's, so that none can be changed,
//! dropped or put in between without the key, which is not in the store.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::name::{PracticeId, Username};
use crate::model::proof::KeyDigest;
use crate::model::time::Timestamp;

/// Who did it, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub username: Username,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// An entry before it has its place in the chain. Never a secret, a digest or a hash in `before` and `after`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// `key.rotate`: the kind of the object and what was done.
    pub action: Box<str>,
    /// `key/4fJ2…`.
    pub object: String,
    /// Whose admins may read it, besides operators and auditors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub practice: Option<PracticeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// An entry of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// From 1, without gaps.
    pub seq: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub actor: Actor,
    #[serde(flatten)]
    pub deed: Deed,
    /// Over the previous entry's hash and this entry.
    pub hash: KeyDigest,
}

/// The last entry of a chain; the default is that of an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    pub seq: u64,
    pub hash: KeyDigest,
}

impl Default for AuditHead {
    fn default() -> Self {
        Self { seq: 0, hash: KeyDigest([0; 32]) }
    }
}
