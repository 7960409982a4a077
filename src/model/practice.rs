//! The tenants and their people.

use serde::{Deserialize, Serialize};

use crate::model::name::{PracticeId, Username};
use crate::model::time::Timestamp;

/// A clinic, which owns the data behind its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Practice {
    pub id: PracticeId,
    pub name: String,
    /// One of the configuration's `regions`, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Off, none of its keys reaches anything.
    pub api_access: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    pub created_at: Timestamp,
}

/// A person of a practice; owns subscriber keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffUser {
    pub practice: PracticeId,
    pub username: Username,
    pub name: String,
    pub created_at: Timestamp,
}
