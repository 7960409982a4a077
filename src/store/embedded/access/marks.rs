//! What a block may hold, in two numbers beside it, so that a filter passes over most blocks without reading them.
//!
//! ```text
//! marks   bits 0-2    the decisions that occur: allow, deny, observe
//!         bits 3-9    the classes of statuses that occur: none, 1xx, … 5xx, above
//!         bits 10-62  the statuses that occur, each at 10 + status % 53
//! words   bits 0-62   scopes, their categories and vendors, each at crc32(kind and text) % 63
//! ```
//!
//! A bit that is not set says for sure that nothing of the kind is there. They are kept in the store: another meaning of a
//! bit is another form of the store (`schema`).

use crate::model::Decision;
use crate::store::access::{Filter, StatusFilter};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) marks: i64,
    pub(super) words: i64,
}

fn decision_bit(decision: Decision) -> i64 {
    match decision {
        Decision::Allow => 1,
        Decision::Deny => 1 << 1,
        Decision::Observe => 1 << 2,
    }
}

fn class_bit(class: u16) -> i64 {
    1 << (3 + class.min(6))
}

fn status_bit(status: u16) -> i64 {
    1 << (10 + status % 53)
}

/// `s` for a scope or a category, `v` for a vendor.
fn word_bit(kind: u8, text: &str) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(text.as_bytes());
    1 << (hasher.finalize() % 63)
}

fn scope_bits(scope: &str) -> i64 {
    let category = scope.split_once('.').map_or(0, |(category, _)| word_bit(b's', category));
    category | word_bit(b's', scope)
}

impl Marks {
    /// Of a record, or of many that have these in common.
    pub(super) fn add(&mut self, decision: Decision, status: u16, category: &str, vendor: &str) {
        self.marks |= decision_bit(decision) | class_bit(status / 100) | status_bit(status);
        let scopes = category.split(' ').map(scope_bits);
        self.words |= scopes.fold(word_bit(b'v', vendor), |all, scope| all | scope);
    }

    /// What must be there for any record to pass.
    pub(super) fn needed(filter: &Filter) -> Self {
        let Filter { status, category, vendor, decision } = filter;
        let status = match status {
            None => 0,
            Some(StatusFilter::Exactly(status)) => status_bit(*status) | class_bit(status / 100),
            Some(StatusFilter::Class(class)) => class_bit(*class),
        };
        let word =
            |kind, text: &Option<Box<str>>| text.as_ref().map_or(0, |text| word_bit(kind, text));
        Self {
            marks: status | decision.map_or(0, decision_bit),
            words: word(b's', category) | word(b'v', vendor),
        }
    }

    pub(super) fn have(self, needed: Self) -> bool {
        self.marks & needed.marks == needed.marks && self.words & needed.words == needed.words
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{AccessRecord, LaneId, RecordId};
    use crate::store::conformance::access::samples::any_part;

    proptest! {
        #[test]
        fn what_a_filter_takes_is_never_passed_over(parts in prop::collection::vec(any_part(), 1..5), which in any::<prop::sample::Index>()) {
            let mut marks = Marks::default();
            let records: Vec<_> = parts.into_iter().map(|(opening, outcome)| {
                AccessRecord { id: RecordId { lane: LaneId(1), seq: 1 }, node: "".into(), opening, outcome }
            }).collect();
            for AccessRecord { opening, outcome, .. } in &records {
                marks.add(outcome.decision, outcome.status, &opening.category, &opening.vendor);
            }
            let record = which.get(&records);
            let scope = record.opening.category.split(' ').next().unwrap();
            let category = scope.split_once('.').map_or(scope, |(category, _)| category);
            for status in [StatusFilter::Exactly(record.outcome.status), StatusFilter::Class(record.outcome.status / 100)] {
                for category in [scope, category] {
                    let filter = Filter {
                        status: Some(status),
                        category: Some(category.into()),
                        vendor: Some((*record.opening.vendor).into()),
                        decision: Some(record.outcome.decision),
                    };
                    prop_assert!(filter.takes(record));
                    prop_assert!(marks.have(Marks::needed(&filter)));
                }
            }
            prop_assert!(marks.have(Marks::needed(&Filter::default())));
        }
    }

    #[test]
    fn common_statuses_are_told_apart() {
        let statuses = [
            200, 201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 409, 422, 429, 500, 502,
            503, 504,
        ];
        let bits: std::collections::BTreeSet<_> = statuses.map(status_bit).into_iter().collect();
        assert_eq!(bits.len(), statuses.len());
    }
}
