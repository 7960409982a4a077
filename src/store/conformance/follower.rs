//! A node as far as a store can see it: knows documents, follows the feed, loads again when it is told to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::{Change, Document, DocumentId, News, Position, RegistryStore};

/// What a node knows.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Follower {
    pub(crate) position: Position,
    pub(crate) documents: BTreeMap<DocumentId, Document>,
}

impl Follower {
    pub(crate) async fn load(store: &dyn RegistryStore) -> Self {
        let loaded = store.everything().await.unwrap();
        let documents = loaded.documents.into_iter().map(|(position, document)| {
            assert!(position <= loaded.position, "{} is from the future", document.id());
            (document.id(), document)
        });
        Self { position: loaded.position, documents: documents.collect() }
    }

    pub(crate) fn take(&mut self, position: Position, change: Change) {
        assert_eq!(position.0, self.position.0 + 1, "a gap, or a change told twice");
        self.position = position;
        for id in change.removes {
            self.documents.remove(&id);
        }
        for document in change.puts {
            self.documents.insert(document.id(), document);
        }
    }

    /// Until nothing more comes.
    pub(crate) async fn catch_up(&mut self, store: &dyn RegistryStore) {
        loop {
            match store.news(self.position, Duration::ZERO).await.unwrap() {
                News::Changes(changes) if changes.is_empty() => return,
                News::Changes(changes) => {
                    changes.into_iter().for_each(|(position, change)| self.take(position, change));
                }
                News::Reload => *self = Self::load(store).await,
            }
        }
    }
}
