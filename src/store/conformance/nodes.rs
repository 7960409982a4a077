//! What nodes tell each other beside changes: last uses, heartbeats, and the receipts of revocations.

use crate::model::{NodeName, Timestamp};
use crate::store::conformance::Subject;
use crate::store::conformance::samples::{self, key_id, moment};
use crate::store::{Applied, NodeStatus, Position, RegistryStore};

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

async fn used(store: &dyn RegistryStore) -> Vec<(usize, Timestamp)> {
    let mut used = store.used().await.unwrap();
    used.sort();
    let mut loaded = store.everything().await.unwrap().used;
    loaded.sort();
    assert_eq!(used, loaded, "`used` and `load` tell the same");
    used.into_iter().map(|(id, at)| (id.as_str().parse().unwrap(), at)).collect()
}

async fn receipt(store: &dyn RegistryStore, key: usize) -> Vec<(String, Option<Timestamp>)> {
    let lines = store.receipt(key_id(key)).await.unwrap();
    let line = |Applied { node, applied_at }: Applied| (node.to_string(), applied_at);
    let mut lines: Vec<_> = lines.into_iter().map(line).collect();
    lines.sort();
    lines
}

pub(crate) async fn last_use_is_the_latest_told(subject: &impl Subject) {
    let (one, other) = (subject.node().await, subject.node().await);
    one.record_use(&[(key_id(1), moment(50))]).await.unwrap();
    other.record_use(&[(key_id(1), moment(20))]).await.unwrap();
    assert_eq!(used(&*one).await, [(1, moment(50))]);
    other.record_use(&[(key_id(1), moment(51))]).await.unwrap();
    assert_eq!(used(&*one).await, [(1, moment(51))]);
    one.record_use(&[(key_id(1), moment(70)), (key_id(1), moment(60))]).await.unwrap();
    assert_eq!(used(&*subject.reader().await).await, [(1, moment(70))]);
}

pub(crate) async fn last_use_is_kept_per_key(subject: &impl Subject) {
    let store = subject.node().await;
    store.record_use(&[]).await.unwrap();
    let many: Vec<_> = (0..2_000).map(|n| (key_id(n), moment(i64::try_from(n).unwrap()))).collect();
    store.record_use(&many).await.unwrap();
    store.record_use(&[(key_id(7), moment(9_999))]).await.unwrap();
    let used = used(&*store).await;
    assert_eq!(used.len(), 2_000);
    assert_eq!((used[6], used[7]), ((6, moment(6)), (7, moment(9_999))));
    let loaded = store.everything().await.unwrap();
    assert_eq!(loaded.position, Position(0), "a use is no change");
}

pub(crate) async fn nodes_are_known_by_their_last_heartbeat(subject: &impl Subject) {
    let store = subject.node().await;
    let beat = |name: &str, position, seen_at| NodeStatus {
        name: node(name),
        position: Position(position),
        seen_at,
    };
    let (first, later) =
        (samples::now(), samples::now().after(std::time::Duration::from_millis(5)));
    store.heartbeat(&beat("gw-1", 3, first)).await.unwrap();
    store.heartbeat(&beat("gw-2", 4, first)).await.unwrap();
    store.heartbeat(&beat("gw-1", 5, later)).await.unwrap();
    let mut nodes = subject.reader().await.nodes().await.unwrap();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(nodes, [beat("gw-1", 5, later), beat("gw-2", 4, first)]);
}

pub(crate) async fn a_receipt_names_the_nodes_that_must_apply(subject: &impl Subject) {
    let store = subject.node().await;
    store.open_receipt(key_id(1), &[node("gw-1"), node("gw-2")]).await.unwrap();
    let reader = subject.reader().await;
    assert_eq!(receipt(&*reader, 1).await, [("gw-1".to_owned(), None), ("gw-2".to_owned(), None)]);
    store.acknowledge(&[key_id(1)], &node("gw-2"), moment(5)).await.unwrap();
    assert_eq!(
        receipt(&*reader, 1).await,
        [("gw-1".to_owned(), None), ("gw-2".to_owned(), Some(moment(5)))]
    );
    assert_eq!(receipt(&*reader, 2).await, []);
}

pub(crate) async fn a_receipt_is_opened_once(subject: &impl Subject) {
    let store = subject.node().await;
    store.open_receipt(key_id(1), &[node("gw-1")]).await.unwrap();
    store.acknowledge(&[key_id(1)], &node("gw-1"), moment(5)).await.unwrap();
    store.open_receipt(key_id(1), &[node("gw-1"), node("gw-9")]).await.unwrap();
    assert_eq!(receipt(&*store, 1).await, [("gw-1".to_owned(), Some(moment(5)))]);
}

pub(crate) async fn a_node_acknowledges_once(subject: &impl Subject) {
    let store = subject.node().await;
    store.open_receipt(key_id(1), &[node("gw-1")]).await.unwrap();
    for at in [moment(5), moment(9), moment(1)] {
        store.acknowledge(&[key_id(1)], &node("gw-1"), at).await.unwrap();
        assert_eq!(receipt(&*store, 1).await, [("gw-1".to_owned(), Some(moment(5)))]);
    }
}

pub(crate) async fn many_receipts_are_acknowledged_at_once(subject: &impl Subject) {
    let store = subject.node().await;
    let keys: Vec<_> = (0..50).map(key_id).collect();
    for key in &keys {
        store.open_receipt(*key, &[node("gw-1"), node("gw-2")]).await.unwrap();
    }
    store.acknowledge(&keys, &node("gw-2"), moment(5)).await.unwrap();
    store.acknowledge(&[], &node("gw-1"), moment(6)).await.unwrap();
    for key in 0..50 {
        assert_eq!(
            receipt(&*store, key).await,
            [("gw-1".to_owned(), None), ("gw-2".to_owned(), Some(moment(5)))]
        );
    }
}

pub(crate) async fn a_node_that_nobody_waits_for_may_acknowledge(subject: &impl Subject) {
    let store = subject.node().await;
    store.open_receipt(key_id(1), &[node("gw-1")]).await.unwrap();
    store.acknowledge(&[key_id(1)], &node("gw-9"), moment(5)).await.unwrap();
    assert_eq!(
        receipt(&*store, 1).await,
        [("gw-1".to_owned(), None), ("gw-9".to_owned(), Some(moment(5)))]
    );
    assert_eq!(receipt(&*store, 2).await, []);
}

pub(crate) async fn a_receipt_may_be_acknowledged_before_it_is_opened(subject: &impl Subject) {
    let (one, other) = (subject.node().await, subject.node().await);
    for at in [moment(5), moment(9)] {
        other.acknowledge(&[key_id(1)], &node("gw-2"), at).await.unwrap();
    }
    assert_eq!(receipt(&*one, 1).await, [("gw-2".to_owned(), Some(moment(5)))]);
    one.open_receipt(key_id(1), &[node("gw-1"), node("gw-2")]).await.unwrap();
    one.acknowledge(&[key_id(1)], &node("gw-1"), moment(6)).await.unwrap();
    let whole = [("gw-1".to_owned(), Some(moment(6))), ("gw-2".to_owned(), Some(moment(5)))];
    assert_eq!(receipt(&*one, 1).await, whole);
    one.open_receipt(key_id(1), &[node("gw-9")]).await.unwrap();
    assert_eq!(receipt(&*other, 1).await, whole, "it is open already");
}

/// Whatever they are here: each is a sentence for people.
pub(crate) async fn a_store_tells_its_concerns(subject: &impl Subject) {
    for concern in subject.node().await.concerns().await.unwrap() {
        assert!(concern.len() > 20 && concern.contains(' '), "{concern:?}");
    }
}
