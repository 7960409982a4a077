//! Documents coming in: one change after another, or all that a store has.

use std::sync::Arc;

use crate::model::{AuditHead, KeyId, PracticeId, Username, VendorId};
use crate::registry::records::{Kept, Records, Touched};
use crate::store::{Change, Document, DocumentId, Position};

impl Records {
    /// Takes over a change, whatever it says.
    pub(in crate::registry) fn apply(&mut self, at: Position, change: &Change) -> Touched {
        let mut touched = Touched::default();
        for id in &change.removes {
            self.remove(id, &mut touched);
        }
        for document in &change.puts {
            self.put(at, document.clone(), &mut touched);
        }
        self.keys.settle();
        self.position = at;
        if let Some(last) = change.audit.last() {
            self.head = AuditHead { seq: last.seq, hash: last.hash };
        }
        touched
    }

    /// One of all the documents that a store has; the last of them is followed by [`Records::complete`].
    pub(in crate::registry) fn gather(&mut self, revision: Position, document: Document) {
        self.put(revision, document, &mut Touched::default());
    }

    pub(in crate::registry) fn forget(&mut self, id: &DocumentId) {
        self.remove(id, &mut Touched::default());
    }

    pub(in crate::registry) fn complete(&mut self, position: Position, head: AuditHead) {
        self.keys.settle();
        (self.position, self.head) = (position, head);
    }

    /// All that a store has, in place of all that was known. Slots and numbers stay what they are.
    pub(in crate::registry) fn reloaded(&self, theirs: &Self) -> Self {
        let mut records = Self {
            keys: self.keys.emptied(),
            vendor_keys: self.vendor_keys.emptied(),
            names: self.names.clone(),
            index: Arc::clone(&self.index),
            ..Self::default()
        };
        for (revision, document) in theirs.documents() {
            records.gather(revision, document);
        }
        records.complete(theirs.position, theirs.head);
        records
    }

    fn put(&mut self, revision: Position, document: Document, touched: &mut Touched) {
        match document {
            Document::Practice(practice) => {
                touched.practices.insert(self.names.practices.number(&practice.id));
                self.practices.insert(practice.id.clone(), kept(revision, practice));
            }
            Document::User(user) => {
                let users = self.users.entry(user.practice.clone()).or_default();
                users.insert(user.username.clone(), kept(revision, user));
            }
            Document::Vendor(vendor) => {
                touched.vendors.insert(self.names.vendors.number(&vendor.id));
                self.vendors.insert(vendor.id.clone(), kept(revision, vendor));
            }
            Document::VendorKey(key) => {
                self.names.vendors.number(&key.vendor);
                let slot = self.vendor_keys.put(kept(revision, key), &self.index);
                touched.vendor_keys.insert(slot);
            }
            Document::Key(key) => {
                let (id, is_revoked) = (key.id, key.revoked_at.is_some());
                let before = self.index.key_by_id(id).and_then(|slot| self.keys.at(slot));
                if is_revoked && before.is_none_or(|before| !before.is_revoked()) {
                    touched.revoked.push(id);
                }
                let slot = self.keys.put(key, revision, &mut self.names, &self.index);
                touched.keys.insert(slot);
            }
            Document::Admin(admin) => {
                self.admins.insert(admin.username.clone(), kept(revision, admin));
            }
            Document::AdminToken(token) => self.tokens.put(kept(revision, token)),
            Document::Session(session) => self.sessions.put(kept(revision, session)),
            Document::DeadToken(token) => {
                touched.dead_tokens.insert(token.id);
                self.dead_tokens.put(kept(revision, token));
            }
        }
    }

    fn remove(&mut self, id: &DocumentId, touched: &mut Touched) {
        let mut parts = id.0.split('/');
        let kind = parts.next().unwrap_or_default();
        let first = parts.next().unwrap_or_default();
        let last = parts.next_back().unwrap_or(first);
        match kind {
            "practice" => {
                if let Ok(id) = PracticeId::parse(first) {
                    touched.practices.insert(self.names.practices.number(&id));
                    self.practices.remove(&id);
                }
            }
            "user" => {
                if let (Ok(practice), Ok(user)) = (PracticeId::parse(first), Username::parse(last))
                {
                    self.users.get_mut(&practice).and_then(|users| users.remove(&user));
                }
            }
            "vendor" => {
                if let Ok(id) = VendorId::parse(first) {
                    touched.vendors.insert(self.names.vendors.number(&id));
                    self.vendors.remove(&id);
                }
            }
            "admin" => {
                self.admins.remove(first);
            }
            _ => {
                if let Ok(key) = KeyId::parse(last) {
                    self.remove_by_key_id(kind, key, touched);
                }
            }
        }
    }

    fn remove_by_key_id(&mut self, kind: &str, id: KeyId, touched: &mut Touched) {
        match kind {
            "key" => {
                if let Some(slot) = self.index.key_by_id(id) {
                    self.keys.take(slot);
                    touched.keys.insert(slot);
                }
            }
            "vendor_key" => touched.vendor_keys.extend(self.vendor_keys.remove(id)),
            "admin_token" => self.tokens.remove(id),
            "session" => self.sessions.remove(id),
            "dead_token" => {
                touched.dead_tokens.insert(id);
                self.dead_tokens.remove(id);
            }
            // Of a later version: nothing that this one knows goes by it.
            _ => {}
        }
    }
}

fn kept<T>(revision: Position, value: T) -> Kept<T> {
    Kept { revision, value: Arc::new(value) }
}
