//! A new secret for an integration: a key that may do what the old one may, and for a while both hold.
//!
//! Rotating never gives anything back: what was disabled stays disabled, an end that people chose stays that end, and a
//! key that is over by such an end, or revoked, is not brought to life under another secret. A key that was merely not used
//! for too long, or is older than keys may become, may be rotated: that is the way out.

use std::time::Duration;

use crate::model::{KeyId, SubscriberKey};
use crate::registry::operation::field::Faults;
use crate::registry::operation::keys::is_revoked;
use crate::registry::operation::{Ground, IfMatch, Operation, Plan, Rejection, deed, unless_stale};
use crate::store::Document;
use crate::vault::Fresh;

const OVERLAP_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The new key has all that the old one had; the old one ends after the overlap, or at its own end if that is sooner.
#[derive(Clone, Debug)]
pub struct RotateKey {
    pub id: KeyId,
    pub if_match: IfMatch,
    pub overlap: Duration,
    pub fresh: Fresh,
}

impl Operation for RotateKey {
    type Output = SubscriberKey;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<SubscriberKey>, Rejection> {
        let (revision, before) = ground.key(self.id)?;
        unless_stale(self.if_match, revision)?;
        self.unless_over(&before, ground)?;
        let mut faults = Faults::default();
        if self.overlap > OVERLAP_MAX {
            faults.add("overlap", "must be at most 90d");
        }
        faults.judge()?;
        let fresh = &self.fresh;
        if ground.records.key(fresh.id).is_some() || ground.records.has_digest(&fresh.digest) {
            return Err(Rejection::duplicate("key", &fresh.id));
        }
        let new = SubscriberKey {
            id: fresh.id,
            created_by: ground.actor.username.clone(),
            created_at: ground.now,
            replaces: Some(before.id),
            replaced_by: None,
            overlap_ends: None,
            preview: fresh.preview.clone(),
            digest: fresh.digest,
            hash: fresh.hash.clone(),
            sealed: fresh.sealed.clone(),
            ..SubscriberKey::clone(&before)
        };
        let overlap_ends = ground.now.after(self.overlap);
        let old = SubscriberKey {
            replaced_by: Some(new.id),
            overlap_ends: Some(before.expires_at.map_or(overlap_ends, |end| end.min(overlap_ends))),
            ..SubscriberKey::clone(&before)
        };
        let deeds =
            vec![deed::edited("key.rotate", &*before, &old), deed::created("key.issue", &new)];
        Ok(Plan {
            puts: vec![Document::Key(old), Document::Key(new.clone())],
            removes: Vec::new(),
            deeds,
            output: new,
        })
    }
}

impl RotateKey {
    fn unless_over(&self, key: &SubscriberKey, ground: &Ground<'_>) -> Result<(), Rejection> {
        if key.revoked_at.is_some() {
            return Err(is_revoked(self.id));
        }
        if let Some(successor) = key.replaced_by {
            return Err(Rejection::NotPossible(
                "already_rotated",
                format!("the key `{}` was replaced by `{successor}`; rotate that one", self.id),
            ));
        }
        if key.expires_at.is_some_and(|end| end <= ground.now) {
            return Err(Rejection::NotPossible(
                "key_expired",
                format!(
                    "the key `{}` has expired; give it a later end, or issue a new one",
                    self.id
                ),
            ));
        }
        Ok(())
    }
}
