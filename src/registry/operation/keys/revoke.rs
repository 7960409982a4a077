//! Ending a key for good, and showing one again.

use crate::model::{KeyId, Sealed, SubscriberKey};
use crate::registry::operation::{Ground, IfMatch, Operation, Plan, Rejection, deed, unless_stale};
use crate::store::Document;

/// For good. Revoking again changes nothing and answers the same; a successor goes on.
#[derive(Clone, Debug)]
pub struct RevokeKey {
    pub id: KeyId,
    pub if_match: IfMatch,
}

/// Audited; the output is what the vault can open.
#[derive(Clone, Debug)]
pub struct RevealKey {
    pub id: KeyId,
}

impl Operation for RevokeKey {
    type Output = SubscriberKey;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<SubscriberKey>, Rejection> {
        let (revision, before) = ground.key(self.id)?;
        unless_stale(self.if_match, revision)?;
        if before.revoked_at.is_some() {
            return Ok(Plan::nothing(SubscriberKey::clone(&before)));
        }
        // The history of a key stays; its secret is of no use to anybody any more.
        let key = SubscriberKey {
            revoked_at: Some(ground.now),
            sealed: None,
            ..SubscriberKey::clone(&before)
        };
        let deed = deed::edited("key.revoke", &*before, &key);
        Ok(Plan::put(Document::Key(key.clone()), deed, key))
    }
}

impl Operation for RevealKey {
    type Output = Sealed;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Sealed>, Rejection> {
        let (_, key) = ground.key(self.id)?;
        let refused = |why: &str| Err(Rejection::NotPossible("not_revealable", why.to_owned()));
        if !ground.terms.reveal {
            return refused(
                "keys are shown once, when they are made; rotate the key for a new one",
            );
        }
        if key.revoked_at.is_some() {
            return refused("the key is revoked, and its sealed copy is gone");
        }
        let Some(sealed) = key.sealed.clone() else {
            return refused("no sealed copy of the key was kept when it was made; rotate it");
        };
        Ok(Plan { deeds: vec![deed::done("key.reveal", &*key)], ..Plan::nothing(sealed) })
    }
}
