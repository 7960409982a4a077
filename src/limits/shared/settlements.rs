//! What the store is told after a request was decided: that it is over, what it moved, that it still runs.
//!
//! Who asked does not wait for it. What this node counted already, and the store was not told yet, is kept apart in the row of
//! its key ([`KeyRow::believed`]): told with the next question as well, it would be counted twice.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::{LEASE, Names, PROBE, RENEWAL, Shared, unanswered};
use crate::limits::limiter::{Charge, KeyRow, Spent};
use crate::model::RequestId;
use crate::store::StoreError;
use crate::store::limits::{Day, Question, Running, Settlement, Used};

/// What waits to be told, because the store is away or did not take it: its leases may not be over when it is back.
const MOST_WAITING: usize = 10_000;
/// For all that waits at once.
const SETTLING: Duration = Duration::from_secs(1);
/// What the store does not take so often, though it can be reached, would only keep it from being used.
const MOST_TRIES: u8 = 5;

/// To be told.
#[derive(Debug)]
pub(super) struct Waiting {
    settlement: Settlement,
    of: Whose,
}

#[derive(Clone, Copy, Debug)]
struct Whose {
    /// The number of the key.
    key: u32,
    /// How often it was told, and not heard.
    tries: u8,
}

impl KeyRow {
    /// What was used today, as far as the store knows it or will not hear of it in another way.
    pub(super) fn believed(&self) -> Used {
        let Used { day, requests, bytes } = self.today;
        match self.unsettled.as_deref() {
            Some(unsettled) if unsettled.day == day => Used {
                day,
                requests: requests.saturating_sub(unsettled.requests),
                bytes: bytes.saturating_sub(unsettled.bytes),
            },
            _ => self.today,
        }
    }

    /// Requests that come back, and bytes that were moved, of which the store hears soon.
    fn unsettled(&mut self) -> &mut Used {
        let unsettled = self.unsettled.get_or_insert_default();
        if unsettled.day != self.today.day {
            **unsettled = Used { day: self.today.day, ..Used::default() };
        }
        unsettled
    }

    /// The store has heard of it; or it never will, and then it is told with what is believed.
    fn settled(&mut self, used: Used, is_heard: bool) {
        let unsettled = self.unsettled();
        if unsettled.day == used.day {
            unsettled.bytes = unsettled.bytes.saturating_sub(used.bytes);
            let back = used.requests.min(unsettled.requests);
            unsettled.requests -= back;
            if is_heard {
                self.today.requests = self.today.requests.saturating_sub(back);
            }
        }
        // Of a million rows few have something unsettled.
        self.unsettled.take_if(|unsettled| (unsettled.requests, unsettled.bytes) == (0, 0));
    }
}

impl Shared {
    /// The request went nowhere after all.
    pub fn give_back(
        &self,
        charge: &Charge<'_>,
        names: Names<'_>,
        spent: Spent,
        request: RequestId,
    ) {
        let question = self.question(charge, names, request);
        let used = Used { day: spent.day, requests: 1, bytes: 0 };
        let day = question.day.filter(|day| day.requests.is_some());
        let day = day.map(|Day { name, .. }| (name, used));
        if day.is_some() && self.is_up.get() {
            let mut row = self.limiter.keys.lock(spent.key);
            let row = row.get();
            if row.today.day == spent.day {
                // It is given back below; until the store has heard of it its answers still have it, and so has this row.
                row.today.requests += 1;
                row.unsettled().requests += 1;
            }
        }
        self.limiter.give_back(charge, spent);
        let ended = spent.is_running.then(|| (names.key.to_owned(), request.to_string()));
        self.running.borrow_mut().remove(&request);
        self.settle(Settlement { returned: question.rates, day, ended }, spent.key);
    }

    /// The request is over, and moved so many bytes.
    pub fn end(&self, spent: Spent, key: &str, request: RequestId, bytes: u64) {
        let mut day = None;
        if spent.has_weight && bytes > 0 && self.is_up.get() {
            let mut row = self.limiter.keys.lock(spent.key);
            let row = row.get();
            let used = Used { day: row.not_before(spent.day).day, requests: 0, bytes };
            row.unsettled().bytes += bytes;
            day = Some((key.to_owned(), used));
        }
        self.limiter.end(spent, bytes);
        self.running.borrow_mut().remove(&request);
        let ended = spent.is_running.then(|| (key.to_owned(), request.to_string()));
        if day.is_some() || ended.is_some() {
            self.settle(Settlement { returned: Vec::new(), day, ended }, spent.key);
        }
    }

    /// While the store is away, only what holds a place is kept: the rest is in what this node believes.
    fn settle(&self, settlement: Settlement, key: u32) {
        let mut waiting = self.settlements.borrow_mut();
        let of = Whose { key, tries: 0 };
        if self.is_up.get() {
            waiting.push(Waiting { settlement, of });
            self.settles.notify_one();
        } else if settlement.ended.is_some() && waiting.len() < MOST_WAITING {
            let settlement = Settlement { ended: settlement.ended, ..Settlement::default() };
            waiting.push(Waiting { settlement, of });
        }
    }

    /// Each is sent at once, before the next question: who waited for an answer would find its own place still taken.
    pub(super) async fn settle_all(self: &Rc<Self>) {
        loop {
            self.settles.notified().await;
            if !self.is_up.get() {
                continue;
            }
            let waiting = self.settlements.take();
            if !waiting.is_empty() {
                let shared = Rc::clone(self);
                tokio::task::spawn_local(async move { shared.tell(waiting).await });
            }
        }
    }

    async fn tell(&self, waiting: Vec<Waiting>) {
        let found = self.times_found.get();
        let (mut settlements, whose): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|Waiting { settlement, of }| (settlement, of)).unzip();
        let outcome = timeout(SETTLING, self.tell_or_anew(&mut settlements, &whose)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(unanswered(SETTLING)));
        let error = match outcome {
            Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => error,
            // What is refused once is refused again.
            heard_or_not => {
                let is_heard = heard_or_not.is_ok();
                for (settlement, of) in settlements.iter().zip(whose) {
                    self.settled(settlement, of, is_heard);
                }
                return;
            }
        };
        for (settlement, of) in settlements.into_iter().zip(whose) {
            self.put_back(settlement, of);
        }
        if found == self.times_found.get() {
            self.down(&error);
        } else {
            self.settles.notify_one();
        }
    }

    /// A way that was given up, or closed, is made anew, as it is for a question.
    async fn tell_or_anew(
        &self,
        settlements: &mut [Settlement],
        whose: &[Whose],
    ) -> Result<(), StoreError> {
        match self.store.settle(settlements).await {
            Err(StoreError::Unavailable(_)) => {
                for (settlement, of) in settlements.iter_mut().zip(whose) {
                    self.make_repeatable(settlement, *of);
                }
                self.greet_anew().await?;
                self.store.settle(settlements).await
            }
            told => told,
        }
    }

    fn settled(&self, settlement: &Settlement, of: Whose, is_heard: bool) {
        if let Some((_, used)) = settlement.day {
            self.limiter.keys.lock(of.key).get().settled(used, is_heard);
        }
    }

    /// What may have been told already gives nobody anything twice: bytes that are counted twice make a limit stricter, and
    /// what has ended has ended.
    fn make_repeatable(&self, settlement: &mut Settlement, of: Whose) {
        settlement.returned.clear();
        if let Some((_, used)) = &mut settlement.day {
            let back = Used { bytes: 0, ..*used };
            self.limiter.keys.lock(of.key).get().settled(back, false);
            used.requests = 0;
        }
        settlement.day.take_if(|(_, used)| used.bytes == 0);
    }

    /// To be told again, when the store is found again.
    fn put_back(&self, mut settlement: Settlement, of: Whose) {
        let of = Whose { tries: of.tries + 1, ..of };
        let is_wanted = settlement.ended.is_some() || settlement.day.is_some();
        let mut waiting = self.settlements.borrow_mut();
        if is_wanted && of.tries < MOST_TRIES && waiting.len() < MOST_WAITING {
            self.make_repeatable(&mut settlement, of);
            waiting.push(Waiting { settlement, of });
        } else {
            self.settled(&settlement, of, false);
        }
    }

    /// Whatever runs here, as often as it takes, and at once when the store is found: it may have forgotten them, and does not
    /// know what was let through meanwhile. One that ends now is told behind this on the same way, or its lease ends.
    pub(super) async fn renew(&self) {
        loop {
            // Whether that time is over or the store was found, it is time.
            let _found_or_time = timeout(RENEWAL, self.renews.notified()).await;
            let running: Vec<(String, String)> = {
                let running = self.running.borrow();
                running
                    .iter()
                    .map(|(request, key)| (key.to_string(), request.to_string()))
                    .collect()
            };
            if self.is_up.get() && !running.is_empty() {
                let _next_time = timeout(PROBE, self.store.renew(&running, LEASE)).await;
            }
        }
    }
}

/// A question that may have been answered with yes, and nobody heard it: its place is given back.
pub(super) struct Unanswered<'s> {
    pub(super) shared: &'s Shared,
    /// The number of the key.
    pub(super) key: u32,
    pub(super) question: Option<&'s Question>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(Running { name, request, .. }) =
            self.question.and_then(|question| question.running.as_ref())
        {
            let ended = Some((name.clone(), request.clone()));
            self.shared.settle(Settlement { ended, ..Settlement::default() }, self.key);
        }
    }
}
