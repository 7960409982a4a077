//! The counters of one worker, and their sums over all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::{LimitKind, Refusal};

const LOWEST_STATUS: u16 = 100;
/// Statuses 100 to 599, each a cell; the last is for any other that an upstream may answer.
const STATUSES: usize = 501;
const LIMITS: usize = LimitKind::NAMES.len();
const CODES: usize = Refusal::CODES.len() + 1;
/// The label of whatever is not in a fixed list.
const OTHER: &str = "other";

/// One worker's counters, on cache lines of their own: only this worker writes them.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCells {
    allowed: [AtomicU64; STATUSES],
    denied: [AtomicU64; STATUSES],
    codes: [AtomicU64; CODES],
    connections_opened: AtomicU64,
    connections_closed: AtomicU64,
    unrecorded: AtomicU64,
    /// By [`LimitKind::NAMES`].
    limited: [AtomicU64; LIMITS],
    observed: [AtomicU64; LIMITS],
    limits_shared: AtomicBool,
    limits_alone: AtomicU64,
}

impl Default for WorkerCells {
    fn default() -> Self {
        Self {
            allowed: [const { AtomicU64::new(0) }; STATUSES],
            denied: [const { AtomicU64::new(0) }; STATUSES],
            codes: [const { AtomicU64::new(0) }; CODES],
            connections_opened: AtomicU64::new(0),
            connections_closed: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            limited: [const { AtomicU64::new(0) }; LIMITS],
            observed: [const { AtomicU64::new(0) }; LIMITS],
            limits_shared: AtomicBool::new(false),
            limits_alone: AtomicU64::new(0),
        }
    }
}

impl WorkerCells {
    /// Counts one answered request. `code` is empty, or [`Refusal::code`] of what went wrong.
    pub fn request(&self, status: u16, code: &'static str) {
        let by_status = if is_denial(code) { &self.denied } else { &self.allowed };
        add_one(by_status.get(status_index(status)));
        if !code.is_empty() {
            add_one(self.codes.get(code_index(code)));
        }
    }

    /// Counts a request that is served although its record cannot be kept.
    pub fn unrecorded(&self, requests: u32) {
        let so_far = self.unrecorded.load(Ordering::Relaxed);
        self.unrecorded.store(so_far.wrapping_add(requests.into()), Ordering::Relaxed);
    }

    /// Counts a request that a limit refused.
    pub fn limit_refused(&self, refusal: &Refusal) {
        add_one(of_limit(&self.limited, refusal));
    }

    /// Counts a request that a limit would have refused if limits were enforced.
    pub fn limit_observed(&self, refusal: &Refusal) {
        add_one(of_limit(&self.observed, refusal));
    }

    /// Whether this worker counts together with other nodes.
    pub fn limits_shared(&self, are: bool) {
        self.limits_shared.store(are, Ordering::Relaxed);
    }

    /// Counts a request whose limits should have been shared, and could not be.
    pub fn limits_alone(&self) {
        add_one(Some(&self.limits_alone));
    }

    pub fn connection_opened(&self) {
        add_one(Some(&self.connections_opened));
    }

    pub fn connection_closed(&self) {
        add_one(Some(&self.connections_closed));
    }
}

/// A load and a store instead of a locked addition: there is one writer.
fn add_one(cell: Option<&AtomicU64>) {
    if let Some(cell) = cell {
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

fn of_limit<'c>(cells: &'c [AtomicU64; LIMITS], refusal: &Refusal) -> Option<&'c AtomicU64> {
    let name = refusal.overrun()?.kind.name();
    cells.get(LimitKind::NAMES.iter().position(|known| *known == name)?)
}

/// A request that failed at the upstream was allowed to go there.
fn is_denial(code: &str) -> bool {
    !code.is_empty() && !code.starts_with("upstream_")
}

fn status_index(status: u16) -> usize {
    let offset = status.checked_sub(LOWEST_STATUS).map_or(STATUSES, usize::from);
    offset.min(STATUSES - 1)
}

fn code_index(code: &str) -> usize {
    Refusal::CODES.iter().position(|known| *known == code).unwrap_or(CODES - 1)
}

/// The sums over all workers at one moment.
#[derive(Debug)]
pub(super) struct Totals {
    allowed: [u64; STATUSES],
    denied: [u64; STATUSES],
    codes: [u64; CODES],
    pub(super) connections_opened: u64,
    pub(super) connections_closed: u64,
    pub(super) unrecorded: u64,
    limited: [u64; LIMITS],
    observed: [u64; LIMITS],
    /// Every worker counts together with the other nodes.
    pub(super) are_limits_shared: bool,
    pub(super) limits_alone: u64,
}

impl Totals {
    pub(super) fn of(workers: &[Arc<WorkerCells>]) -> Self {
        let mut totals = Self {
            allowed: [0; STATUSES],
            denied: [0; STATUSES],
            codes: [0; CODES],
            connections_opened: 0,
            connections_closed: 0,
            unrecorded: 0,
            limited: [0; LIMITS],
            observed: [0; LIMITS],
            are_limits_shared: are_limits_shared(workers),
            limits_alone: 0,
        };
        for cells in workers {
            sum(&mut totals.allowed, &cells.allowed);
            sum(&mut totals.denied, &cells.denied);
            sum(&mut totals.codes, &cells.codes);
            totals.connections_opened += cells.connections_opened.load(Ordering::Relaxed);
            totals.connections_closed += cells.connections_closed.load(Ordering::Relaxed);
            totals.unrecorded += cells.unrecorded.load(Ordering::Relaxed);
            sum(&mut totals.limited, &cells.limited);
            sum(&mut totals.observed, &cells.observed);
            totals.limits_alone += cells.limits_alone.load(Ordering::Relaxed);
        }
        totals
    }

    /// (decision, status, how many), for every pair that was seen.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&'static str, String, u64)> {
        let seen = |decision, counts: &[u64; STATUSES]| {
            let nonzero = counts.iter().enumerate().filter(|(_, seen)| **seen > 0);
            nonzero.map(|(i, seen)| (decision, status_label(i), *seen)).collect::<Vec<_>>()
        };
        seen("allow", &self.allowed).into_iter().chain(seen("deny", &self.denied))
    }

    /// (code, how many), for every code there is, so that a rate can be asked before the first refusal.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::CODES.into_iter().chain([OTHER]).zip(self.codes)
    }

    /// (limit, how many it refused), for every limit there is.
    pub(super) fn limited(&self) -> impl Iterator<Item = (&'static str, u64)> {
        LimitKind::NAMES.into_iter().zip(self.limited)
    }

    /// (limit, how many it would have refused).
    pub(super) fn observed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        LimitKind::NAMES.into_iter().zip(self.observed)
    }
}

/// One worker that counts alone is enough to let more through than the nodes together should.
pub(super) fn are_limits_shared(workers: &[Arc<WorkerCells>]) -> bool {
    !workers.is_empty() && workers.iter().all(|cells| cells.limits_shared.load(Ordering::Relaxed))
}

fn sum<const N: usize>(totals: &mut [u64; N], cells: &[AtomicU64; N]) {
    for (total, cell) in totals.iter_mut().zip(cells) {
        *total += cell.load(Ordering::Relaxed);
    }
}

fn status_label(index: usize) -> String {
    if index == STATUSES - 1 {
        OTHER.to_owned()
    } else {
        (index + usize::from(LOWEST_STATUS)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_status_and_any_code_has_a_cell() {
        let cells = Arc::new(WorkerCells::default());
        for status in [0, 99, 100, 200, 599, 600, 999, u16::MAX] {
            cells.request(status, "");
        }
        cells.request(400, "a_code_of_tomorrow");
        let totals = Totals::of(&[cells]);
        let requests: Vec<_> = totals.requests().collect();
        let of = |status: &str| {
            requests.iter().find(|(_, label, _)| label == status).map_or(0, |(_, _, seen)| *seen)
        };
        assert_eq!((of("100"), of("200"), of("599"), of(OTHER)), (1, 1, 1, 5));
        assert_eq!(totals.refusals().last(), Some((OTHER, 1)));
    }
}
