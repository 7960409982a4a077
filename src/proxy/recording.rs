//! The record of one request, from before its first byte goes upstream to before its answer ends.
//!
//! Whoever holds a [`Recording`] owes its completion; dropping it completes it, whatever the reason was. It is completed
//! before the last part of the answer is handed over, so an answer that a caller has whole is on record whole.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::OnFailure;
use crate::journal::{Begun, Full, Lane};
use crate::model::{Decision, Opening, Outcome, Refusal, Timestamp};
use crate::proxy::body::request::Fate;
use crate::proxy::limiting::Account;
use crate::proxy::strangers::{Refused, Strangers, Summed};
use crate::proxy::websocket::Moves;
use crate::proxy::worker::Worker;
use crate::telemetry::metrics::WorkerCells;

/// Where a worker's records go.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// None where nothing is recorded: in benches that measure what recording costs.
    lane: Option<Lane>,
    strangers: Strangers,
    /// Sums that there was no room for.
    unwritten: RefCell<Vec<Summed>>,
    cells: Arc<WorkerCells>,
}

impl Recorder {
    pub(crate) fn new(lane: Option<Lane>, cells: Arc<WorkerCells>) -> Self {
        Self { lane, strangers: Strangers::default(), unwritten: RefCell::default(), cells }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.lane.is_some()
    }

    /// Makes sure that the request will have a record, whatever happens from here on.
    fn begin(
        &self,
        opening: &Opening<'_>,
        on_failure: OnFailure,
    ) -> Result<Option<Begun>, Refusal> {
        match self.lane.as_ref().map(|lane| lane.begin(opening)) {
            None => Ok(None),
            Some(Ok(begun)) => Ok(Some(begun)),
            Some(Err(Full)) => self.unkept(on_failure).map(|()| None),
        }
    }

    /// The record of something that went nowhere.
    pub(crate) fn write(
        &self,
        opening: &Opening<'_>,
        outcome: &Outcome<'_>,
        on_failure: OnFailure,
    ) -> Result<(), Refusal> {
        match self.lane.as_ref().map(|lane| lane.write(opening, outcome)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(Full)) => self.unkept(on_failure),
        }
    }

    /// The refusal of a stranger: one of many from the same source is summed with the others of its second. While sums cannot
    /// be written there are no new ones, unless records may be missing.
    pub(crate) fn write_of_stranger<'o>(
        &self,
        refused: Refused<'_>,
        opening: impl FnOnce() -> Opening<'o>,
        on_failure: OnFailure,
    ) -> Result<(), Refusal> {
        if on_failure == OnFailure::Deny && !self.unwritten.borrow().is_empty() {
            return Err(Refusal::LogUnavailable);
        }
        match self.strangers.note(refused, opening) {
            Some(opening) => self.write(&opening, refused.outcome, on_failure),
            None => Ok(()),
        }
    }

    fn unkept(&self, on_failure: OnFailure) -> Result<(), Refusal> {
        match on_failure {
            OnFailure::Deny => Err(Refusal::LogUnavailable),
            OnFailure::Serve => {
                self.cells.unrecorded(1);
                Ok(())
            }
        }
    }

    /// Writes the sums of seconds that are over, or all there are. What there is no room for waits, or is counted where records
    /// may be missing.
    pub(crate) fn write_sums(&self, before: Option<Timestamp>, on_failure: OnFailure) {
        let Some(lane) = &self.lane else { return };
        let mut waiting = self.unwritten.borrow_mut();
        waiting.extend(self.strangers.over(before));
        waiting.retain(|(opening, outcome)| match lane.write(opening, outcome) {
            Ok(()) => false,
            Err(Full) => {
                let may_be_missing = on_failure == OnFailure::Serve;
                if may_be_missing {
                    self.cells.unrecorded(outcome.count);
                }
                !may_be_missing
            }
        });
    }
}

/// Of a request that was let through.
#[derive(Debug)]
pub(crate) struct Recording {
    worker: Rc<Worker>,
    /// None once it is complete, or where it could not be kept.
    begun: Option<Begun>,
    since: Instant,
    fate: Rc<Fate>,
    status: u16,
    code: &'static str,
    bytes_out: u64,
    upstream: Option<Duration>,
    tunnel: Option<Rc<Moves>>,
    /// With the limits that it was taken from.
    account: Option<Account>,
    /// Why it would have been refused if limits were enforced.
    observed: &'static str,
}

impl Recording {
    /// `since` is when the request came.
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        opening: &Opening<'_>,
        since: Instant,
        fate: &Rc<Fate>,
        on_failure: OnFailure,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            begun: worker.recorder.begin(opening, on_failure)?,
            worker: Rc::clone(worker),
            since,
            fate: Rc::clone(fate),
            status: 0,
            code: "",
            bytes_out: 0,
            upstream: None,
            tunnel: None,
            account: None,
            observed: "",
        })
    }

    /// What limits must hear at its end, and what they would have said.
    pub(crate) fn owes(&mut self, account: Option<Account>, observed: &'static str) {
        self.account = account;
        self.observed = observed;
    }

    /// The answer that is about to be given.
    pub(crate) fn answered(&mut self, status: u16, code: &'static str) {
        self.status = status;
        self.code = code;
    }

    /// What went wrong after the answer had begun.
    pub(crate) fn failed(&mut self, code: &'static str) {
        self.code = code;
    }

    /// The upstream's answer has begun.
    pub(crate) fn heard_upstream(&mut self, after: Duration) {
        self.upstream = Some(after);
    }

    pub(crate) fn handed_over(&mut self, bytes: usize) {
        self.bytes_out = self.bytes_out.saturating_add(bytes as u64);
    }

    /// From here on it is a tunnel's, and bytes are counted there.
    pub(crate) fn tunnelled(&mut self, status: u16, moves: &Rc<Moves>) {
        self.status = status;
        self.tunnel = Some(Rc::clone(moves));
    }

    /// Once; what comes after changes nothing.
    pub(crate) fn complete(&mut self) {
        let (mut bytes_in, mut bytes_out) = (self.fate.bytes(), self.bytes_out);
        if let Some(moves) = &self.tunnel {
            bytes_in = moves.to_upstream.get();
            bytes_out = moves.to_caller.get();
        }
        if let Some(account) = self.account.take() {
            self.worker.limiting.end(&account, bytes_in.saturating_add(bytes_out));
        }
        let Some((begun, lane)) = self.begun.take().zip(self.worker.recorder.lane.as_ref()) else {
            return;
        };
        let is_observed = !self.observed.is_empty();
        let outcome = Outcome {
            decision: if is_observed { Decision::Observe } else { Decision::Allow },
            code: if self.code.is_empty() { self.observed } else { self.code }.into(),
            status: self.status,
            bytes_in,
            bytes_out,
            duration_us: micros(self.since.elapsed()),
            upstream_us: self.upstream.map(micros),
            count: 1,
        };
        lane.complete(begun, &outcome);
    }
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.begun.is_some() && self.code.is_empty() {
            let is_ending = self.worker.is_ending.get();
            self.code = if is_ending { Outcome::INTERRUPTED } else { Outcome::CLIENT_GONE };
        }
        self.complete();
    }
}

/// A request's recording.
#[derive(Debug, Default)]
pub(crate) struct Slot(RefCell<Held>);

#[derive(Debug, Default)]
enum Held {
    /// Nothing was begun.
    #[default]
    Nothing,
    Here(Recording),
    /// A tunnel has it, and will complete it.
    Elsewhere,
}

impl Slot {
    pub(crate) fn put(&self, recording: Recording) {
        self.0.replace(Held::Here(recording));
    }

    pub(crate) fn take(&self) -> Option<Recording> {
        let mut held = self.0.borrow_mut();
        match std::mem::replace(&mut *held, Held::Elsewhere) {
            Held::Here(recording) => Some(recording),
            other => {
                *held = other;
                None
            }
        }
    }

    /// Notes something where the recording is here; says whether one was begun, wherever it is.
    pub(crate) fn with(&self, note: impl FnOnce(&mut Recording)) -> bool {
        match &mut *self.0.borrow_mut() {
            Held::Nothing => return false,
            Held::Here(recording) => note(recording),
            Held::Elsewhere => {}
        }
        true
    }
}
