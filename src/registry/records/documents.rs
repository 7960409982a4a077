//! Documents going out as they came in: all of them, or the one of an id.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::registry::records::{Kept, Records};
use crate::store::{Document, Position};

impl Records {
    /// Everything, each with its revision.
    pub(in crate::registry) fn documents(&self) -> impl Iterator<Item = (Position, Document)> {
        fn each<'a, T: Clone + 'a>(
            kept: impl Iterator<Item = &'a Kept<T>>,
            document: fn(T) -> Document,
        ) -> impl Iterator<Item = (Position, Document)> {
            kept.map(move |kept| (kept.revision, document(T::clone(&kept.value))))
        }
        let keys = self.keys.all().filter_map(|(slot, _)| self.keys.kept(slot, &self.names));
        each(self.practices.values(), Document::Practice)
            .chain(each(self.users.values().flat_map(BTreeMap::values), Document::User))
            .chain(each(self.vendors.values(), Document::Vendor))
            .chain(each(self.vendor_keys.all(), Document::VendorKey))
            .chain(keys.map(|key| (key.revision, Document::Key(Arc::unwrap_or_clone(key.value)))))
            .chain(each(self.admins.values(), Document::Admin))
            .chain(each(self.tokens.all(), Document::AdminToken))
            .chain(each(self.sessions.all(), Document::Session))
            .chain(each(self.dead_tokens.all(), Document::DeadToken))
    }

    /// What is known under the id of that document.
    pub(in crate::registry) fn counterpart(
        &self,
        document: &Document,
    ) -> Option<(Position, Document)> {
        fn out<T: Clone>(kept: &Kept<T>, document: fn(T) -> Document) -> (Position, Document) {
            (kept.revision, document(T::clone(&kept.value)))
        }
        Some(match document {
            Document::Practice(practice) => out(self.practice(&practice.id)?, Document::Practice),
            Document::User(user) => out(self.user(&user.practice, &user.username)?, Document::User),
            Document::Vendor(vendor) => out(self.vendor(&vendor.id)?, Document::Vendor),
            Document::VendorKey(key) => out(self.vendor_key(key.id)?, Document::VendorKey),
            Document::Key(key) => out(&self.key(key.id)?, Document::Key),
            Document::Admin(admin) => out(self.admin(&admin.username)?, Document::Admin),
            Document::AdminToken(token) => out(self.tokens.get(token.id)?, Document::AdminToken),
            Document::Session(session) => out(self.sessions.get(session.id)?, Document::Session),
            Document::DeadToken(token) => out(self.dead_token(token.id)?, Document::DeadToken),
        })
    }
}
