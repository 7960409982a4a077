//! Counting together with other nodes: one question a request to a store that all of them share.
//!
//! Nobody waits for it longer than [`DEADLINE`]. One question that was not answered in time, or not at all, closes the way
//! for all of this worker until a probe gets through; meanwhile the node counts alone, or refuses, as the configuration
//! says. What it counts alone begins with what it last heard, and is told with the first question after, so that neither
//! the loss nor the return gives anybody a full bucket at a node that he was at before.
//!
//! What this node believes is never more than what the store has while both go on, or the way of each question would make
//! limits a little stricter: an answer counts from the moment its question was sent, which is before the store decided; and
//! what is believed is told with the time it was so by the store's clock (`shared::clock`), so that the store takes off the
//! time that the question was on its way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::limits::bucket::Moment;
use crate::limits::limiter::{Charge, Clock, Group, Limiter, Verdict, standings};
use crate::limits::plan::Plan;
use crate::limits::standing::{Standing, Standings};
use crate::model::{LimitKind, Refusal, RequestId};
use crate::store::StoreError;
use crate::store::limits::{Answer, Day, Question, Rate, Running, SharedLimits};

mod clock;
mod settlements;

pub(super) use clock::StoreClock;
use settlements::{Unanswered, Waiting};

/// For an answer about one request. A Redis on the same network answers in a tenth of a millisecond.
pub const DEADLINE: Duration = Duration::from_millis(100);
/// For a probe that finds out whether the store is back, a new connection included.
const PROBE: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A node that died holds what it ran for so long.
const LEASE: Duration = Duration::from_secs(15);
const RENEWAL: Duration = Duration::from_secs(5);
/// A way that nobody used is tried so often, so that not a request finds out that something on the way has closed it.
const QUIET: Duration = Duration::from_secs(5);

/// Who a request is counted for, as every node names them.
#[derive(Clone, Copy, Debug)]
pub struct Names<'r> {
    pub key: &'r str,
    pub practice: &'r str,
    pub vendor: Option<&'r str>,
}

/// What the outside may know of it.
pub trait Told: std::fmt::Debug {
    fn shared(&self, is_up: bool);
    /// A request was decided without the others.
    fn alone(&self);
    /// It looks beside workers, who log what becomes of the store: once is enough.
    fn is_quiet(&self) -> bool {
        false
    }
}

/// One worker's way to the store. Everything in it happens on one thread.
#[derive(Debug)]
pub struct Shared {
    store: Arc<dyn SharedLimits>,
    limiter: Arc<Limiter>,
    is_up: Cell<bool>,
    /// How often it was found, so that questions of before its loss do not lose it again.
    times_found: Cell<u64>,
    went_down: Notify,
    /// The first attempt to find it is over.
    looked: Notify,
    settlements: RefCell<Vec<Waiting>>,
    settles: Notify,
    /// Whatever runs on this worker, also what it let through alone. By request: the key.
    running: RefCell<HashMap<RequestId, Box<str>>>,
    renews: Notify,
    told: Box<dyn Told>,
}

impl Shared {
    /// It is down until [`Shared::run`] found the store.
    pub fn new(store: Arc<dyn SharedLimits>, limiter: Arc<Limiter>, told: Box<dyn Told>) -> Self {
        Self {
            store,
            limiter,
            is_up: Cell::new(false),
            times_found: Cell::new(0),
            went_down: Notify::new(),
            looked: Notify::new(),
            settlements: RefCell::default(),
            settles: Notify::new(),
            running: RefCell::default(),
            renews: Notify::new(),
            told,
        }
    }

    /// Returns once the first attempt to find the store is over, so that nobody is served between the start and that; or
    /// after `patience`.
    pub async fn looked(&self, patience: Duration) {
        // Whether it was found does not matter: who is served then is served as if it were lost.
        let _in_time_or_not = timeout(patience, self.looked.notified()).await;
    }

    /// As [`Limiter::take`], for all nodes at once.
    pub async fn take(&self, charge: &Charge<'_>, names: Names<'_>, request: RequestId) -> Verdict {
        let question = self.question(charge, names, request);
        if question.is_empty() {
            return self.limiter.take(charge);
        }
        let mut unanswered = Unanswered { shared: self, key: charge.who.key, question: None };
        if self.is_up.get() {
            unanswered.question = Some(&question);
            if let Some((answer, sent)) = self.ask(&question).await {
                unanswered.question = None;
                return self.learn(charge, names, request, &question, &answer, sent);
            }
        }
        let verdict = self.take_alone(charge, names, request);
        if verdict.outcome.is_ok() {
            // It runs on in the place that the question may have taken, and gives that back at its end.
            unanswered.question = None;
        }
        verdict
    }

    fn take_alone(&self, charge: &Charge<'_>, names: Names<'_>, request: RequestId) -> Verdict {
        self.told.alone();
        if charge.plan.denies_without_store() {
            let outcome = Err(Refusal::LimitsUnavailable);
            return Verdict { standings: Standings::new(), outcome };
        }
        let verdict = self.limiter.take(charge);
        if verdict.outcome.as_ref().is_ok_and(|spent| spent.is_running) {
            self.running.borrow_mut().insert(request, names.key.into());
        }
        verdict
    }

    /// As [`Limiter::look`].
    pub async fn look(&self, charge: &Charge<'_>, names: Names<'_>) -> Standings {
        let mut question = self.question(charge, names, RequestId::new(0));
        question.only_look = true;
        if question.is_empty() {
            return self.limiter.look(charge);
        }
        if let Some((answer, sent)) = self.ask(&question).await {
            return self.believe(charge, &answer, sent);
        }
        self.limiter.look(charge)
    }

    /// As [`Limiter::look_at`]; `name` is what every node calls the vendor or the practice.
    pub async fn look_at(&self, plan: &Plan, group: Group, name: &str) -> Option<Standing> {
        let kind = group.kind();
        let limit = plan.rate(kind, None)?;
        let believed = self.limiter.debt(group, &limit);
        let rate = Rate {
            name: format!("{}:{name}", kind.name()),
            interval: limit.interval(),
            burst: limit.burst().get(),
            cost: 1,
            debt: believed,
        };
        let question = Question { rates: vec![rate], only_look: true, ..Question::default() };
        let answer = self.ask(&question).await;
        let known = answer.and_then(|(answer, _)| answer.debts.first().copied());
        Some(Standing::of_rate(kind, &limit, known.unwrap_or(believed)))
    }

    /// Looks after the way to the store; endless.
    pub async fn run(self: Rc<Self>) {
        tokio::select! {
            () = self.watch() => {}
            () = self.settle_all() => {}
            () = self.renew() => {}
        }
    }

    fn question(&self, charge: &Charge<'_>, names: Names<'_>, request: RequestId) -> Question {
        let limits = charge.plan.limits();
        let mut rows = self.limiter.lock(charge);
        let mut rates = Vec::new();
        for (kind, limit) in charge.rates() {
            let Some(bucket) = rows.bucket(kind) else { continue };
            let name = match kind {
                LimitKind::Vendor => format!("vendor:{}", names.vendor.unwrap_or_default()),
                LimitKind::Practice => format!("practice:{}", names.practice),
                LimitKind::Category(place) => {
                    format!("category:{}:{}", names.key, charge.plan.category_name(place))
                }
                _ => format!("key:{}", names.key),
            };
            rates.push(Rate {
                name,
                interval: limit.interval(),
                burst: limit.burst().get(),
                cost: limit.cost(charge.cost).get(),
                debt: bucket.debt(&limit, charge.at),
            });
        }
        let row = rows.key.get();
        let (believed, own) = (row.believed(), row.running);
        let has_day = limits.daily_requests.is_some() || limits.daily_bytes.is_some();
        let day = has_day.then(|| Day {
            name: names.key.to_owned(),
            requests: limits.daily_requests,
            bytes: limits.daily_bytes,
            believed,
        });
        let running = limits.max_concurrent_per_key.map(|most| Running {
            name: names.key.to_owned(),
            most,
            own,
            request: request.to_string(),
            lease: LEASE,
        });
        let asked_at = self.limiter.store_clock.at(charge.at);
        Question { rates, day, running, only_look: false, asked_at }
    }

    /// The answer, and when its question was sent; None where the store is out of reach.
    async fn ask(&self, question: &Question) -> Option<(Answer, Moment)> {
        if !self.is_up.get() {
            return None;
        }
        let found = self.times_found.get();
        let asking = async {
            match self.ask_once(question).await {
                Ok(answered) => Ok(answered),
                // A way that was not used for a while may have been closed at its other end, and nobody told.
                Err(_) => self.ask_anew(question).await,
            }
        };
        let error = match timeout(DEADLINE, asking).await {
            Ok(Ok(answered)) => return Some(answered),
            Ok(Err(error)) => error,
            Err(_) => unanswered(DEADLINE),
        };
        if found == self.times_found.get() {
            self.down(&error);
        }
        None
    }

    async fn ask_once(&self, question: &Question) -> Result<(Answer, Moment), StoreError> {
        let sent = self.limiter.moment(Instant::now());
        let answer = self.store.decide(question).await?;
        self.limiter.store_clock.heard(answer.now, sent);
        Ok((answer, sent))
    }

    /// On a new way. What was counted for the first question, if it was, stays counted: that is stricter, never laxer.
    async fn ask_anew(&self, question: &Question) -> Result<(Answer, Moment), StoreError> {
        self.greet_anew().await?;
        self.ask_once(&Question { asked_at: None, ..question.clone() }).await
    }

    async fn greet_anew(&self) -> Result<(), StoreError> {
        self.store.greet().await?;
        // There may be another clock at its end.
        self.limiter.store_clock.forget();
        Ok(())
    }

    fn up(&self) {
        self.times_found.set(self.times_found.get() + 1);
        self.is_up.set(true);
        self.told.shared(true);
        // What ended meanwhile, and what runs.
        self.settles.notify_one();
        self.renews.notify_one();
    }

    fn down(&self, error: &StoreError) {
        if self.is_up.replace(false) {
            if !self.told.is_quiet() {
                tracing::warn!(%error, "limits are not shared with other nodes for now");
            }
            // The next one may have another clock.
            self.limiter.store_clock.forget();
            self.told.shared(false);
            self.went_down.notify_one();
        }
    }

    fn learn(
        &self,
        charge: &Charge<'_>,
        names: Names<'_>,
        request: RequestId,
        question: &Question,
        answer: &Answer,
        sent: Moment,
    ) -> Verdict {
        let clock = Clock::at(answer.now);
        let charge = Charge { clock, ..charge.clone() };
        let standings = self.believe(&charge, answer, sent);
        if !answer.is_admitted {
            let outcome = match charge.refusal(&over(&charge, question, answer)) {
                Some(refusal) => Err(refusal),
                // It says no and not why: a defect, and no reason to let anything through.
                None => Err(Refusal::LimitsUnavailable),
            };
            return Verdict { standings, outcome };
        }
        let is_running = question.running.is_some();
        if is_running {
            self.limiter.keys.lock(charge.who.key).get().running += 1;
            self.running.borrow_mut().insert(request, names.key.into());
        }
        Verdict { standings, outcome: Ok(charge.spent(is_running)) }
    }

    /// Takes over what the store knows, and tells what is left.
    fn believe(&self, charge: &Charge<'_>, answer: &Answer, sent: Moment) -> Standings {
        let charge = Charge { clock: Clock::at(answer.now), ..charge.clone() };
        let rates = charge.rates();
        let mut rows = self.limiter.lock(&charge);
        for ((kind, limit), debt) in rates.iter().zip(&answer.debts) {
            let Some(bucket) = rows.bucket(*kind) else { continue };
            *bucket = bucket.at_least(*debt, limit, sent);
        }
        let row = rows.key.get();
        let today = row.begin(answer.used.day);
        if today.day == answer.used.day {
            today.requests = today.requests.max(answer.used.requests);
            today.bytes = today.bytes.max(answer.used.bytes);
        }
        let own = row.running;
        // What the others run is told, and forgotten: they may be over when it matters here.
        row.running = answer.running;
        let told = standings(&charge, &mut rows, &rates);
        rows.key.get().running = own;
        told
    }

    /// Finds the store, at first and whenever it was lost; one that is lost as soon as it is found, ever more rarely.
    async fn watch(&self) {
        let mut pause = FIRST_PAUSE;
        let mut was_lost = false;
        // Why it was not found the last time, as it was said.
        let mut said = String::new();
        loop {
            let found = timeout(PROBE, self.store.greet()).await;
            let found = found.unwrap_or_else(|_| Err(unanswered(PROBE)));
            if found.is_ok() {
                self.up();
            }
            self.looked.notify_one();
            if let Err(error) = found {
                let text = error.to_string();
                if text != said {
                    if !self.told.is_quiet() {
                        tracing::warn!(%error, "limits cannot be shared with other nodes");
                    }
                    said = text;
                }
            } else {
                said.clear();
                if was_lost && !self.told.is_quiet() {
                    tracing::info!("limits are shared with other nodes again");
                } else {
                    tracing::debug!("limits are shared with other nodes");
                }
                let found_at = tokio::time::Instant::now();
                self.while_it_answers().await;
                if found_at.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
            }
            was_lost = true;
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn while_it_answers(&self) {
        while timeout(QUIET, self.went_down.notified()).await.is_err() {
            match timeout(DEADLINE, self.store.greet()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.down(&error),
                Err(_) => self.down(&unanswered(DEADLINE)),
            }
        }
    }
}

fn unanswered(after: Duration) -> StoreError {
    StoreError::Unknown(format!("no answer within {after:?}"))
}

/// What refused, and for how long.
fn over(
    charge: &Charge<'_>,
    question: &Question,
    answer: &Answer,
) -> SmallVec<[(LimitKind, Option<u64>); 2]> {
    let mut over = SmallVec::new();
    let asked = question.rates.iter().zip(&answer.debts);
    for ((kind, limit), (rate, debt)) in charge.rates().iter().zip(asked) {
        let taken = debt.saturating_add(rate.interval.saturating_mul(rate.cost.into()));
        if let wait @ 1.. = taken.saturating_sub(limit.fill()) {
            over.push((*kind, Some(wait)));
        }
    }
    if let Some(day) = &question.day {
        let left = Some(charge.clock.left);
        if day.requests.is_some_and(|most| answer.used.requests >= most) {
            over.push((LimitKind::DailyRequests, left));
        }
        if day.bytes.is_some_and(|most| answer.used.bytes >= most) {
            over.push((LimitKind::DailyBytes, left));
        }
    }
    if question.running.as_ref().is_some_and(|running| answer.running >= running.most) {
        over.push((LimitKind::Concurrent, None));
    }
    over
}

#[cfg(test)]
mod tests;
