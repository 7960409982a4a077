//! A request that is allowed, held against its limits: the last question before it goes on record and out.
//!
//! What is taken is given back where the request goes nowhere after all. In observe mode nothing is refused, and the record
//! says what would have been.

use crate::limits::limiter::{Charge, Clock, Spent};
use crate::limits::plan::Plan;
use crate::limits::told::Overview;
use crate::model::{Caller, Refusal};
use crate::proxy::facts::Known;
use crate::proxy::handle::{Exchange, Pass};
use crate::proxy::limiting::Account;
use crate::proxy::precedence::Turn;
use crate::registry::view::Identity;

/// What was taken.
pub(super) struct Charged<'r> {
    charge: Charge<'r>,
    known: &'r Known,
    spent: Spent,
}

impl<'r> Exchange<'r, '_> {
    /// Takes what the request costs from all limits that hold for it. None where none does, or where they only observe.
    pub(super) async fn charge<'p>(
        &self,
        pass: &'p Pass<'_>,
        known: &'p Known,
        identity: &Identity,
    ) -> Result<Option<Charged<'p>>, Refusal>
    where
        'r: 'p,
    {
        let Self { session, snapshot, arrival, facts, .. } = *self;
        let plan: &'r Plan = &snapshot.limits;
        let Some(who) = snapshot.view.counted(identity) else { return Ok(None) };
        if plan.is_free(&who) {
            return Ok(None);
        }
        let limiting = &session.worker.limiting;
        let charge = Charge {
            plan,
            who,
            categories: plan.touched(&pass.admission.needs),
            cost: pass.admission.rule.cost,
            at: limiting.limiter.moment(self.at),
            clock: Clock::at(arrival.ts),
        };
        let verdict = limiting.take(&charge, &known.caller, arrival.id).await;
        if !plan.observes() && !verdict.standings.is_empty() {
            facts.standings.get_or_init(|| Box::new(verdict.standings));
        }
        match verdict.outcome {
            Ok(spent) => Ok(Some(Charged { charge, known, spent })),
            Err(refusal) => self.over(refusal).map(|()| None),
        }
    }

    /// The same for a request that has no key: its source is counted.
    pub(super) fn charge_source(&self, pass: &Pass<'_>) -> Result<(), Refusal> {
        let Self { session, snapshot, arrival, facts, .. } = *self;
        let (plan, cost) = (&snapshot.limits, pass.admission.rule.cost);
        let limiter = &session.worker.limiting.limiter;
        let Some((standing, outcome)) = limiter.take_public(plan, pass.client, cost, arrival.at)
        else {
            return Ok(());
        };
        if !plan.observes() {
            facts.standings.get_or_init(|| Box::new([standing].into_iter().collect()));
        }
        outcome.or_else(|refusal| self.over(refusal))
    }

    /// A failed authentication counts against where it came from, and after too many of them nothing else is said there. Who
    /// has valid keys never comes here.
    pub(super) fn hold_against_its_source<T>(
        &self,
        outcome: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Self { session, snapshot, arrival, facts, .. } = *self;
        if !self.is_failed_authentication(&outcome) {
            return outcome;
        }
        let ip = facts.client.get().unwrap_or(session.peer);
        match session.worker.limiting.limiter.failed(&snapshot.limits, ip, arrival.at) {
            Ok(()) => outcome,
            Err(refusal) => match self.over(refusal) {
                Ok(()) => outcome,
                Err(refusal) => {
                    facts.fault.set("");
                    Err(refusal)
                }
            },
        }
    }

    /// What is left of every limit that could hold for these keys, whatever they ask for. Nothing is taken.
    pub(super) async fn overview(&self, caller: &Caller, identity: &Identity) -> Overview {
        let Self { session, snapshot, arrival, .. } = *self;
        let (plan, limiting) = (&snapshot.limits, &session.worker.limiting);
        let Some(who) = snapshot.view.counted(identity) else {
            return Overview::of(plan, None, &[]);
        };
        let (at, clock) = (limiting.limiter.moment(arrival.at), Clock::at(arrival.ts));
        let Some(charge) = Charge::of_a_look(plan, who, at, clock) else {
            return Overview::of(plan, None, &[]);
        };
        let standings = limiting.look(&charge, caller).await;
        Overview::of(plan, who.own, &standings)
    }

    fn is_failed_authentication<T>(&self, outcome: &Result<T, Refusal>) -> bool {
        match outcome {
            Ok(_) => self.facts.fault.get() == "invalid_client" && self.facts.is_of_a_stranger(),
            Err(
                Refusal::InvalidCredentials
                | Refusal::SubscriberKeyMissing
                | Refusal::VendorKeyMissing
                | Refusal::TooManyFailures(_),
            ) => self.facts.is_of_a_stranger(),
            // Whose they were is known, and they are no good.
            Err(Refusal::KeyExpired | Refusal::KeyDisabled | Refusal::KeyRevoked) => true,
            Err(_) => false,
        }
    }

    /// When a wrong key may be answered, where others are served meanwhile.
    pub(super) fn turn_of_a_stranger<T>(&self, outcome: &Result<T, Refusal>) -> Option<Turn> {
        let has_failed = self.is_failed_authentication(outcome);
        has_failed.then(|| self.session.turn_of_a_stranger(self.arrival.at)).flatten()
    }

    fn over(&self, refusal: Refusal) -> Result<(), Refusal> {
        let cells = &self.session.worker.cells;
        if self.snapshot.limits.observes() {
            cells.limit_observed(&refusal);
            self.facts.observed.set(refusal.code());
            return Ok(());
        }
        cells.limit_refused(&refusal);
        Err(refusal)
    }

    pub(super) fn give_back(&self, charged: &Charged<'_>) {
        let Charged { charge, known, spent } = charged;
        let limiting = &self.session.worker.limiting;
        limiting.give_back(charge, &known.caller, *spent, self.arrival.id);
    }

    pub(super) fn account(&self, charged: &Charged<'_>) -> Option<Account> {
        let Charged { charge, known, spent } = charged;
        let limiting = &self.session.worker.limiting;
        limiting.account(charge.plan, &known.caller, *spent, self.arrival.id)
    }
}
