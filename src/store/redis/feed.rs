//! Following the feed: what came after a position, and whether it still is the same history.

use std::sync::Mutex;
use std::time::Duration;

use redis::streams::{StreamId, StreamRangeReply};
use redis::{Pipeline, from_redis_value};
use tokio::time::{Instant, sleep, timeout};

use crate::config::RedisLayout;
use crate::store::redis::door::{self, Connected};
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::line::{self, COMMAND};
use crate::store::redis::{RedisStore, names};
use crate::store::{Change, News, Position, StoreError};

/// Changes in one answer.
const AT_ONCE: usize = 128;
/// How long Redis may keep a waiting reader in one go: a store out of reach is noticed soon after.
const ONE_WAIT: Duration = Duration::from_secs(1);
/// How often the Sentinels are asked whether the primary still is the one: a primary that was cut off from them does not
/// know that it is none any more, and would go on answering.
const SENTINELS: Duration = Duration::from_secs(3);

/// A connection on which nothing but waiting is done, kept between two waits.
#[derive(Default)]
pub(super) struct Waiting {
    spare: Mutex<Option<Connected>>,
    sentinels_asked: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting(…)")
    }
}

impl Waiting {
    pub(super) fn hang_up(&self) {
        if let Ok(mut spare) = self.spare.lock() {
            *spare = None;
        }
    }
}

/// An entry of the feed. None: a marker in the place of a change that is too big.
pub(super) struct Told {
    pub(super) at: Position,
    pub(super) id: String,
    pub(super) change: Option<Change>,
}

pub(super) async fn news(
    store: &RedisStore,
    after: Position,
    patience: Duration,
) -> Result<News, StoreError> {
    let until = Instant::now() + patience;
    loop {
        let news = look(store, after).await?;
        let nothing = matches!(&news, News::Changes(changes) if changes.is_empty());
        let left = until.saturating_duration_since(Instant::now());
        // Redis waits for ever when it is told to wait for 0 ms.
        if !nothing || left < Duration::from_millis(1) {
            return Ok(news);
        }
        let (waited, ()) =
            tokio::join!(wait(store, after, left.min(ONE_WAIT)), mind_the_sentinels(store));
        waited?;
    }
}

/// What came after a position, without waiting.
async fn look(store: &RedisStore, after: Position) -> Result<News, StoreError> {
    let mut question = redis::pipe();
    question.cmd("HGET").arg(names::META).arg("position");
    // From the entry of that position itself: it tells whether this is the history that the node knows.
    ask_for_entries(&mut question, after, AT_ONCE + 1);
    let (position, entries): (Option<u64>, StreamRangeReply) = store.talk.ask(&question).await?;
    let position = Position(position.unwrap_or(0));
    if position < after {
        return Ok(News::Reload);
    }
    let Some(entries) = follow(entries, after, store.trail.known(after).as_deref())? else {
        return Ok(News::Reload);
    };
    if entries.len() < AT_ONCE && entries.last().map_or(after, |last| last.at) < position {
        return Ok(News::Reload);
    }
    let mut changes = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(change) = entry.change else { return Ok(News::Reload) };
        changes.push((entry.at, change));
    }
    for (at, change) in &changes {
        store.trail.note(*at, &change.id);
    }
    Ok(News::Changes(changes))
}

pub(super) fn ask_for_entries(question: &mut Pipeline, from: Position, how_many: usize) {
    question.cmd("XRANGE").arg(names::FEED).arg(format!("{}-0", from.0)).arg("+");
    question.arg("COUNT").arg(how_many);
}

/// The entries after a position, where they follow it without a gap, in the history in which `known` is the change that
/// led to it.
pub(super) fn follow(
    entries: StreamRangeReply,
    after: Position,
    known: Option<&str>,
) -> Result<Option<Vec<Told>>, StoreError> {
    let mut entries = entries.ids.into_iter();
    if after != Position(0) {
        let same = entries.next().is_some_and(|first| {
            position(&first.id) == Some(after)
                && known.is_none_or(|known| field(&first, "id").as_deref() == Some(known))
        });
        if !same {
            return Ok(None);
        }
    }
    let mut told = Vec::with_capacity(entries.len());
    for (entry, expected) in entries.zip(after.0 + 1..) {
        let at = Position(expected);
        if position(&entry.id) != Some(at) {
            return Ok(None);
        }
        told.push(read(&entry, at)?);
    }
    Ok(Some(told))
}

fn position(id: &str) -> Option<Position> {
    id.strip_suffix("-0")?.parse().ok().map(Position)
}

fn field(entry: &StreamId, name: &str) -> Option<String> {
    from_redis_value(entry.map.get(name)?.clone()).ok()
}

fn read(entry: &StreamId, at: Position) -> Result<Told, StoreError> {
    let broken =
        |what: &str| StoreError::Corrupt(format!("the entry {} of {} {what}", at.0, names::FEED));
    let id = field(entry, "id").ok_or_else(|| broken("has no id"))?;
    let text = field(entry, "change").ok_or_else(|| broken("has no change"))?;
    let change = if text.is_empty() {
        None
    } else {
        // What serde says may quote the text: only where it is, is told.
        let unreadable = |error: serde_json::Error| {
            broken(&format!("cannot be read from column {} on", error.column()))
        };
        Some(serde_json::from_str(&text).map_err(unreadable)?)
    };
    Ok(Told { at, id, change })
}

/// Until something follows `after`, or `limit` is over. A call that is dropped takes its connection with it.
async fn wait(store: &RedisStore, after: Position, limit: Duration) -> Result<(), Trouble> {
    let spare = store.waiting.spare.lock().ok().and_then(|mut spare| spare.take());
    let mut connected = match spare {
        Some(connected) => connected,
        None => store.door.connect().await?,
    };
    let mut question = redis::pipe();
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    question.cmd("XREAD").arg("COUNT").arg(1).arg("BLOCK").arg(millis);
    question.arg("STREAMS").arg(names::FEED).arg(format!("{}-0", after.0)).ignore();
    let server = door::name(&connected.server);
    let answer = question.query_async::<()>(&mut connected.connection);
    match timeout(limit + COMMAND, answer).await {
        Ok(Ok(())) => {
            if let Ok(mut spare) = store.waiting.spare.lock() {
                *spare = Some(connected);
            }
            Ok(())
        }
        // What broke here may only be this connection; whether Redis is there is found by the next look.
        Ok(Err(error)) => match Trouble::of(&error, &server) {
            trouble if matches!(trouble.kind, Kind::Broken | Kind::Elsewhere) => {
                sleep(line::pause(1)).await;
                Ok(())
            }
            trouble => Err(trouble),
        },
        Err(_) => {
            let text = format!("Redis at {server}: no answer within {:?}", limit + COMMAND);
            Err(Trouble::new(Kind::Silent, text))
        }
    }
}

async fn mind_the_sentinels(store: &RedisStore) {
    if !matches!(store.door.layout(), RedisLayout::Sentinel(_)) {
        return;
    }
    let due = store.waiting.sentinels_asked.lock().is_ok_and(|mut asked| {
        let due = asked.is_none_or(|at| at.elapsed() >= SENTINELS);
        if due {
            *asked = Some(Instant::now());
        }
        due
    });
    if !due {
        return;
    }
    let Some(named) = store.door.named_by_sentinels().await else { return };
    let Ok(connected) = store.talk.far_end().await else { return };
    if connected.server != named {
        tracing::warn!(
            from = door::name(&connected.server),
            to = door::name(&named),
            "the Sentinels name another primary"
        );
        store.hang_up().await;
    }
}
