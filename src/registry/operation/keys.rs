//! Subscriber keys: issuing, editing, rotating, revoking, revealing.

use crate::model::{KeyId, Timestamp};
use crate::registry::operation::{Ground, Operation, Plan, Rejection};
use crate::store::{DeadToken, Document};

mod edit;
mod issue;
mod revoke;
mod rotate;

pub use edit::{EditKey, KeyPatch};
pub(in crate::registry::operation) use issue::Chosen;
pub use issue::IssueKey;
pub use revoke::{RevealKey, RevokeKey};
pub use rotate::RotateKey;

/// Every node keeps each of them, and nobody but the key's holder has any use for it.
const DEAD_MAX: usize = 1_000;

/// RFC 7009: the token is dead until it would have ended anyway. Not in the audit.
#[derive(Clone, Debug)]
pub struct KillToken {
    pub id: KeyId,
    /// That it was issued to.
    pub key: KeyId,
    pub expires_at: Timestamp,
}

impl Operation for KillToken {
    type Output = ();

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<()>, Rejection> {
        let is_dead = ground.records.dead_token(self.id).is_some();
        if is_dead || self.expires_at <= ground.now {
            return Ok(Plan::nothing(()));
        }
        if ground.records.dead_tokens_of(self.key) >= DEAD_MAX {
            return Err(Rejection::NotPossible(
                "too_many_dead_tokens",
                format!("`{}` gave back {DEAD_MAX} tokens that have not ended yet", self.key),
            ));
        }
        let (id, key, expires_at) = (self.id, Some(self.key), self.expires_at);
        let token = DeadToken { id, key, expires_at };
        Ok(Plan { puts: vec![Document::DeadToken(token)], ..Plan::nothing(()) })
    }
}

fn is_revoked(key: KeyId) -> Rejection {
    Rejection::NotPossible(
        "key_revoked",
        format!("the key `{key}` is revoked, which is for good; issue a new one"),
    )
}
