//! The chain of the audit.
//!
//! Each entry carries `HMAC-SHA-256(chain key, previous hash || canonical form)`, where the chain key is derived from
//! the pepper and the first previous hash is 32 zero bytes. The canonical form of an entry is its JSON as the store has
//! it, without `hash` and without members that are null, the members of every object in the order of their names, no
//! space in between. So it is the same whatever order a store keeps members in, and none of it can be changed, dropped
//! or put in between by whoever has the store and not the pepper.
//!
//! What a chain alone cannot show is that its end was cut off. While a node runs, it knows the last hash and notices.

use crate::model::{Actor, AuditEntry, AuditHead, Deed, KeyDigest, Timestamp};
use crate::vault::Vault;

/// The entries for deeds that were done together, after `head`.
pub(in crate::registry) fn link(
    vault: &Vault,
    head: AuditHead,
    at: Timestamp,
    actor: &Actor,
    deeds: Vec<Deed>,
) -> Vec<AuditEntry> {
    let mut previous = head;
    let mut entries = Vec::with_capacity(deeds.len());
    for deed in deeds {
        let unhashed = KeyDigest([0; 32]);
        let mut entry =
            AuditEntry { seq: previous.seq + 1, at, actor: actor.clone(), deed, hash: unhashed };
        entry.hash = hash(vault, &previous.hash, &entry);
        previous = AuditHead { seq: entry.seq, hash: entry.hash };
        entries.push(entry);
    }
    entries
}

/// Whether an entry is the one after `head`, as it was written.
pub(in crate::registry) fn follows(vault: &Vault, head: &AuditHead, entry: &AuditEntry) -> bool {
    entry.seq == head.seq + 1 && entry.hash == hash(vault, &head.hash, entry)
}

fn hash(vault: &Vault, previous: &KeyDigest, entry: &AuditEntry) -> KeyDigest {
    vault.chain(previous, &canonical(entry))
}

fn canonical(entry: &AuditEntry) -> Vec<u8> {
    // A document made of these types is always JSON.
    let mut value = serde_json::to_value(entry).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("hash");
        members.retain(|_, member| !member.is_null());
    }
    value.sort_all_objects();
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Username;

    fn entries(vault: &Vault) -> Vec<AuditEntry> {
        let actor = Actor { username: Username::parse("root").unwrap(), address: None };
        let deed = |action: &str, after| Deed {
            action: action.into(),
            object: "key/kkkkkkkkkk01".to_owned(),
            practice: None,
            before: None,
            after,
        };
        let after = json!({ "z": 1, "a": { "y": [ { "d": 1, "c": 2 } ], "b": null } });
        let deeds = vec![deed("key.create", Some(after)), deed("key.revoke", None)];
        link(vault, AuditHead::default(), Timestamp::from_micros(7), &actor, deeds)
    }

    #[test]
    fn a_chain_survives_a_store_that_orders_members_its_own_way() {
        let vault = Vault::ephemeral().unwrap();
        let [first, second] = entries(&vault).try_into().unwrap();
        assert!(follows(&vault, &AuditHead::default(), &first));
        let mut other = serde_json::to_value(&first).unwrap();
        other.sort_all_objects();
        let read: AuditEntry = serde_json::from_value(other).unwrap();
        assert!(follows(&vault, &AuditHead::default(), &read));
        let head = AuditHead { seq: 1, hash: first.hash };
        assert!(follows(&vault, &head, &second));
        assert!(!follows(&vault, &AuditHead::default(), &second));
        assert!(!follows(&Vault::ephemeral().unwrap(), &head, &second));
    }

    #[test]
    fn every_part_of_an_entry_is_in_its_hash() {
        let vault = Vault::ephemeral().unwrap();
        let [entry, _] = entries(&vault).try_into().unwrap();
        let changes: [fn(&mut AuditEntry); 6] = [
            |entry| entry.at = Timestamp::from_micros(8),
            |entry| entry.actor.username = Username::parse("other").unwrap(),
            |entry| entry.actor.address = Some([127, 0, 0, 1].into()),
            |entry| entry.deed.object.push('x'),
            |entry| entry.deed.after = Some(json!({ "z": 2 })),
            |entry| entry.deed.before = Some(json!({})),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = entry.clone();
            change(&mut changed);
            assert!(!follows(&vault, &AuditHead::default(), &changed), "{number}");
        }
    }

    #[test]
    fn what_is_null_is_as_if_it_were_not_there() {
        let vault = Vault::ephemeral().unwrap();
        let [mut entry, _] = entries(&vault).try_into().unwrap();
        entry.deed.before = Some(serde_json::Value::Null);
        assert!(follows(&vault, &AuditHead::default(), &entry));
    }
}
