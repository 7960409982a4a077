//! Everything that a store tells, as lists to compare.

use std::collections::BTreeMap;

use crate::model::{AuditHead, KeyId, Timestamp};
use crate::store::{Document, DocumentId, Intake, Loaded, Position, RegistryStore, StoreError};

#[derive(Debug)]
pub(crate) struct Everything {
    pub(crate) position: Position,
    pub(crate) head: AuditHead,
    pub(crate) vault: Option<String>,
    pub(crate) documents: Vec<(Position, Document)>,
    pub(crate) used: Vec<(KeyId, Timestamp)>,
}

/// Holds what it is told, and a store to the order in which it must be told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    is_begun: bool,
    pub(crate) documents: BTreeMap<DocumentId, (Position, Document)>,
    used: BTreeMap<KeyId, Timestamp>,
}

impl Intake for Told {
    fn restart(&mut self) {
        *self = Self { is_begun: true, ..Self::default() };
    }

    fn put(&mut self, at: Position, document: Document) {
        assert!(self.is_begun && self.used.is_empty(), "{} out of turn", document.id());
        self.documents.insert(document.id(), (at, document));
    }

    fn remove(&mut self, id: &DocumentId) {
        assert!(self.is_begun && self.used.is_empty(), "{id} out of turn");
        self.documents.remove(id);
    }

    fn used(&mut self, key: KeyId, at: Timestamp) {
        assert!(self.is_begun, "{key} out of turn");
        self.used.insert(key, at);
    }
}

impl dyn RegistryStore + '_ {
    pub(crate) async fn everything(&self) -> Result<Everything, StoreError> {
        let mut told = Told::default();
        let Loaded { position, head, vault } = self.load(&mut told).await?;
        assert!(told.is_begun, "nothing was begun");
        let documents = told.documents.into_values().collect();
        let used = told.used.into_iter().collect();
        Ok(Everything { position, head, vault, documents, used })
    }
}
