//! What every [`AccessStore`] must do, as tests: one suite, run against each.
//!
//! A store takes part with a [`HistorySubject`], which starts an empty store of its own for each test, and one line in its
//! tests:
//!
//! ```ignore
//! mod history {
//!     use super::*;
//!     crate::store::conformance::access::history_suite!(EmbeddedHistorySubject);
//! }
//! ```
//!
//! which makes a `#[tokio::test]` of every case below. A case sees the trait alone. Every reading of pages follows `next`
//! to the end ([`read`]), as looking is bounded and how far is the store's own affair.

use std::future::Future;
use std::sync::Arc;

use crate::model::{AccessRecord, Timestamp};
use crate::store::access::{AccessStore, ActivityQuery, Filter, Taken, Whose};

pub(crate) mod notes;
pub(crate) mod pages;
pub(crate) mod samples;
pub(crate) mod sums;
pub(crate) mod taking;

/// A store to be tried: empty when it starts, gone when it is dropped.
pub(crate) trait HistorySubject: Sized {
    fn start() -> impl Future<Output = Self>;

    /// A handle as a node has it, to read and write.
    fn node(&self) -> impl Future<Output = Arc<dyn AccessStore>>;

    /// A handle as a command has it that reads beside the nodes, `Mode::Reader`.
    fn reader(&self) -> impl Future<Output = Arc<dyn AccessStore>>;
}

/// Makes a test of every case for one [`HistorySubject`].
macro_rules! history_suite {
    ($subject:ty) => {
        $crate::store::conformance::access::history_suite! { $subject;
            taking {
                an_empty_history_has_nothing
                what_was_taken_is_there_with_every_field
                a_batch_that_is_sent_twice_is_taken_once
                the_part_that_is_there_already_is_passed_over
                a_batch_beyond_the_store_is_not_taken
                an_empty_batch_changes_nothing
                lanes_are_counted_apart
                a_lane_that_is_over_keeps_its_number_as_long_as_its_records
                a_lane_that_comes_again_is_not_over
                a_reader_sees_what_nodes_write
                nodes_that_write_at_once_lose_nothing
            }
            pages {
                records_are_told_newest_first
                pages_of_any_size_have_neither_gap_nor_repeat
                records_of_one_moment_are_ordered_by_id
                records_are_found_by_whose_they_are
                records_are_found_by_time
                records_are_found_by_what_became_of_them
                filters_hold_together
                a_cursor_stays_while_records_arrive
                records_that_came_late_stand_where_they_belong
            }
            sums {
                sums_are_those_of_the_records
                sums_begin_and_end_with_whole_spans
                a_repeat_adds_up_to_nothing
                totals_answer_each_that_was_asked
                refusals_are_counted_by_day_and_need
                a_summed_refusal_counts_for_all_of_them
                sums_outlive_their_records
                sums_grow_old_as_well
            }
            notes {
                old_records_are_gone_and_younger_ones_stay
                what_is_expired_twice_is_gone_once
                an_alert_is_acknowledged_once
                a_history_tells_its_concerns
            }
        }
    };
    ($subject:ty; $($part:ident { $($case:ident)* })*) => {$(
        mod $part {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    use $crate::store::conformance::access::HistorySubject as _;
                    let subject = <$subject>::start().await;
                    $crate::store::conformance::access::$part::$case(&subject).await;
                }
            )*
        }
    )*};
}

pub(crate) use history_suite;

/// Ships a batch that must be taken.
pub(crate) async fn ship(store: &dyn AccessStore, lane: u64, after: u64, parts: &[samples::Part]) {
    let taken = store.take(samples::batch(lane, after, parts)).await;
    assert_eq!(taken.unwrap(), Taken::All);
}

pub(crate) fn all_of(whose: Whose) -> ActivityQuery {
    ActivityQuery {
        whose,
        from: None,
        to: None,
        filter: Filter::default(),
        after: None,
        limit: 100,
    }
}

pub(crate) fn everybody() -> ActivityQuery {
    all_of(Whose::Everybody)
}

/// Follows `next` to the end.
pub(crate) async fn read(
    store: &dyn AccessStore,
    query: ActivityQuery,
) -> Vec<AccessRecord<'static>> {
    let mut query = query;
    let mut found = Vec::new();
    loop {
        let page = store.page(&query).await.unwrap();
        assert!(page.records.len() <= query.limit, "{} of {}", page.records.len(), query.limit);
        found.extend(page.records);
        let Some(next) = page.next else { return found };
        assert!(query.after.is_none_or(|after| next < after), "it does not go on: {next}");
        query.after = Some(next);
    }
}

/// Until there is nothing more to do.
pub(crate) async fn expire(store: &dyn AccessStore, records: Timestamp, sums: Timestamp) {
    for _ in 0..10_000 {
        if !store.expire(records, sums).await.unwrap().more {
            return;
        }
    }
    panic!("there is always more to delete");
}

/// Newest first, as a page has them.
pub(crate) fn newest_first(
    records: impl IntoIterator<Item = AccessRecord<'static>>,
) -> Vec<AccessRecord<'static>> {
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort_by_key(|record| std::cmp::Reverse((record.opening.ts, record.id)));
    records
}
