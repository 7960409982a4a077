//! Limits in a gateway that serves: what a start must know of the day so far, and what is given back while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::StoreAddress;
use crate::history::{History, calendar};
use crate::limits::Limiter;
use crate::limits::limiter::Clock;
use crate::model::{AccessRecord, Decision, KeyId, Timestamp};
use crate::proxy::{LimitsOfNode, Setup};
use crate::registry::Registry;
use crate::store::access::{ActivityQuery, Step, Whose};
use crate::store::limits::Used;
use crate::store::{self, StoreError};

mod look;

pub(super) use look::begin as begin_looking;

/// For records of an earlier start to reach the store, before the day's quotas are taken from it.
const CATCH_UP: Duration = Duration::from_secs(5);
/// So many keys, or records, are asked for at once.
const AT_ONCE: usize = 1000;
const TIDYING: Duration = Duration::from_secs(60);

/// What one worker gets.
pub(super) fn of_node(
    limiter: &Arc<Limiter>,
    address: &StoreAddress,
) -> anyhow::Result<LimitsOfNode> {
    Ok(LimitsOfNode { limiter: Arc::clone(limiter), shared: store::limits::open(address)? })
}

/// Whether quotas are counted here alone.
pub(super) fn needs_recalling(setup: &Setup) -> bool {
    let limits = setup.limits.limits();
    let has_quota = limits.daily_requests.is_some() || limits.daily_bytes.is_some();
    has_quota && matches!(setup.config.store, StoreAddress::Embedded(_))
}

/// Whether a quota is new that the day began without.
pub(super) fn is_new(before: &Setup, setup: &Setup) -> bool {
    let (before, now) = (before.limits.limits(), setup.limits.limits());
    let requests = before.daily_requests.is_none() && now.daily_requests.is_some();
    let bytes = before.daily_bytes.is_none() && now.daily_bytes.is_some();
    (requests || bytes) && needs_recalling(setup)
}

/// Quotas are of a whole day, also where the gateway was restarted in it: what was used before is what the records of
/// today say was passed on. Refusals and what the gateway answered itself took nothing. Where nodes share a store it
/// counts by itself.
async fn recall(
    limiter: &Limiter,
    history: &History,
    registry: &Registry,
) -> Result<(), StoreError> {
    let keys: Vec<KeyId> =
        registry.read(|records| records.all_keys().map(|key| key.value.id).collect());
    let (view, now) = (registry.view(), registry.now());
    let from = calendar::start(now, Step::Day);
    let to = calendar::moved(from, calendar::length(Step::Day));
    for keys in keys.chunks(AT_ONCE) {
        let whose: Vec<Whose> = keys.iter().map(|key| Whose::Key(key.as_str().into())).collect();
        let tallies = history.store.totals(&whose, from, to).await?;
        let were_busy = keys.iter().zip(whose).zip(tallies);
        let were_busy = were_busy.filter(|(_, tally)| tally.requests > tally.denied);
        for ((key, whose), _) in were_busy {
            let Some(counted) = view.counted_by_id(*key) else { continue };
            let used = used(history, whose, from, to).await?;
            limiter.used_before(counted.key, Clock::at(now).day, used.requests, used.bytes);
        }
    }
    Ok(())
}

/// What a key's records of a day say it took.
async fn used(
    history: &History,
    whose: Whose,
    from: Timestamp,
    to: Timestamp,
) -> Result<Used, StoreError> {
    let mut query = ActivityQuery::of(whose, AT_ONCE);
    (query.from, query.to) = (Some(from), Some(to));
    let mut used = Used::default();
    let count = |record: &AccessRecord<'_>| {
        let AccessRecord { opening, outcome, .. } = record;
        // Routes have an API; what the gateway answers itself has none.
        if outcome.decision != Decision::Deny && !opening.api.is_empty() {
            used.requests += u64::from(outcome.count);
            used.bytes = used.bytes.saturating_add(outcome.bytes_in + outcome.bytes_out);
        }
    };
    history.each(query, count).await?;
    Ok(used)
}

/// The same before anybody is served, when records of an earlier start may still be on their way into the store.
pub(super) async fn recall_at_start(
    limiter: &Arc<Limiter>,
    history: &Arc<History>,
    registry: &Arc<Registry>,
    setup: &Setup,
) {
    if !needs_recalling(setup) {
        return;
    }
    let backlog = history.journal.figures().waiting;
    let in_time = caught_up(history, backlog, CATCH_UP).await;
    recall_or_say(limiter, history, registry).await;
    if !in_time {
        let waiting = history.journal.figures().waiting;
        tracing::warn!(
            waiting,
            "the daily quotas lack what these records say until the store has them"
        );
        let (limiter, history) = (Arc::clone(limiter), Arc::clone(history));
        let registry = Arc::clone(registry);
        tokio::task::spawn_local(async move {
            while !caught_up(&history, backlog, CATCH_UP).await {}
            recall_or_say(&limiter, &history, &registry).await;
        });
    }
}

pub(super) async fn recall_or_say(limiter: &Limiter, history: &History, registry: &Registry) {
    if let Err(error) = recall(limiter, history, registry).await {
        tracing::error!(%error, "the daily quotas begin anew: what was used today is not known");
    }
}

/// Whether the records that an earlier start left in the journal reached the store within a time.
async fn caught_up(history: &History, backlog: u64, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let (figures, shipping) = history.status();
        if figures.waiting == 0 || shipping.shipped >= backlog {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Gives back what idle keys take up; endless.
pub(super) async fn tidy(limiter: Arc<Limiter>, registry: Arc<Registry>) {
    loop {
        sleep(TIDYING).await;
        limiter.tidy(registry.now());
    }
}
