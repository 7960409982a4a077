//! The audit: every entry of every change that was taken, none of any other, in the order of the chain.

use crate::model::{AuditEntry, Timestamp};
use crate::store::conformance::Subject;
use crate::store::conformance::samples::{self, change, commit, entry, moment, practice_id};
use crate::store::{AuditQuery, Position, RegistryStore, Safety, StoreError};

const NONE: [u64; 0] = [];

/// Twelve entries in six changes, a second apart: `north`, `south` and nobody's in turn.
async fn some_history(store: &dyn RegistryStore) -> Vec<AuditEntry> {
    let practices = [Some("north"), Some("south"), None];
    let entries: Vec<_> = (1..=12_u64)
        .map(|seq| {
            let at = moment(i64::try_from(seq).unwrap());
            entry(seq, at, practices[usize::try_from(seq).unwrap() % 3])
        })
        .collect();
    for (after, pair) in (0..).zip(entries.chunks(2)) {
        let mut change = change(&format!("c{after}"), vec![]);
        change.audit = pair.to_vec();
        commit(store, after, &change).await;
    }
    entries
}

async fn seqs(store: &dyn RegistryStore, query: AuditQuery) -> Vec<u64> {
    store.audit(&query).await.unwrap().iter().map(|entry| entry.seq).collect()
}

fn all() -> AuditQuery {
    AuditQuery { limit: 100, ..AuditQuery::default() }
}

fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> AuditQuery {
    AuditQuery { from, to, ..all() }
}

pub(crate) async fn entries_are_told_newest_first(subject: &impl Subject) {
    let store = subject.node().await;
    let mut entries = some_history(&*store).await;
    entries.reverse();
    assert_eq!(subject.reader().await.audit(&all()).await.unwrap(), entries);
    assert_eq!(seqs(&*store, AuditQuery { limit: 3, ..all() }).await, [12, 11, 10]);
    assert_eq!(seqs(&*store, AuditQuery { limit: 0, ..all() }).await, NONE);
}

pub(crate) async fn entries_are_paged_without_gap_or_repeat(subject: &impl Subject) {
    let store = subject.node().await;
    some_history(&*store).await;
    for limit in [1, 2, 5, 12] {
        let mut read = Vec::new();
        let mut before = None;
        loop {
            let page = seqs(&*store, AuditQuery { before, limit, ..all() }).await;
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit, "{page:?}");
            before = Some(*last);
            read.extend(page);
        }
        assert_eq!(read, (1..=12).rev().collect::<Vec<_>>(), "by {limit}");
    }
    assert_eq!(seqs(&*store, AuditQuery { before: Some(1), ..all() }).await, NONE);
}

pub(crate) async fn entries_are_filtered_by_practice(subject: &impl Subject) {
    let store = subject.node().await;
    some_history(&*store).await;
    let of = |name: &str| AuditQuery { practice: Some(practice_id(name)), ..all() };
    assert_eq!(seqs(&*store, of("north")).await, [12, 9, 6, 3]);
    assert_eq!(seqs(&*store, of("south")).await, [10, 7, 4, 1]);
    assert_eq!(seqs(&*store, of("nort")).await, NONE);
    let paged = AuditQuery { before: Some(9), limit: 1, ..of("north") };
    assert_eq!(seqs(&*store, paged).await, [6]);
}

pub(crate) async fn entries_are_filtered_by_time(subject: &impl Subject) {
    let store = subject.node().await;
    some_history(&*store).await;
    let from = between(Some(moment(10)), None);
    assert_eq!(seqs(&*store, from).await, [12, 11, 10], "at that moment or later");
    let to = between(None, Some(moment(3)));
    assert_eq!(seqs(&*store, to).await, [2, 1], "before that moment");
    let both = between(Some(moment(4)), Some(moment(8)));
    assert_eq!(seqs(&*store, both.clone()).await, [7, 6, 5, 4]);
    let north = AuditQuery { practice: Some(practice_id("north")), ..both.clone() };
    assert_eq!(seqs(&*store, north).await, [6]);
    assert_eq!(seqs(&*store, AuditQuery { before: Some(6), limit: 1, ..both }).await, [5]);
    assert_eq!(seqs(&*store, between(Some(moment(8)), Some(moment(8)))).await, NONE);
    let long_ago = between(None, Some(Timestamp::from_micros(0)));
    assert_eq!(seqs(&*store, long_ago).await, NONE);
}

pub(crate) async fn entries_are_read_in_order_for_verification(subject: &impl Subject) {
    let store = subject.node().await;
    let entries = some_history(&*store).await;
    assert_eq!(store.audit_from(1, 100).await.unwrap(), entries);
    assert_eq!(store.audit_from(4, 3).await.unwrap(), entries[3..6]);
    assert_eq!(store.audit_from(12, 3).await.unwrap(), entries[11..]);
    assert_eq!(store.audit_from(13, 3).await.unwrap(), []);
}

/// The chain is over an entry's text: the order of fields in `before` and `after` must survive, too.
pub(crate) async fn an_entry_comes_back_byte_for_byte(subject: &impl Subject) {
    let store = subject.node().await;
    let entries = some_history(&*store).await;
    let kept = store.audit_from(1, 100).await.unwrap();
    for (written, kept) in entries.iter().zip(&kept) {
        let text = |entry: &AuditEntry| serde_json::to_string(entry).unwrap();
        assert_eq!(text(kept), text(written));
    }
}

pub(crate) async fn the_head_is_the_last_entry(subject: &impl Subject) {
    let store = subject.node().await;
    let entries = some_history(&*store).await;
    let head = samples::head(&entries[11]);
    assert_eq!(store.everything().await.unwrap().head, head);
    commit(&*store, 6, &change("without an entry", vec![])).await;
    assert_eq!(subject.node().await.everything().await.unwrap().head, head);
}

pub(crate) async fn a_refused_change_adds_no_entry(subject: &impl Subject) {
    let store = subject.node().await;
    let entries = some_history(&*store).await;
    let mut late = change("late", vec![]);
    late.audit = vec![entry(13, moment(13), Some("north"))];
    let outcome = store.commit(Position(5), &late, Safety::Usual).await;
    assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    assert_eq!(store.audit_from(1, 100).await.unwrap(), entries);
    assert_eq!(store.everything().await.unwrap().head, samples::head(&entries[11]));
}
