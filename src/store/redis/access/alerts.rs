//! Which alerts somebody has taken note of.

use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::access::Acknowledged;
use crate::store::redis::access::{RedisHistory, names};

/// Those of one round of forgetting.
const SOME: usize = 500;

pub(super) async fn acknowledge(
    store: &RedisHistory,
    alert: Acknowledged,
) -> Result<(), StoreError> {
    store.must_write()?;
    let text = serde_json::to_string(&alert)
        .map_err(|error| StoreError::Corrupt(format!("a note cannot be written: {error}")))?;
    let mut note = redis::pipe();
    note.cmd("HSETNX").arg(names::ACKNOWLEDGED).arg(&*alert.alert).arg(text).ignore();
    Ok(store.talk.ask::<()>(&note).await?)
}

pub(super) async fn acknowledged(
    store: &RedisHistory,
    alerts: &[Box<str>],
) -> Result<Vec<Acknowledged>, StoreError> {
    let mut found = Vec::new();
    for some in alerts.chunks(names::AT_ONCE) {
        let mut question = redis::pipe();
        question.cmd("HMGET").arg(names::ACKNOWLEDGED);
        some.iter().for_each(|alert| {
            question.arg(&**alert);
        });
        let (notes,): (Vec<Option<String>>,) = store.talk.ask(&question).await?;
        for note in notes.into_iter().flatten() {
            found.push(read(&note)?);
        }
    }
    Ok(found)
}

fn read(note: &str) -> Result<Acknowledged, StoreError> {
    let unreadable =
        |_| StoreError::Corrupt(format!("a note in {} cannot be read", names::ACKNOWLEDGED));
    serde_json::from_str(note).map_err(unreadable)
}

/// Forgets what was taken note of before some time, as far as it is found at once.
pub(super) async fn forget_before(store: &RedisHistory, time: Timestamp) -> Result<(), StoreError> {
    let mut question = redis::pipe();
    question.cmd("HRANDFIELD").arg(names::ACKNOWLEDGED).arg(SOME).arg("WITHVALUES");
    let (notes,): (Vec<(String, String)>,) = store.talk.ask(&question).await?;
    let is_old = |note: &str| read(note).is_ok_and(|note| note.at < time);
    let old: Vec<_> = notes.into_iter().filter(|(_, note)| is_old(note)).collect();
    if old.is_empty() {
        return Ok(());
    }
    let mut delete = redis::pipe();
    delete.cmd("HDEL").arg(names::ACKNOWLEDGED);
    old.iter().for_each(|(alert, _)| {
        delete.arg(alert);
    });
    Ok(store.talk.ask::<()>(delete.ignore()).await?)
}
