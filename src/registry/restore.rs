//! A store that lost what it had acknowledged, at a failover or by an old backup, and what memory still knows of it.
//!
//! A revocation that was answered must not be undone by a store that forgot it. So whenever everything is loaded, it
//! is held against what is known:
//!
//! - The store is at a place that this node went through, and nobody has written since: everything after that place is
//!   written again, exactly as it was.
//! - Somebody has written since: what both have is joined to the stricter of the two. A key that is revoked, disabled
//!   or narrower in memory becomes so in the store; a vendor or a practice that was stopped stays stopped; an
//!   administrator, a token or a session that was removed is removed again, and a later password or lesser role holds,
//!   unless no operator would be left. Nothing becomes wider than the store has it. That may stop what somebody had just
//!   allowed again, which people can undo; the other mistake could not be undone.
//!
//! Until all of that is written, memory stays as it is. The entries that the audit lost cannot be written again in
//! their place; the entry for what was restored says that they were.

use std::collections::{HashMap, HashSet};

use ipnet::IpNet;
use serde_json::json;

use crate::model::{
    Actor, Administrator, AuditHead, Deed, KeyId, Permissions, Practice, Role, SubscriberKey,
    Timestamp, Username, Vendor, VendorKey, VendorStatus,
};
use crate::registry::execute::{change_id, safety};
use crate::registry::gathered::Gathered;
use crate::registry::state::State;
use crate::registry::{Records, Registry, RegistryError, chain, load};
use crate::store::{Change, Document, DocumentId, Position, StoreError};

const TRIES: usize = 16;
/// Documents in one change.
const BATCH: usize = 200;

/// How the history that the store has is related to the one that memory knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Kinship {
    /// As far as anybody can tell it goes on from it, and is too long to be told.
    Later,
    /// Its changes do not follow on the ones that are known.
    Another,
}

/// What memory knows and the store does not.
#[derive(Debug, Default, PartialEq)]
pub(in crate::registry) struct Lost {
    pub(in crate::registry) puts: Vec<Document>,
    pub(in crate::registry) removes: Vec<DocumentId>,
}

/// What came of holding all that the store has against memory.
#[derive(Debug)]
pub(in crate::registry) enum Looked {
    /// It is in effect. These keys were revoked by it.
    Taken(Vec<KeyId>),
    /// The feed brought more while it was loaded: older than what is known by now, it would take that back.
    Late,
    Lost(Position, AuditHead, Lost),
}

impl Registry {
    /// Loads everything. Only by who holds the writer's lock: nothing of this node is on its way to the store.
    pub(in crate::registry) async fn reload(&self, news: Kinship) -> Result<(), RegistryError> {
        for _ in 0..TRIES {
            let before = self.read(Records::position);
            let loaded = load(&*self.store, &self.vault).await?;
            let (position, head, lost) = match self.take_unless_lost(before, &loaded, news) {
                Looked::Taken(revoked) => {
                    self.duties.acknowledge(revoked, self.now());
                    return Ok(());
                }
                Looked::Late => continue,
                Looked::Lost(position, head, lost) => (position, head, lost),
            };
            drop(loaded);
            tracing::error!(
                known = before.0,
                store = position.0,
                restored = lost.puts.len(),
                removed_again = lost.removes.len(),
                "the store lost changes that it had acknowledged (a failover, or an old backup): writing back what \
                 this node knows; entries of the audit are gone"
            );
            match self.restore(position, head, lost).await {
                // Loaded once more: then nothing is missing.
                Ok(()) | Err(StoreError::Conflict | StoreError::Unknown(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// One look under one lock: what is compared is what is replaced.
    pub(in crate::registry) fn take_unless_lost(
        &self,
        before: Position,
        loaded: &Gathered,
        news: Kinship,
    ) -> Looked {
        let mut state = self.state_mut();
        if state.records.position() != before {
            return Looked::Late;
        }
        let theirs = &loaded.records;
        let lost = lost(&state, theirs, news);
        if lost.puts.is_empty() && lost.removes.is_empty() {
            Looked::Taken(state.replace(loaded))
        } else {
            Looked::Lost(theirs.position(), theirs.head(), lost)
        }
    }

    async fn restore(
        &self,
        mut position: Position,
        mut head: AuditHead,
        lost: Lost,
    ) -> Result<(), StoreError> {
        let Lost { puts, mut removes } = lost;
        let mut batches: Vec<Vec<Document>> = puts.chunks(BATCH).map(<[_]>::to_vec).collect();
        if batches.is_empty() {
            batches.push(Vec::new());
        }
        for puts in batches {
            let removes = std::mem::take(&mut removes);
            let at = self.now();
            let audit = match deed(&puts, &removes) {
                Some((actor, deed)) => chain::link(&self.vault, head, at, &actor, vec![deed]),
                None => Vec::new(),
            };
            let change = Change { id: change_id()?, at, puts, removes, audit };
            position = self.store.commit(position, &change, safety(&change)).await?.position;
            if let Some(last) = change.audit.last() {
                head = AuditHead { seq: last.seq, hash: last.hash };
            }
        }
        Ok(())
    }
}

fn lost(state: &State, theirs: &Records, news: Kinship) -> Lost {
    if state.went_through(theirs.position(), theirs.head()) {
        return lost_exactly(&state.records, theirs);
    }
    let went_back = theirs.position() < state.records.position();
    let kinship = if went_back { Kinship::Another } else { news };
    let mut lost = lost_strictness(&state.records, theirs, kinship);
    lost.removes = lost_removals(state, theirs);
    leave_an_operator(&mut lost, theirs);
    lost
}

fn deed(puts: &[Document], removes: &[DocumentId]) -> Option<(Actor, Deed)> {
    let restored: Vec<String> = puts.iter().map(|document| document.id().0).collect();
    let removed: Vec<&str> = removes.iter().map(|id| id.0.as_str()).collect();
    let deed = Deed {
        action: "store.restore".into(),
        object: "store".to_owned(),
        practice: None,
        before: None,
        after: Some(json!({ "restored": restored, "removed_again": removed })),
    };
    Some((Actor { username: Username::parse("postern").ok()?, address: None }, deed))
}

/// All that was done after the place where the store is.
fn lost_exactly(records: &Records, theirs: &Records) -> Lost {
    let puts = records
        .documents()
        .filter(|(revision, _)| *revision > theirs.position())
        .map(|(_, document)| document)
        .collect();
    if records.position() <= theirs.position() {
        return Lost { puts, removes: Vec::new() };
    }
    let unknown =
        theirs.documents().filter(|(_, document)| records.counterpart(document).is_none());
    Lost { puts, removes: unknown.map(|(_, document)| document.id()).collect() }
}

/// The stricter of both, where the store's version may have come about without knowing memory's: everywhere in another
/// history; else where memory's is the later one, and for what was revoked, which nothing takes back.
fn lost_strictness(records: &Records, theirs: &Records, kinship: Kinship) -> Lost {
    let mut puts = Vec::new();
    for (revision, ours) in records.documents() {
        match theirs.counterpart(&ours) {
            Some((of_theirs, theirs)) => {
                let may_be_unknown_to_them =
                    kinship == Kinship::Another || revision > of_theirs || is_revoked(&ours);
                let joined = joined(&ours, &theirs).filter(|joined| *joined != theirs);
                puts.extend(joined.filter(|_| may_be_unknown_to_them));
            }
            None if revision > theirs.position() && is_for_good(&ours) => puts.push(ours),
            None => {}
        }
    }
    Lost { puts, removes: Vec::new() }
}

/// Who or what could act as an administrator, and was removed here. Ids of tokens and sessions are never used again;
/// names are, so of administrators it is only whoever was there when the name was removed.
fn lost_removals(state: &State, theirs: &Records) -> Vec<DocumentId> {
    let removed: HashMap<&DocumentId, Timestamp> = state.removed().collect();
    let is_lost = |document: &Document| {
        let Some(at) = removed.get(&document.id()) else { return false };
        let is_known = || state.records.counterpart(document).is_some();
        match document {
            Document::AdminToken(_) | Document::Session(_) => !is_known(),
            Document::Admin(admin) => admin.created_at <= *at && !is_known(),
            _ => false,
        }
    };
    let documents = theirs.documents().map(|(_, document)| document);
    documents.filter(is_lost).map(|document| document.id()).collect()
}

/// Where nobody could manage the registry any more, administrators stay as the store has them.
fn leave_an_operator(lost: &mut Lost, theirs: &Records) {
    let is_admin = |document: &Document| matches!(document, Document::Admin(_));
    let is_operator = |document: &Document| match document {
        Document::Admin(admin) => admin.role == Role::Operator,
        _ => false,
    };
    let stays = |document: &Document| {
        let id = document.id();
        !lost.removes.contains(&id) && !lost.puts.iter().any(|put| is_admin(put) && put.id() == id)
    };
    let admins: Vec<Document> = theirs
        .admins(None)
        .map(|kept| Document::Admin(Administrator::clone(&kept.value)))
        .collect();
    if lost.puts.iter().any(is_operator)
        || admins.iter().any(|admin| is_operator(admin) && stays(admin))
    {
        return;
    }
    let admins: HashSet<DocumentId> = admins.iter().map(Document::id).collect();
    lost.removes.retain(|id| !admins.contains(id));
    lost.puts.retain(|document| !is_admin(document));
}

fn is_revoked(document: &Document) -> bool {
    match document {
        Document::Key(key) => key.revoked_at.is_some(),
        Document::VendorKey(key) => key.revoked_at.is_some(),
        _ => false,
    }
}

/// What nobody can delete: where it is missing, it was lost.
fn is_for_good(document: &Document) -> bool {
    match document {
        Document::Practice(_)
        | Document::Vendor(_)
        | Document::VendorKey(_)
        | Document::Key(_)
        | Document::DeadToken(_) => true,
        Document::User(_) | Document::Admin(_) | Document::AdminToken(_) | Document::Session(_) => {
            false
        }
    }
}

/// The stricter of the same document in two histories; None where it is theirs.
pub(in crate::registry) fn joined(ours: &Document, theirs: &Document) -> Option<Document> {
    match (ours, theirs) {
        (Document::Key(ours), Document::Key(theirs)) => {
            Some(Document::Key(stricter_key(ours, theirs)))
        }
        (Document::VendorKey(ours), Document::VendorKey(theirs)) => {
            let revoked_at = theirs.revoked_at.or(ours.revoked_at);
            Some(Document::VendorKey(VendorKey { revoked_at, ..theirs.clone() }))
        }
        (Document::Vendor(ours), Document::Vendor(theirs)) => Some(Document::Vendor(Vendor {
            status: if ours.status == VendorStatus::Approved { theirs.status } else { ours.status },
            agreement_expires: earlier(ours.agreement_expires, theirs.agreement_expires),
            ..theirs.clone()
        })),
        (Document::Practice(ours), Document::Practice(theirs)) => {
            let api_access = ours.api_access && theirs.api_access;
            Some(Document::Practice(Practice { api_access, ..theirs.clone() }))
        }
        (Document::Admin(ours), Document::Admin(theirs)) => stricter_admin(ours, theirs),
        _ => None,
    }
}

fn stricter_key(ours: &SubscriberKey, theirs: &SubscriberKey) -> SubscriberKey {
    let of_ours = |name: &str| ours.permissions.0.get(name).copied().unwrap_or_default();
    let both = theirs.permissions.iter().map(|(name, access)| (name, access.both(of_ours(name))));
    let permissions = if ours.permissions == theirs.permissions {
        theirs.permissions.clone()
    } else {
        Permissions::from_iter(both)
    };
    let addresses = both_addresses(&ours.allowed_ips, &theirs.allowed_ips);
    let revoked_at = theirs.revoked_at.or(ours.revoked_at);
    SubscriberKey {
        permissions,
        // It may be used from nowhere: a list that says so would say anywhere.
        enabled: ours.enabled && theirs.enabled && addresses.is_some(),
        allowed_ips: addresses.unwrap_or_else(|| theirs.allowed_ips.clone()),
        vendor: theirs.vendor.clone().or_else(|| ours.vendor.clone()),
        revoked_at,
        sealed: theirs.sealed.clone().filter(|_| revoked_at.is_none()),
        expires_at: earlier(ours.expires_at, theirs.expires_at),
        overlap_ends: earlier(ours.overlap_ends, theirs.overlap_ends),
        replaced_by: theirs.replaced_by.or(ours.replaced_by),
        ..theirs.clone()
    }
}

/// From where both allow it; None where that is nowhere. An empty list allows it from anywhere.
fn both_addresses(ours: &[IpNet], theirs: &[IpNet]) -> Option<Box<[IpNet]>> {
    if ours.is_empty() || ours == theirs {
        return Some(theirs.into());
    }
    if theirs.is_empty() {
        return Some(ours.into());
    }
    let mut both = Vec::new();
    for one in theirs {
        for other in ours {
            if other.contains(one) {
                both.push(*one);
            } else if one.contains(other) {
                both.push(*other);
            }
        }
    }
    both.sort_unstable();
    both.dedup();
    (!both.is_empty()).then(|| both.into())
}

/// The lesser role and the later password. Each change of either counts the epoch up; where both histories counted as far,
/// the role that is less was changed by the one that has it, and so the other changed the password.
fn stricter_admin(ours: &Administrator, theirs: &Administrator) -> Option<Document> {
    let role = if theirs.role == Role::Operator { &ours.role } else { &theirs.role };
    if ours.epoch > theirs.epoch {
        return Some(Document::Admin(Administrator { role: role.clone(), ..ours.clone() }));
    }
    // Another of the same name is nobody's heir.
    if ours.created_at != theirs.created_at {
        return None;
    }
    let is_lesser_theirs = ours.role == Role::Operator && theirs.role != Role::Operator;
    let password = if is_lesser_theirs && ours.epoch == theirs.epoch {
        &ours.password
    } else {
        &theirs.password
    };
    if *role == theirs.role && *password == theirs.password {
        return None;
    }
    Some(Document::Admin(Administrator {
        role: role.clone(),
        password: password.clone(),
        epoch: theirs.epoch.saturating_add(1),
        ..theirs.clone()
    }))
}

fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    [one, other].into_iter().flatten().min()
}
