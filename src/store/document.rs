//! What the store keeps: documents, and the changes that put and remove them.
//!
//! # The written form
//!
//! A document is one JSON object, whole: a practice, a member of its staff, a key. Its first field is `kind`, which says
//! how to read the rest; the rest is the model type as serde writes it. Both stores keep this text and nothing else of a
//! document, so a dump of either can be read by people and compared with the other.
//!
//! ```json
//! {"kind":"practice","id":"north","name":"North Clinic","api_access":true,"created_at":"2026-11-20T08:00:00.000000Z"}
//! ```
//!
//! - Times are RFC 3339 in UTC with microseconds; digests, and sealed copies of secrets, are lower-case hexadecimal; hashes
//!   are PHC strings. No secret is in a document in a form that can be turned back without the two files beside the store.
//! - A field that has no value is left out. A reader takes an absent field for its default and passes over fields that it
//!   does not know, so a field can be added without a new version of the form: the nodes of one store are never all
//!   upgraded in the same moment. A field that changes its meaning gets a new name.
//! - Its id ([`DocumentId`]) is `kind/` and what names it within the kind. It is computed from the document, never written
//!   in it, and never changes: a rename would be a remove and a put.
//!
//! A [`Change`] is what one decision did: the documents it put, whole, the ids it removed, and the entries that it adds to
//! the audit. It is the unit of durability, all of it or nothing, and the unit of the feed that other nodes follow.
//! Documents are put whole rather than patched, so taking the same change in twice does no harm.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{
    AdminToken, Administrator, AuditEntry, KeyId, Practice, Session, StaffUser, SubscriberKey,
    Timestamp, Vendor, VendorKey,
};

/// One thing that is kept, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Document {
    Practice(Practice),
    User(StaffUser),
    Vendor(Vendor),
    VendorKey(VendorKey),
    Key(SubscriberKey),
    Admin(Administrator),
    AdminToken(AdminToken),
    Session(Session),
    /// An access token that was given back before its end.
    DeadToken(DeadToken),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadToken {
    pub id: KeyId,
    /// That it was issued to. None in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    pub expires_at: Timestamp,
}

/// `practice/north`, `user/north/dr-lee`, `key/4fJ2…`: what a document is found by. Unique, and stable for its life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(pub String);

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Document {
    pub fn id(&self) -> DocumentId {
        let kind = self.kind();
        DocumentId(match self {
            Self::Practice(practice) => format!("{kind}/{}", practice.id),
            Self::User(user) => format!("{kind}/{}/{}", user.practice, user.username),
            Self::Vendor(vendor) => format!("{kind}/{}", vendor.id),
            Self::VendorKey(key) => format!("{kind}/{}", key.id),
            Self::Key(key) => format!("{kind}/{}", key.id),
            Self::Admin(admin) => format!("{kind}/{}", admin.username),
            Self::AdminToken(token) => format!("{kind}/{}", token.id),
            Self::Session(session) => format!("{kind}/{}", session.id),
            Self::DeadToken(token) => format!("{kind}/{}", token.id),
        })
    }

    /// The first part of its id, and the `kind` of its written form.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Practice(_) => "practice",
            Self::User(_) => "user",
            Self::Vendor(_) => "vendor",
            Self::VendorKey(_) => "vendor_key",
            Self::Key(_) => "key",
            Self::Admin(_) => "admin",
            Self::AdminToken(_) => "admin_token",
            Self::Session(_) => "session",
            Self::DeadToken(_) => "dead_token",
        }
    }

    /// Reads the written form of the document that is kept under `id`.
    ///
    /// serde reads a tagged enum by way of a tree of the whole text. The id already says the kind, so the type itself is
    /// read, which passes over its `kind`: a fifth quicker, for the 100,000 that are read at a start.
    pub fn read(id: &str, text: &[u8]) -> Result<Self, Unreadable> {
        let kind = id.split_once('/').map_or(id, |(kind, _)| kind);
        let read = match kind {
            "practice" => serde_json::from_slice(text).map(Self::Practice),
            "user" => serde_json::from_slice(text).map(Self::User),
            "vendor" => serde_json::from_slice(text).map(Self::Vendor),
            "vendor_key" => serde_json::from_slice(text).map(Self::VendorKey),
            "key" => serde_json::from_slice(text).map(Self::Key),
            "admin" => serde_json::from_slice(text).map(Self::Admin),
            "admin_token" => serde_json::from_slice(text).map(Self::AdminToken),
            "session" => serde_json::from_slice(text).map(Self::Session),
            "dead_token" => serde_json::from_slice(text).map(Self::DeadToken),
            _ => return Err(Unreadable { id: id.to_owned(), fault: "unknown kind".to_owned() }),
        };
        // What serde says of a fault may quote the text, which has digests and hashes in it: only where it is, is told.
        read.map_err(|error| Unreadable {
            id: id.to_owned(),
            fault: format!("not of the written form at column {}", error.column()),
        })
    }
}

/// A document that is not what its id says. Shows nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document {id} cannot be read: {fault}")]
pub struct Unreadable {
    pub id: String,
    pub fault: String,
}

/// What one decision of an administrator did: all of it is kept, or nothing. No document is both put and removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Random: how a node finds out whether a change with an unknown outcome was taken.
    pub id: String,
    pub at: Timestamp,
    pub puts: Vec<Document>,
    pub removes: Vec<DocumentId>,
    pub audit: Vec<AuditEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::samples;

    #[test]
    fn every_kind_is_read_by_its_id_as_serde_would_read_it() {
        for document in samples::one_of_each() {
            let text = serde_json::to_vec(&document).unwrap();
            let id = document.id();
            assert_eq!(Document::read(&id.0, &text), Ok(document.clone()));
            assert_eq!(serde_json::from_slice::<Document>(&text).unwrap(), document);
            assert!(id.0.starts_with(&format!("{}/", document.kind())));
            let tag = serde_json::to_value(&document).unwrap()["kind"].clone();
            assert_eq!(tag, document.kind());
        }
    }

    #[test]
    fn ids_are_what_a_document_is_named_by() {
        let ids: Vec<_> = samples::one_of_each().iter().map(|each| each.id().0).collect();
        assert_eq!(
            ids,
            [
                "practice/north",
                "user/north/dr-lee",
                "vendor/acme",
                "vendor_key/vvvvvvvvvv01",
                "key/kkkkkkkkkk01",
                "admin/root",
                "admin_token/tttttttttt01",
                "session/ssssssssss01",
                "dead_token/dddddddddd01",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_without_its_text() {
        let text = br#"{"kind":"admin_token","digest":"c0ffee"}"#;
        for id in ["admin_token/tttttttttt01", "potion/7", "key", ""] {
            let fault = Document::read(id, text).unwrap_err().to_string();
            assert!(fault.contains(id) && !fault.contains("c0ffee"), "{fault}");
        }
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let text = br#"{"kind":"dead_token","id":"dddddddddd01","expires_at":"2026-11-20T08:00:00Z","why":"x"}"#;
        assert!(Document::read("dead_token/dddddddddd01", text).is_ok());
    }
}
