//! Who may manage the registry: administrators, their tokens and their sessions.

use serde::{Deserialize, Serialize};

use crate::model::name::{KeyId, PracticeId, Username};
use crate::model::proof::{KeyDigest, SecretHash};
use crate::model::time::Timestamp;

/// What an administrator may do, and where. A practice admin without a practice cannot be written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "role", content = "practice")]
pub enum Role {
    /// Runs the gateway: everything.
    Operator,
    /// The keys and staff of one practice.
    PracticeAdmin(PracticeId),
    /// Reads everything, changes nothing.
    Auditor,
}

impl Role {
    /// As the contract names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::PracticeAdmin(_) => "practice-admin",
            Self::Auditor => "auditor",
        }
    }

    pub fn practice(&self) -> Option<&PracticeId> {
        match self {
            Self::PracticeAdmin(practice) => Some(practice),
            Self::Operator | Self::Auditor => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administrator {
    pub username: Username,
    #[serde(flatten)]
    pub role: Role,
    pub password: SecretHash,
    /// Grows with every change of role or password; sessions of an earlier one are over.
    pub epoch: u64,
    pub created_at: Timestamp,
}

/// A bearer token for programs: `pst_adm_…`. Machine-made, so its digest is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminToken {
    pub id: KeyId,
    pub username: Username,
    pub name: String,
    pub digest: KeyDigest,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: KeyId,
    pub username: Username,
    /// Of the administrator when it signed in.
    pub epoch: u64,
    /// Of the cookie.
    pub digest: KeyDigest,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn administrator(role: Role) -> Administrator {
        Administrator {
            username: Username::parse("root").unwrap(),
            role,
            password: SecretHash("$argon2id$".into()),
            epoch: 3,
            created_at: Timestamp::default(),
        }
    }

    #[test]
    fn a_role_is_written_beside_the_other_fields_and_read_back() {
        let north = PracticeId::parse("north").unwrap();
        for (role, name, practice) in [
            (Role::Operator, "operator", None),
            (Role::Auditor, "auditor", None),
            (Role::PracticeAdmin(north.clone()), "practice-admin", Some(&north)),
        ] {
            assert_eq!((role.name(), role.practice()), (name, practice));
            let admin = administrator(role.clone());
            let value = serde_json::to_value(&admin).unwrap();
            assert_eq!(value["role"], name);
            assert_eq!(value["practice"].as_str(), practice.map(PracticeId::as_str));
            assert_eq!(serde_json::from_value::<Administrator>(value).unwrap(), admin);
        }
    }

    #[test]
    fn a_practice_admin_without_a_practice_cannot_be_read() {
        for bad in [
            r#"{"role":"practice-admin"}"#,
            r#"{"role":"practice-admin","practice":"No Slug"}"#,
            r#"{"role":"owner"}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<Role>(bad).is_err(), "{bad}");
        }
    }
}
