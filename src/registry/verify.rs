//! The audit's chain, read again from its first entry.

use crate::model::AuditHead;
use crate::registry::{AuditVerdict, Registry, chain};
use crate::store::StoreError;

/// Entries read at once.
const PAGE: usize = 500;

impl Registry {
    /// Checks the whole chain up to the last entry that this node ever saw: a chain that was cut short is broken, also
    /// where the store went back meanwhile and goes on from there.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        let seen = self.state().seen().to_vec();
        let last = seen.iter().map(|head| head.seq).max().unwrap_or_default();
        let mut head = AuditHead::default();
        let broken = |head: AuditHead| {
            Ok(AuditVerdict { ok: false, entries: head.seq, broken_at: Some(head.seq + 1) })
        };
        while head.seq < last {
            let page = self.store.audit_from(head.seq + 1, PAGE).await?;
            if page.is_empty() {
                return broken(head);
            }
            for entry in page {
                if !chain::follows(&self.vault, &head, &entry) {
                    return broken(head);
                }
                let next = AuditHead { seq: entry.seq, hash: entry.hash };
                if seen.iter().any(|seen| seen.seq == next.seq && seen.hash != next.hash) {
                    return broken(head);
                }
                head = next;
            }
        }
        Ok(AuditVerdict { ok: true, entries: head.seq, broken_at: None })
    }
}
