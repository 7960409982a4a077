//! What alerts are computed from, out of the store: for all keys at once where that tells enough, and key by key only for
//! those that were used. What does not wait for another answer is asked side by side: a page of alerts takes as long as the
//! slowest of some answers, not as long as all of them.

use std::future::poll_fn;
use std::task::Poll;

use crate::history::alerts::{self, Evidence, Series};
use crate::history::calendar;
use crate::model::{KeyId, Tally, Timestamp};
use crate::store::access::{AccessStore, Span, Step, Whose};
use crate::store::{StoreError, Task};

/// Fewer requests than one an hour in three weeks cannot have been a habit of every hour.
const COULD_BE_HOURLY: u64 = 3 * 7 * 24;
/// So many keys are asked about at once. More would stand in the way of what gateways ship.
const KEYS_AT_ONCE: usize = 4;

/// One for each key, in their order.
pub async fn evidence(
    store: &dyn AccessStore,
    keys: &[KeyId],
    now: Timestamp,
) -> Result<Vec<Evidence>, StoreError> {
    let whose: Vec<Whose> = keys.iter().map(|key| Whose::Key(key.as_str().into())).collect();
    let (from, to) = alerts::days(now);
    let all = store.totals(&whose, from, to).await?;
    let recent = store.totals(&whose, alerts::yesterday(now), to).await?;
    let sums: Vec<_> = whose.iter().zip(&all).zip(&recent).collect();
    let mut found = Vec::with_capacity(keys.len());
    for some in sums.chunks(KEYS_AT_ONCE) {
        let tasks = some.iter().map(|((whose, all), recent)| {
            let task: Task<'_, Evidence> = Box::pin(of_key(store, whose, all, recent, now));
            task
        });
        found.extend(side_by_side(tasks.collect()).await?);
    }
    Ok(found)
}

/// All of their answers, in their order, or the first failure.
async fn side_by_side<T>(mut tasks: Vec<Task<'_, T>>) -> Result<Vec<T>, StoreError> {
    let mut answers: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_waiting = false;
        for (task, answer) in tasks.iter_mut().zip(&mut answers).filter(|(_, one)| one.is_none()) {
            match task.as_mut().poll(context) {
                Poll::Ready(Ok(found)) => *answer = Some(found),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => is_waiting = true,
            }
        }
        if is_waiting { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn of_key(
    store: &dyn AccessStore,
    whose: &Whose,
    all: &Tally,
    recent: &Tally,
    now: Timestamp,
) -> Result<Evidence, StoreError> {
    if all.requests == 0 {
        return Ok(Evidence::default());
    }
    let (from, to) = alerts::days(now);
    let days = store.usage(whose, from, to, Step::Day);
    let is_hourly = recent.requests > 0 || all.requests >= COULD_BE_HOURLY;
    let windows = alerts::hours(now).into_iter().filter(|_| is_hourly);
    let hours: Vec<Task<'_, Vec<Span>>> =
        windows.map(|(from, to)| store.usage(whose, from, to, Step::Hour)).collect();
    let refusals = async {
        match recent.denied {
            0 => Ok(Vec::new()),
            _ => store.refusals(whose, alerts::refusals_from(now), to).await,
        }
    };
    let (days, hours, refusals) = tokio::try_join!(days, side_by_side(hours), refusals)?;
    Ok(Evidence {
        days: Series::of(days),
        hours: Series::of(hours.into_iter().flatten()),
        refusals,
    })
}

/// The tally of today of each key; None where the store cannot tell.
pub async fn today(store: &dyn AccessStore, keys: &[KeyId], now: Timestamp) -> Vec<Option<Tally>> {
    if keys.is_empty() {
        return Vec::new();
    }
    let whose: Vec<Whose> = keys.iter().map(|key| Whose::Key(key.as_str().into())).collect();
    let from = calendar::start(now, Step::Day);
    match store.totals(&whose, from, calendar::moved(from, calendar::DAY)).await {
        Ok(tallies) => {
            let unknown = keys.len().saturating_sub(tallies.len());
            tallies.into_iter().map(Some).chain((0..unknown).map(|_| None)).collect()
        }
        Err(error) => {
            tracing::warn!(%error, "the store does not tell what keys did today");
            vec![None; keys.len()]
        }
    }
}

#[cfg(test)]
mod tests;
