//! Several nodes over one store, and a store that forgets.

use std::time::Duration;

use crate::model::{
    Access, AdminToken, Administrator, Permissions, Practice, Role, SubscriberKey, Username,
    Vendor, VendorStatus,
};
use crate::registry::operation::keys::RevokeKey;
use crate::registry::operation::{Held, Proof, Rejection};
use crate::registry::tests::fake::FakeStore;
use crate::registry::tests::samples::{
    Write, actor, at, digest, hash, id, key, practice, revoked, vendor,
};
use crate::registry::tests::{node, open, refusal, revoke};
use crate::registry::{Records, Registry, RegistryError};
use crate::store::{Document, DocumentId, Position};

/// Runs a node until something holds.
async fn until(registry: &Registry, what: &str, mut holds: impl FnMut() -> bool) {
    let look = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let looked = async {
        tokio::select! {
            () = registry.run() => {}
            () = look => {}
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(15), looked).await.is_ok(), "never: {what}");
}

fn stored(store: &FakeStore, id: &str) -> Document {
    store.documents().remove(&DocumentId(id.to_owned())).unwrap().1
}

#[tokio::test]
async fn another_node_follows_and_acknowledges() {
    let (store, vault, a) = node().await;
    let b = open(&store, &vault, "b").await;
    until(&b, "the heartbeat", || store.with(|kept| !kept.nodes_known().is_empty())).await;
    let receipt = async {
        let receipt =
            a.revoke_key(&actor(), RevokeKey { id: id(1), if_match: None }).await.unwrap();
        assert_eq!(refusal(&b.view(), 1), "key_revoked", "it said so, so it is");
        receipt
    };
    let receipt = tokio::select! {
        () = b.run() => unreachable!("endless"),
        receipt = receipt => receipt,
    };
    let nodes: Vec<_> = receipt.nodes.iter().map(|line| line.node.as_str()).collect();
    assert_eq!(nodes, ["a", "b"]);
    assert!(receipt.nodes.iter().all(|line| line.applied_at.is_some()), "{receipt:?}");
    assert_eq!(
        a.revoke_key(&actor(), RevokeKey { id: id(1), if_match: None }).await.unwrap(),
        receipt,
        "the same again"
    );
}

#[tokio::test]
async fn who_asks_for_a_receipt_later_is_not_added_to_it() {
    let (store, vault, a) = node().await;
    let revoke = RevokeKey { id: id(1), if_match: None };
    let receipt = a.revoke_key(&actor(), revoke.clone()).await.unwrap();
    let c = open(&store, &vault, "c").await;
    assert_eq!(c.revoke_key(&actor(), revoke).await.unwrap(), receipt);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_in_the_receipt_without_a_time() {
    let (store, vault, a) = node().await;
    let b = open(&store, &vault, "b").await;
    until(&b, "the heartbeat", || store.with(|kept| !kept.nodes_known().is_empty())).await;
    let receipt = a.revoke_key(&actor(), RevokeKey { id: id(1), if_match: None }).await.unwrap();
    let answered: Vec<_> = receipt.nodes.iter().map(|line| line.applied_at.is_some()).collect();
    assert_eq!(answered, [true, false], "{receipt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_is_followed_again_and_its_absence_is_told() {
    let (store, vault, a) = node().await;
    let b = open(&store, &vault, "b").await;
    *store.is_away.lock().unwrap() = true;
    until(&b, "staleness", || b.staleness() >= Duration::from_secs(3)).await;
    *store.is_away.lock().unwrap() = false;
    a.execute(&actor(), revoke(1)).await.unwrap();
    until(&b, "the revocation", || refusal(&b.view(), 1) == "key_revoked").await;
    assert!(b.staleness() < Duration::from_secs(1), "{:?}", b.staleness());
}

#[tokio::test]
async fn too_far_behind_everything_is_loaded_and_slots_stay() {
    let (store, vault, a) = node().await;
    let b = open(&store, &vault, "b").await;
    let slot = b.view().key_slot(id(2));
    a.execute(&actor(), revoke(1)).await.unwrap();
    store.with(|kept| kept.forgotten = 2);
    b.follow_once().await.unwrap();
    assert_eq!((refusal(&b.view(), 1), b.view().position()), ("key_revoked", Position(2)));
    assert_eq!(b.view().key_slot(id(2)), slot);
}

#[tokio::test]
async fn what_a_store_forgot_is_written_again() {
    let (store, _, registry) = node().await;
    let narrower = SubscriberKey {
        permissions: Permissions::from_iter([("patient", Access::READ)]),
        ..key(2)
    };
    registry.execute(&actor(), revoke(1)).await.unwrap();
    registry.execute(&actor(), Write::one(Document::Key(narrower.clone()))).await.unwrap();
    registry.execute(&actor(), Write::one(Document::Key(key(3)))).await.unwrap();
    store.lose(3);
    registry.follow_once().await.unwrap();
    assert_eq!((refusal(&registry.view(), 1), refusal(&registry.view(), 3)), ("key_revoked", ""));
    assert_eq!(stored(&store, "key/000000000001"), Document::Key(revoked(1)));
    assert_eq!(stored(&store, "key/000000000002"), Document::Key(narrower));
    assert_eq!(stored(&store, "key/000000000003"), Document::Key(key(3)));
    let verdict = registry.verify_audit().await.unwrap();
    assert_eq!((verdict.ok, verdict.broken_at), (false, Some(5)), "entries are lost: {verdict:?}");
    let last = store.audit_entries().pop().unwrap();
    assert_eq!(&*last.deed.action, "store.restore");
    assert_eq!(registry.read(Records::position), Position(2), "the store's own count");
}

#[tokio::test]
async fn an_emptied_store_is_filled_from_memory() {
    let (store, vault, registry) = node().await;
    registry.execute(&actor(), revoke(1)).await.unwrap();
    store.with(|kept| *kept = crate::registry::tests::fake::Kept::default());
    registry.follow_once().await.unwrap();
    assert_eq!(registry.verify_audit().await.unwrap().broken_at, Some(2), "one entry is there");
    for number in 3..8 {
        registry.execute(&actor(), Write::one(Document::Key(key(number)))).await.unwrap();
    }
    assert!(!registry.verify_audit().await.unwrap().ok, "and does not come back by going on");
    let again = open(&store, &vault, "b").await;
    assert_eq!((refusal(&again.view(), 1), refusal(&again.view(), 2)), ("key_revoked", ""));
}

#[tokio::test]
async fn until_it_is_written_again_memory_stays_strict() {
    let (store, _, registry) = node().await;
    registry.execute(&actor(), revoke(1)).await.unwrap();
    store.lose(1);
    store.fail(&[crate::registry::tests::fake::Fault::Unavailable]);
    assert!(registry.follow_once().await.is_err());
    assert_eq!(refusal(&registry.view(), 1), "key_revoked");
    registry.follow_once().await.unwrap();
    assert_eq!(stored(&store, "key/000000000001"), Document::Key(revoked(1)));
}

#[tokio::test]
async fn where_somebody_wrote_since_the_stricter_of_both_stays() {
    let (store, vault, a) = node().await;
    a.execute(&actor(), Write::one(Document::Vendor(vendor("acme")))).await.unwrap();
    let suspended = Vendor { status: VendorStatus::Suspended, ..vendor("acme") };
    let stopped = Practice { api_access: false, ..practice("north") };
    let wider = SubscriberKey {
        permissions: Permissions::from_iter([
            ("patient", Access::READ_WRITE),
            ("files", Access::READ),
        ]),
        ..key(2)
    };
    for document in [
        Document::Key(revoked(1)),
        Document::Key(wider),
        Document::Vendor(suspended.clone()),
        Document::Practice(stopped.clone()),
    ] {
        a.execute(&actor(), Write::one(document)).await.unwrap();
    }
    store.lose(4);
    // A node that started after the loss, and knows nothing of what was lost.
    let b = open(&store, &vault, "b").await;
    let renamed = SubscriberKey { name: "Renamed".into(), ..key(1) };
    b.execute(&actor(), Write::one(Document::Key(renamed.clone()))).await.unwrap();
    a.follow_once().await.unwrap();
    let both = SubscriberKey { revoked_at: revoked(1).revoked_at, ..renamed };
    assert_eq!(stored(&store, "key/000000000001"), Document::Key(both));
    assert_eq!(stored(&store, "key/000000000002"), Document::Key(key(2)), "nothing gets wider");
    assert_eq!(stored(&store, "vendor/acme"), Document::Vendor(suspended));
    assert_eq!(stored(&store, "practice/north"), Document::Practice(stopped));
    b.follow_once().await.unwrap();
    assert_eq!(refusal(&b.view(), 1), "key_revoked");
    assert!(b.verify_audit().await.unwrap().ok, "it saw no more than there is");
    assert_eq!(a.verify_audit().await.unwrap().broken_at, Some(7), "it did");
    let quiet = store.with(|kept| kept.changes.len());
    a.follow_once().await.unwrap();
    assert_eq!(store.with(|kept| kept.changes.len()), quiet, "once, not for ever");
}

#[tokio::test]
async fn another_history_of_the_same_length_is_noticed() {
    let (store, vault, a) = node().await;
    a.execute(&actor(), revoke(1)).await.unwrap();
    store.lose(1);
    let b = open(&store, &vault, "b").await;
    for number in 5..7 {
        b.execute(&actor(), Write::one(Document::Key(key(number)))).await.unwrap();
    }
    // The store is past where this node was: the next change does not follow on the one that it knows.
    a.follow_once().await.unwrap();
    assert_eq!((refusal(&a.view(), 1), refusal(&a.view(), 5)), ("key_revoked", ""));
    assert_eq!(stored(&store, "key/000000000001"), Document::Key(revoked(1)));
}

fn admin(name: &str, role: Role, epoch: u64) -> Document {
    let (username, password) = (Username::parse(name).unwrap(), hash(epoch));
    Document::Admin(Administrator { username, role, password, epoch, created_at: at(1) })
}

fn token(number: u64, name: &str) -> Document {
    Document::AdminToken(AdminToken {
        id: id(number),
        username: Username::parse(name).unwrap(),
        name: "Script".to_owned(),
        digest: digest(number),
        created_at: at(1),
        expires_at: None,
    })
}

#[tokio::test]
async fn administrators_and_tokens_that_were_removed_do_not_come_back() {
    let (store, vault, a) = node().await;
    let puts = vec![
        admin("root", Role::Operator, 1),
        admin("eve", Role::Operator, 1),
        admin("mallory", Role::Operator, 1),
        token(90, "root"),
        token(91, "eve"),
    ];
    a.execute(&actor(), Write { puts, removes: Vec::new() }).await.unwrap();
    let removes = vec![admin("eve", Role::Operator, 1).id(), token(91, "eve").id()];
    let demoted = admin("mallory", Role::Auditor, 2);
    a.execute(&actor(), Write { puts: vec![demoted.clone()], removes }).await.unwrap();
    store.lose(1);
    let b = open(&store, &vault, "b").await;
    b.execute(&actor(), Write::one(token(92, "root"))).await.unwrap();
    b.execute(&actor(), Write::one(Document::Key(key(5)))).await.unwrap();
    a.follow_once().await.unwrap();
    let kept = store.documents();
    let has = |document: &Document| kept.contains_key(&document.id());
    assert!(!has(&admin("eve", Role::Operator, 1)) && !has(&token(91, "eve")));
    assert!(has(&token(90, "root")) && has(&token(92, "root")), "nobody removed these");
    assert_eq!(kept[&demoted.id()].1, demoted);
}

#[tokio::test]
async fn who_was_dismissed_on_another_node_decides_nothing_more() {
    let (store, vault, a) = node().await;
    let puts = vec![admin("root", Role::Operator, 1), token(90, "root")];
    a.execute(&actor(), Write { puts, removes: Vec::new() }).await.unwrap();
    let b = open(&store, &vault, "b").await;
    let removes = vec![admin("root", Role::Operator, 1).id(), token(90, "root").id()];
    a.execute(&actor(), Write { puts: Vec::new(), removes }).await.unwrap();
    // The other node does not know yet when it plans, and learns it from the conflict.
    let (proof, role) = (Proof::Token(digest(90)), Role::Operator);
    let held = Held { proof, role, operation: Write::one(Document::Key(key(5))) };
    let error = b.execute(&actor(), held).await.unwrap_err();
    assert!(matches!(error, RegistryError::Rejected(Rejection::Dismissed)), "{error}");
    assert_eq!(store.with(|kept| kept.changes.len()), 3, "and nothing of it is written");
}

#[tokio::test]
async fn an_operator_is_left() {
    let (store, vault, a) = node().await;
    let (eve, root) = (admin("eve", Role::Operator, 1), admin("root", Role::Operator, 1));
    a.execute(&actor(), Write::one(eve.clone())).await.unwrap();
    a.execute(&actor(), Write { puts: vec![root], removes: vec![eve.id()] }).await.unwrap();
    store.lose(1);
    let b = open(&store, &vault, "b").await;
    b.execute(&actor(), Write::one(Document::Key(key(5)))).await.unwrap();
    b.execute(&actor(), Write::one(Document::Key(key(6)))).await.unwrap();
    a.follow_once().await.unwrap();
    assert_eq!(stored(&store, &eve.id().0), eve);
}
