//! Loading everything, as of one moment.
//!
//! One transaction reads all of it, on the clerk's thread, and hands it over a piece at a time to the task that asked. So
//! a few pieces are all that is in memory of what is read, and what is made of it lies apart from what it was made of:
//! each thread allocates for itself.

use std::pin::pin;

use rusqlite::{Connection, Transaction};
use tokio::sync::mpsc::{Sender, channel};

use crate::model::{AuditHead, KeyId, Timestamp};
use crate::store::embedded::changes::{number, position};
use crate::store::embedded::fault::Fault;
use crate::store::embedded::{EmbeddedStore, LONG, nodes};
use crate::store::{Document, Intake, Loaded, Position, StoreError};

/// Documents, or uses, in one piece: a quarter of a mebibyte.
const PIECE: usize = 256;
/// Pieces that wait to be taken, so that reading and taking need not wait for each other.
const WAITING: usize = 2;

enum Piece {
    Documents(Vec<(Position, Document)>),
    Uses(Vec<(KeyId, Timestamp)>),
}

impl Piece {
    fn tell(self, intake: &mut dyn Intake) {
        match self {
            Self::Documents(documents) => {
                documents.into_iter().for_each(|(at, document)| intake.put(at, document));
            }
            Self::Uses(uses) => uses.into_iter().for_each(|(key, at)| intake.used(key, at)),
        }
    }
}

pub(super) async fn load(
    store: &EmbeddedStore,
    intake: &mut dyn Intake,
) -> Result<Loaded, StoreError> {
    intake.restart();
    let (sender, mut pieces) = channel(WAITING);
    let mut reading = pin!(store.read(LONG, move |store| read(store, &sender)));
    let loaded = loop {
        tokio::select! {
            Some(piece) = pieces.recv() => piece.tell(intake),
            // Where it failed the sender may live on, behind a disk that hangs: nothing of it is waited for.
            loaded = &mut reading => break loaded?,
        }
    };
    while let Some(piece) = pieces.recv().await {
        piece.tell(intake);
    }
    Ok(loaded)
}

fn read(connection: &mut Connection, pieces: &Sender<Piece>) -> Result<Loaded, Fault> {
    let transaction = connection.transaction()?;
    let (head, vault) = transaction.query_row("SELECT head, vault FROM meta", [], |row| {
        Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?))
    })?;
    let head = match head {
        None => AuditHead::default(),
        Some(text) => serde_json::from_str(&text)
            .map_err(|_unreadable| Fault::damaged("the head of the audit"))?,
    };
    let position = position(&transaction)?;
    read_documents(&transaction, pieces)?;
    read_uses(&transaction, pieces)?;
    Ok(Loaded { position, head, vault })
}

fn read_documents(transaction: &Transaction<'_>, pieces: &Sender<Piece>) -> Result<(), Fault> {
    let mut piece = Vec::with_capacity(PIECE);
    let mut statement = transaction.prepare_cached("SELECT id, position, body FROM documents")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // The text is read where SQLite has it: a copy of each would be the most of the work.
        let id = row.get_ref(0)?.as_str().map_err(|_type| Fault::damaged("an id"))?;
        let body = row.get_ref(2)?.as_bytes().map_err(|_type| Fault::damaged(id))?;
        let position = Position(number(row.get(1)?, id)?);
        piece.push((position, Document::read(id, body)?));
        if piece.len() == PIECE {
            hand_over(pieces, Piece::Documents(std::mem::take(&mut piece)))?;
            piece.reserve(PIECE);
        }
    }
    hand_over(pieces, Piece::Documents(piece))
}

fn read_uses(transaction: &Transaction<'_>, pieces: &Sender<Piece>) -> Result<(), Fault> {
    let mut piece = Vec::with_capacity(PIECE);
    nodes::each_use(transaction, |key, at| {
        piece.push((key, at));
        if piece.len() == PIECE {
            hand_over(pieces, Piece::Uses(std::mem::take(&mut piece)))?;
            piece.reserve(PIECE);
        }
        Ok(())
    })?;
    hand_over(pieces, Piece::Uses(piece))
}

fn hand_over(pieces: &Sender<Piece>, piece: Piece) -> Result<(), Fault> {
    let unheard = |_gone| StoreError::Unavailable("nobody waits for it any more".to_owned()).into();
    pieces.blocking_send(piece).map_err(unheard)
}
