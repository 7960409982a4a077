//! The registry over a store whose faults are chosen.

use std::sync::{Arc, Mutex};

use crate::model::{NodeName, Session, Timestamp, Username};
use crate::registry::operation::administrators::ClearExpired;
use crate::registry::operation::import::Import;
use crate::registry::operation::keys::KillToken;
use crate::registry::tests::fake::{FakeStore, Fault};
use crate::registry::tests::samples::{
    Write, actor, at, digest, gathered, id, key, practice, revoked, terms, vendor,
};
use crate::registry::view::Identity;
use crate::registry::{Registry, RegistryError, View, kill};
use crate::store::{Document, Position, Safety, StoreError};
use crate::vault::Vault;

pub(in crate::registry) mod fake;
mod nodes;
mod restoring;
pub(in crate::registry) mod samples;

async fn open(store: &Arc<FakeStore>, vault: &Arc<Vault>, node: &str) -> Registry {
    let (store, vault) = (Arc::clone(store), Arc::clone(vault));
    Registry::open(store, vault, NodeName::parse(node).unwrap(), terms()).await.unwrap()
}

/// A node over a new store that has practice `north` and the keys 1 and 2.
async fn node() -> (Arc<FakeStore>, Arc<Vault>, Registry) {
    let store = Arc::new(FakeStore::default());
    let vault = Arc::new(Vault::ephemeral().unwrap());
    let registry = open(&store, &vault, "a").await;
    let puts =
        vec![Document::Practice(practice("north")), Document::Key(key(1)), Document::Key(key(2))];
    registry.execute(&actor(), Write { puts, removes: Vec::new() }).await.unwrap();
    (store, vault, registry)
}

/// What a key is refused with; nothing where it passes.
fn refusal(view: &View, number: u64) -> &'static str {
    let key = view.key_slot(id(number)).unwrap();
    let identity = Identity { key, vendor_key: None, scope: None, token: None };
    let address = [10, 0, 0, 1].into();
    match view.caller(&identity, address, at(100)) {
        Err(refusal) => refusal.code(),
        Ok(caller) => caller.objection.map_or("", |objection| objection.code()),
    }
}

fn revoke(number: u64) -> Write {
    Write::one(Document::Key(revoked(number)))
}

#[tokio::test]
async fn what_was_executed_is_in_the_view_when_it_returns() {
    let (store, _, registry) = node().await;
    assert_eq!((refusal(&registry.view(), 1), refusal(&registry.view(), 2)), ("", ""));
    let done = registry.execute(&actor(), revoke(1)).await.unwrap();
    assert_eq!((refusal(&registry.view(), 1), refusal(&registry.view(), 2)), ("key_revoked", ""));
    assert_eq!((done.position, registry.view().position()), (Position(2), Position(2)));
    assert_eq!(store.safeties.lock().unwrap().last(), Some(&Safety::Replicated));
    assert_eq!(registry.index().key(&digest(1)), registry.view().key_slot(id(1)));
}

#[tokio::test]
async fn views_are_published_in_order_and_each_before_its_answer() {
    let (_, _, registry) = node().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let published = Arc::clone(&seen);
    registry.publish_to(Box::new(move |view| published.lock().unwrap().push(view.position().0)));
    assert_eq!(*seen.lock().unwrap(), [1], "the view of now comes at once");
    for number in 3..6 {
        let done =
            registry.execute(&actor(), Write::one(Document::Key(key(number)))).await.unwrap();
        assert_eq!(seen.lock().unwrap().last(), Some(&done.position.0));
    }
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4]);
    let of_recompile = registry.recompile(terms(), |view| view.position());
    assert_eq!((of_recompile, seen.lock().unwrap().len()), (Position(4), 4));
}

#[tokio::test]
async fn every_decision_waits_for_replicas_and_signing_in_does_not() {
    let (store, _, registry) = node().await;
    let session = Document::Session(Session {
        id: id(50),
        username: Username::parse("root").unwrap(),
        epoch: 1,
        digest: digest(50),
        created_at: at(1),
        expires_at: at(2),
    });
    let ended = Write { puts: Vec::new(), removes: vec![session.id()] };
    let edited = Write::one(Document::Vendor(vendor("acme")));
    let cases = [
        (Write::one(session.clone()), Safety::Usual),
        (edited, Safety::Replicated),
        (ended, Safety::Replicated),
    ];
    for (write, safety) in cases {
        registry.execute(&actor(), write).await.unwrap();
        assert_eq!(store.safeties.lock().unwrap().last(), Some(&safety));
    }
    registry.execute(&actor(), Write::one(session)).await.unwrap();
    registry.execute(&actor(), revoke(1)).await.unwrap();
    registry.execute(&actor(), ClearExpired).await.unwrap();
    assert_eq!(store.safeties.lock().unwrap().last(), Some(&Safety::Usual));
}

fn give_back(number: u64) -> KillToken {
    let expires_at = Timestamp::from_micros(i64::MAX);
    KillToken { id: id(number), key: id(1), expires_at }
}

#[tokio::test]
async fn tokens_that_are_given_back_hold_up_no_decision_for_long() {
    let (store, _, registry) = node().await;
    let registry = Arc::new(registry);
    let begun = registry.writer.lock().await;
    let mut waiting = Vec::new();
    for number in 0..kill::AT_ONCE {
        let registry = Arc::clone(&registry);
        let one = give_back(100 + u64::try_from(number).unwrap());
        waiting.push(tokio::spawn(async move { registry.kill_token(actor(), one).await }));
    }
    while registry.kills.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    // A caller who hangs up does not make room.
    waiting.pop().unwrap().abort();
    tokio::task::yield_now().await;
    let refused = registry.kill_token(actor(), give_back(200)).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Busy), "{refused}");
    drop(begun);
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    registry.execute(&actor(), revoke(1)).await.unwrap();
    assert_eq!(registry.read(|records| records.dead_tokens_of(id(1))), kill::AT_ONCE);
    let safeties = store.safeties.lock().unwrap().clone();
    let usual = safeties.iter().filter(|safety| **safety == Safety::Usual).count();
    assert_eq!(usual, kill::AT_ONCE, "no wait for replicas: {safeties:?}");
    registry.kill_token(actor(), give_back(201)).await.unwrap();
}

#[tokio::test]
async fn an_import_names_keys_that_are_there_beside_other_faults() {
    let (_, vault, registry) = node().await;
    let vendor = r#"{"kind":"vendor","id":"acme","name":"Acme"}"#;
    let key = r#"{"kind":"vendor_key","vendor":"acme","key":"chosen-by-a-person"}"#;
    let read =
        |text: String| Import::read(text.as_bytes(), &terms(), &vault, &mut |_, _| {}).unwrap();
    let first = read(format!("{vendor}\n{key}"));
    registry.execute(&actor(), first).await.unwrap().output.unwrap();
    let again = read(format!("{{}}\n{key}"));
    let faults = registry.execute(&actor(), again).await.unwrap().output.unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(faults[1].message, "`key` is there already");
}

#[tokio::test]
async fn what_changes_nothing_is_not_written() {
    let (store, _, registry) = node().await;
    let done = registry.execute(&actor(), Write::default()).await.unwrap();
    assert_eq!((done.output, done.position), (2, Position(1)));
    assert_eq!(store.with(|kept| kept.changes.len()), 1);
}

#[tokio::test]
async fn where_another_node_was_first_the_operation_is_asked_again() {
    let (store, vault, a) = node().await;
    let b = open(&store, &vault, "b").await;
    a.execute(&actor(), Write::one(Document::Key(key(3)))).await.unwrap();
    // It planned against two keys first, then against three.
    let done = b.execute(&actor(), revoke(1)).await.unwrap();
    assert_eq!((done.output, done.position), (3, Position(3)));
    assert_eq!((refusal(&b.view(), 1), refusal(&b.view(), 3)), ("key_revoked", ""));
    assert!(b.verify_audit().await.unwrap().ok);
}

#[tokio::test]
async fn out_of_reach_nothing_changes_and_the_error_says_so() {
    let (store, _, registry) = node().await;
    store.fail(&[Fault::Unavailable]);
    let error = registry.execute(&actor(), revoke(1)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Store(StoreError::Unavailable(_))), "{error}");
    assert_eq!((refusal(&registry.view(), 1), registry.view().position()), ("", Position(1)));
}

#[tokio::test]
async fn a_change_that_was_taken_without_an_answer_is_found_again() {
    let (store, _, registry) = node().await;
    store.fail(&[Fault::TakenUntold]);
    let done = registry.execute(&actor(), revoke(1)).await.unwrap();
    assert_eq!((done.position, refusal(&registry.view(), 1)), (Position(2), "key_revoked"));
    assert_eq!(store.with(|kept| kept.changes.len()), 2, "taken once");
}

#[tokio::test]
async fn a_change_that_was_lost_without_an_answer_is_written_once_more() {
    let (store, _, registry) = node().await;
    store.fail(&[Fault::LostUntold, Fault::LostUntold]);
    let done = registry.execute(&actor(), revoke(1)).await.unwrap();
    assert_eq!((done.position, refusal(&registry.view(), 1)), (Position(2), "key_revoked"));
    assert_eq!(store.with(|kept| kept.changes.len()), 2, "taken once");
}

#[tokio::test]
async fn an_outcome_that_nobody_can_know_is_told_as_such() {
    let (store, _, registry) = node().await;
    store.fail(&[Fault::LostUntold; 3]);
    let error = registry.execute(&actor(), revoke(1)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Store(StoreError::Unknown(_))), "{error}");
    assert!(error.to_string().contains("is not known"), "{error}");
    // Nothing of it stays behind: the next one is decided and kept.
    registry.execute(&actor(), revoke(2)).await.unwrap();
    assert_eq!((refusal(&registry.view(), 1), refusal(&registry.view(), 2)), ("", "key_revoked"));
}

#[tokio::test]
async fn a_store_of_another_pepper_is_refused_with_what_to_do() {
    let (store, _, _) = node().await;
    let other = Arc::new(Vault::ephemeral().unwrap());
    let node = NodeName::parse("b").unwrap();
    let error = Registry::open(store, other, node, terms()).await.unwrap_err();
    assert!(matches!(error, RegistryError::OtherVault(_)), "{error}");
    assert!(error.to_string().contains("none of its 2 keys"), "{error}");
}

#[tokio::test]
async fn the_chain_shows_what_was_changed_dropped_or_cut_off() {
    let (store, _, registry) = node().await;
    for number in 3..8 {
        registry.execute(&actor(), Write::one(Document::Key(key(number)))).await.unwrap();
    }
    let verdict = || async { registry.verify_audit().await.unwrap() };
    assert_eq!((verdict().await.ok, verdict().await.entries), (true, 8));
    let entry = |kept: &mut fake::Kept, number: usize| kept.changes[number].audit.clone();
    let whole = store.with(|kept| entry(kept, 4));
    store.with(|kept| kept.changes[4].audit[0].actor.username = Username::parse("eve").unwrap());
    assert_eq!(verdict().await.broken_at, Some(7));
    store.with(|kept| kept.changes[4].audit.clear());
    assert_eq!(verdict().await.broken_at, Some(7));
    store.with(|kept| kept.changes[4].audit = whole);
    assert!(verdict().await.ok);
    store.with(|kept| kept.changes[5].audit.clear());
    assert_eq!(verdict().await.broken_at, Some(8), "cut off at the end");
}

#[tokio::test]
async fn last_uses_are_written_once_and_survive_a_restart() {
    let (store, vault, registry) = node().await;
    let used = |view: &View, seconds| {
        view.used(view.key_slot(id(1)).unwrap(), at(seconds));
    };
    used(&registry.view(), 50);
    assert_eq!((registry.last_used(id(1)), registry.last_used(id(2))), (Some(at(50)), None));
    *store.is_away.lock().unwrap() = true;
    assert!(registry.flush().await.is_err());
    *store.is_away.lock().unwrap() = false;
    registry.flush().await.unwrap();
    store.with(|kept| {
        assert_eq!(
            std::mem::take(&mut kept.used).into_iter().collect::<Vec<_>>(),
            [(id(1), at(50))]
        )
    });
    registry.flush().await.unwrap();
    assert!(store.with(|kept| kept.used.is_empty()), "nothing new, nothing written");
    used(&registry.view(), 60);
    registry.flush().await.unwrap();
    let again = open(&store, &vault, "a").await;
    assert_eq!(again.last_used(id(1)), Some(at(60)));
}

/// How much a hundred thousand keys cost; prints and checks where somebody asks for it: `POSTERN_BIG=1`.
#[test]
fn a_hundred_thousand_keys_fit() {
    if std::env::var_os("POSTERN_BIG").is_none() {
        return;
    }
    // KiB of memory of its own, without the program's text.
    let resident = || -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident();
    let mut state =
        crate::registry::state::State::new(gathered(Position(0), []), Arc::new(terms()));
    let begun = std::time::Instant::now();
    for piece in 0..100 {
        // Ids and digests without an order, as real ones are.
        let numbers = (1..=1000).map(|each| (piece * 1000 + each) * 7_919 % 1_000_003);
        let change = crate::store::Change {
            id: String::new(),
            at: Timestamp::default(),
            puts: numbers.map(key).map(Document::Key).collect(),
            removes: Vec::new(),
            audit: Vec::new(),
        };
        state.take_own(Position(piece + 1), &change);
    }
    let cost = resident().saturating_sub(before);
    println!("100,000 keys: {cost} KiB resident, applied in {:?}", begun.elapsed());
    let documents: Vec<_> = state.records.documents().collect();
    let begun = std::time::Instant::now();
    let loaded = gathered(Position(100), documents);
    let again = crate::registry::state::State::new(loaded, Arc::new(terms()));
    println!("loaded and compiled at once in {:?}", begun.elapsed());
    assert_eq!(again.records.key_count(), 100_000);
    assert!(cost < 60 * 1024, "{cost} KiB");
    assert_eq!(state.records.key_count(), 100_000);
}
