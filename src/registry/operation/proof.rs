//! What an administrator showed, and an operation that is decided only while it still proves who is asking.
//!
//! Between a request and its decision may be a body that is long in coming, a password that is hashed, other decisions,
//! and changes of other nodes; and whoever asked may be dismissed or given another role meanwhile. So the question is
//! part of the plan, and is asked again whenever the plan is.

use crate::model::{KeyDigest, Role, Timestamp, Username};
use crate::registry::Records;
use crate::registry::operation::{Ground, Operation, Plan, Rejection};

/// By what an administrator was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Token(KeyDigest),
    Session(KeyDigest),
}

impl Proof {
    /// Whose it is at a moment, and what that administrator may be then.
    pub fn holder(&self, records: &Records, now: Timestamp) -> Option<(Username, Role)> {
        let holder = match self {
            Self::Token(digest) => {
                let token = &records.token(digest)?.value;
                let is_over = token.expires_at.is_some_and(|end| now >= end);
                records.admin(&token.username).filter(|_| !is_over)
            }
            Self::Session(digest) => {
                let session = &records.session(digest)?.value;
                let holder = records.admin(&session.username);
                let holds = |epoch: u64| now < session.expires_at && session.epoch == epoch;
                holder.filter(|kept| holds(kept.value.epoch))
            }
        };
        holder.map(|kept| (kept.value.username.clone(), kept.value.role.clone()))
    }
}

/// An operation of the actor, who was let in with that role.
#[derive(Debug)]
pub struct Held<O> {
    pub proof: Proof,
    pub role: Role,
    pub operation: O,
}

impl<O: Operation> Operation for Held<O> {
    type Output = O::Output;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<O::Output>, Rejection> {
        match self.proof.holder(ground.records, ground.now) {
            Some((username, role)) if username == ground.actor.username && role == self.role => {
                self.operation.plan(ground)
            }
            Some(_) | None => Err(Rejection::Dismissed),
        }
    }
}
