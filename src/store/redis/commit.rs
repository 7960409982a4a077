//! Writing a change: one script, and then a wait for replicas where it is asked for.

use std::time::Duration;

use redis::{Cmd, Pipeline};

use crate::config::RedisLayout;
use crate::model::AuditHead;
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::line::{COMMAND, Same, Told};
use crate::store::redis::{RedisStore, names, script};
use crate::store::{Change, Committed, Position, Replicas, Safety, StoreError};

/// A change with more than this goes to the feed as a marker: whoever meets it loads everything, which costs less than
/// sending and keeping such a change for every reader.
const FEED_DOCUMENTS: usize = 1_000;
const FEED_BYTES: usize = 512 * 1024;
/// A big change takes longer to send and to write: so much more time for each of these.
const BYTES_A_SECOND: usize = 4 * 1024 * 1024;
/// How long replicas may take. The change is written whatever they do.
const REPLICAS: Duration = Duration::from_millis(500);

pub(super) async fn commit(
    store: &RedisStore,
    after: Position,
    change: &Change,
    safety: Safety,
) -> Result<Committed, StoreError> {
    store.must_write()?;
    let (call, bytes) = call(store, after, change)?;
    let mut question = redis::pipe();
    question.add_command(call);
    let patience = COMMAND + Duration::from_secs((bytes / BYTES_A_SECOND) as u64);
    let mut outcome: Told<(String,)> = store.writes.tell_once(&question, patience).await;
    // It was refused before anything was written, by one that is not the primary: the primary may take it.
    if matches!(&outcome, Told::Sent(trouble) if trouble.kind == Kind::Elsewhere) {
        outcome = store.writes.tell_once(&question, patience).await;
    }
    let (answer, same) = match outcome {
        Told::Answered((answer,), same) => (answer, same),
        Told::Unsent(trouble) => return Err(StoreError::Unavailable(trouble.text)),
        Told::Sent(trouble) if trouble.leaves_doubt() => {
            return Err(StoreError::Unknown(trouble.text));
        }
        Told::Sent(trouble) => return Err(trouble.into()),
    };
    let position = Position(after.0 + 1);
    match answer.as_str() {
        "OK" => {}
        "CONFLICT" => return Err(StoreError::Conflict),
        "LATER" => return Err(StoreError::Corrupt(names_a_later_version())),
        _ => {
            let text = "the audit in Redis does not end where this node says it does";
            return Err(StoreError::Corrupt(text.to_owned()));
        }
    }
    store.trail.note(position, &change.id);
    let replicas = match safety {
        Safety::Usual => None,
        Safety::Replicated => wait_for_replicas(store, &same).await,
    };
    Ok(Committed { position, replicas })
}

pub(super) fn names_a_later_version() -> String {
    "a later version of Postern made what is in Redis: use that version".to_owned()
}

/// The script's call, and about how long it is.
fn call(store: &RedisStore, after: Position, change: &Change) -> Result<(Cmd, usize), StoreError> {
    let position = Position(after.0.saturating_add(1));
    let mut practices = Vec::new();
    for practice in change.audit.iter().filter_map(|entry| entry.deed.practice.as_ref()) {
        if !practices.contains(practice) {
            practices.push(practice.clone());
        }
    }
    let mut keys: Vec<String> =
        [names::META, names::DOCUMENTS, names::FEED, names::AUDIT].map(str::to_owned).into();
    let indexes_from = keys.len() + 1;
    keys.extend(practices.iter().map(names::audit_of));

    let mut feed = String::new();
    if change.puts.len() + change.removes.len() <= FEED_DOCUMENTS {
        feed = written(change)?;
        if feed.len() > FEED_BYTES {
            feed.clear();
        }
    }
    let head = change.audit.last().map(|entry| AuditHead { seq: entry.seq, hash: entry.hash });
    let head = head.map(|head| written(&head)).transpose()?.unwrap_or_default();
    let before = change.audit.first().map_or(0, |entry| entry.seq.saturating_sub(1));
    let known = store.trail.known(after).unwrap_or_default();

    let mut call = script::call(&script::COMMIT, &keys);
    call.arg(names::VERSION).arg(after.0).arg(&*known).arg(position.0).arg(&change.id);
    call.arg(&feed).arg(names::FEED_KEPT).arg(before).arg(&head);
    call.arg(change.puts.len()).arg(change.removes.len()).arg(change.audit.len());
    let mut bytes = feed.len();
    for document in &change.puts {
        let text = format!("{} {}", position.0, written(document)?);
        bytes += text.len();
        call.arg(&document.id().0).arg(text);
    }
    for id in &change.removes {
        call.arg(&id.0);
    }
    for entry in &change.audit {
        let text = written(entry)?;
        bytes += text.len();
        let of = |practice| practices.iter().position(|known| known == practice);
        let index = entry.deed.practice.as_ref().and_then(of);
        call.arg(entry.seq).arg(text).arg(index.map_or(0, |index| indexes_from + index));
    }
    Ok((call, bytes))
}

fn written(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Corrupt(format!("a change cannot be written: {error}")))
}

/// How many replicas there are and have it. The change is kept whatever comes of it: nothing here is an error.
///
/// Redis waits for what was written on the connection that asks, and of a new one says at once that all have everything.
/// So it is asked on the connection of the change; where that is gone, nobody knows of any replica that has it.
pub(super) async fn wait_for_replicas(store: &RedisStore, same: &Same) -> Option<Replicas> {
    let mut info: Pipeline = redis::pipe();
    info.cmd("INFO").arg("replication");
    let counted: Result<(String,), Trouble> = store.writes.ask_same(same, &info).await;
    let connected = match counted {
        Ok((text,)) => connected_replicas(&text),
        Err(trouble) => {
            tracing::warn!(error = trouble.text, "replicas of Redis cannot be counted");
            return if trouble.leaves_doubt() { unconfirmed(store, &info).await } else { None };
        }
    };
    if connected == 0 {
        return None;
    }
    let mut wait = redis::pipe();
    let limit = u64::try_from(REPLICAS.as_millis()).unwrap_or(u64::MAX);
    wait.cmd("WAIT").arg(connected).arg(limit);
    let confirmed = match store.writes.ask_same::<(u32,)>(same, &wait).await {
        Ok((confirmed,)) => confirmed,
        Err(trouble) => {
            tracing::warn!(error = trouble.text, "replicas of Redis did not confirm a change");
            0
        }
    };
    Some(Replicas { connected, confirmed: confirmed.min(connected) })
}

/// After the connection of a change was lost: as many as there are now, and one at least where others may have taken over.
async fn unconfirmed(store: &RedisStore, info: &Pipeline) -> Option<Replicas> {
    let asked: Result<(String,), Trouble> = store.writes.ask(info).await;
    let connected = asked.map_or(1, |(text,)| connected_replicas(&text));
    let is_alone = connected == 0 && *store.door.layout() == RedisLayout::Single;
    (!is_alone).then_some(Replicas { connected: connected.max(1), confirmed: 0 })
}

fn connected_replicas(info: &str) -> u32 {
    let count = info.lines().find_map(|line| line.strip_prefix("connected_slaves:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}
