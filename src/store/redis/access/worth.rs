//! What an acknowledgement is worth: how many replicas have what was taken.
//!
//! Records are taken once the primary has them. Journals keep what was shipped for a while, so a failover to a replica that
//! lacks the tail is repaired from them, and nothing waits long for replicas here: it is only said how many have it.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::store::redis::access::RedisHistory;
use crate::store::redis::fault::Trouble;

/// How long replicas may take.
const REPLICAS: Duration = Duration::from_millis(20);
/// How often they are counted.
const COUNTED_FOR: Duration = Duration::from_secs(10);

/// How many replicas there are, as of when.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<Option<(Instant, u32)>>);

/// On the line that records were written on: Redis waits for what this connection wrote. Nothing here is an error.
pub(super) async fn say(store: &RedisHistory) {
    match confirmed(store).await {
        Ok(None) => {}
        Ok(Some((connected, confirmed))) if confirmed >= connected => {
            tracing::debug!(connected, confirmed, "replicas of Redis have the records");
        }
        Ok(Some((connected, confirmed))) => {
            tracing::debug!(connected, confirmed, "not all replicas of Redis have the records yet");
        }
        Err(trouble) => tracing::debug!(error = trouble.text, "replicas of Redis were not asked"),
    }
}

async fn confirmed(store: &RedisHistory) -> Result<Option<(u32, u32)>, Trouble> {
    let known = store.copies.0.lock().ok().and_then(|known| *known);
    let connected = match known {
        Some((at, connected)) if at.elapsed() < COUNTED_FOR => connected,
        _ => {
            let connected = connected(store).await?;
            if let Ok(mut known) = store.copies.0.lock() {
                *known = Some((Instant::now(), connected));
            }
            connected
        }
    };
    if connected == 0 {
        return Ok(None);
    }
    let mut wait = redis::pipe();
    wait.cmd("WAIT").arg(connected).arg(u64::try_from(REPLICAS.as_millis()).unwrap_or(u64::MAX));
    let (confirmed,): (u32,) = store.writes.ask(&wait).await?;
    Ok(Some((connected, confirmed)))
}

async fn connected(store: &RedisHistory) -> Result<u32, Trouble> {
    let mut info = redis::pipe();
    info.cmd("INFO").arg("replication");
    let (text,): (String,) = store.talk.ask(&info).await?;
    let count = text.lines().find_map(|line| line.strip_prefix("connected_slaves:"));
    Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
}
