//! What every store must do, as tests: one suite, run against each.
//!
//! A store takes part with a [`Subject`], which starts an empty store of its own for each test, and one line:
//!
//! ```ignore
//! crate::store::conformance::suite!(EmbeddedSubject);
//! ```
//!
//! which makes a `#[tokio::test]` of every case below. A case sees the trait alone and never asks which store it has; what
//! only one of them promises is tested beside that one.

use std::future::Future;
use std::sync::Arc;

use crate::store::RegistryStore;

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod changes;
pub(crate) mod everything;
pub(crate) mod feed;
pub(crate) mod follower;
pub(crate) mod nodes;
pub(crate) mod samples;

/// A store to be tried: empty when it starts, gone when it is dropped.
pub(crate) trait Subject: Sized {
    fn start() -> impl Future<Output = Self>;

    /// A handle as a node has it, to read and write. Each is a connection of its own where the store takes several.
    fn node(&self) -> impl Future<Output = Arc<dyn RegistryStore>>;

    /// A handle as a command has it that reads beside the nodes, `Mode::Reader`.
    fn reader(&self) -> impl Future<Output = Arc<dyn RegistryStore>>;
}

/// Makes a test of every case for one [`Subject`].
macro_rules! suite {
    ($subject:ty) => {
        $crate::store::conformance::suite! { $subject;
            changes {
                an_empty_store_has_nothing
                a_store_belongs_to_one_vault
                what_was_put_is_loaded_with_its_position
                a_document_put_again_replaces_the_first
                what_was_removed_is_gone
                removing_what_is_not_there_does_no_harm
                a_change_of_nothing_still_counts
                a_stale_change_is_refused_and_leaves_nothing
                a_change_from_the_future_is_refused
                of_racing_changes_exactly_one_takes_each_position
                nodes_that_race_lose_no_change
                every_kind_of_document_comes_back_as_it_was
                odd_text_comes_back_as_it_was
                a_reader_sees_what_nodes_write
                a_change_while_it_is_loaded_is_told_whole_or_not_at_all
                who_gives_up_loading_holds_up_nobody
            }
            feed {
                news_come_in_order_without_a_gap
                news_begin_after_the_position_asked_for
                no_news_is_said_after_some_patience
                news_wake_whoever_waits
                news_reach_every_handle
                a_position_that_was_never_reached_asks_for_a_reload
                a_big_change_is_followed_to_the_same_end
                a_follower_ends_where_the_store_is
            }
            audit {
                entries_are_told_newest_first
                entries_are_paged_without_gap_or_repeat
                entries_are_filtered_by_practice
                entries_are_filtered_by_time
                entries_are_read_in_order_for_verification
                an_entry_comes_back_byte_for_byte
                the_head_is_the_last_entry
                a_refused_change_adds_no_entry
            }
            nodes {
                last_use_is_the_latest_told
                last_use_is_kept_per_key
                nodes_are_known_by_their_last_heartbeat
                a_receipt_names_the_nodes_that_must_apply
                a_receipt_is_opened_once
                a_node_acknowledges_once
                many_receipts_are_acknowledged_at_once
                a_node_that_nobody_waits_for_may_acknowledge
                a_receipt_may_be_acknowledged_before_it_is_opened
                a_store_tells_its_concerns
            }
        }
    };
    ($subject:ty; $($part:ident { $($case:ident)* })*) => {$(
        mod $part {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    use $crate::store::conformance::Subject as _;
                    let subject = <$subject>::start().await;
                    $crate::store::conformance::$part::$case(&subject).await;
                }
            )*
        }
    )*};
}

pub(crate) use suite;
