//! Committing and loading: what was answered is there, what was refused left nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::model::{KeyId, SubscriberKey, Timestamp};
use crate::store::conformance::Subject;
use crate::store::conformance::everything::Told;
use crate::store::conformance::follower::Follower;
use crate::store::conformance::samples::{self, change, commit, key, practice, removal};
use crate::store::{
    Document, DocumentId, Intake, News, Position, RegistryStore, Safety, StoreError,
};

/// Every document by its id, with the position it was put at.
async fn contents(store: &dyn RegistryStore) -> BTreeMap<String, (Position, Document)> {
    let loaded = store.everything().await.unwrap();
    loaded.documents.into_iter().map(|(at, each)| (each.id().0, (at, each))).collect()
}

/// Says when the first document comes.
#[derive(Debug, Default)]
struct Slow {
    told: Told,
    first: Arc<Notify>,
}

impl Intake for Slow {
    fn restart(&mut self) {
        self.told.restart();
    }
    fn put(&mut self, at: Position, document: Document) {
        self.told.put(at, document);
        self.first.notify_one();
    }
    fn remove(&mut self, id: &DocumentId) {
        self.told.remove(id);
    }
    fn used(&mut self, key: KeyId, at: Timestamp) {
        self.told.used(key, at);
    }
}

/// More than any store holds ready at once.
const MANY: usize = 3_000;

async fn with_many(store: &dyn RegistryStore) {
    commit(store, 0, &change("many", (0..MANY).map(|n| Document::Key(key(n))).collect())).await;
}

async fn assert_conflict(store: &dyn RegistryStore, after: u64, id: &str) {
    let change = change(id, vec![practice("intruder", id)]);
    let outcome = store.commit(Position(after), &change, Safety::Usual).await;
    assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
}

pub(crate) async fn an_empty_store_has_nothing(subject: &impl Subject) {
    let store = subject.node().await;
    let loaded = store.everything().await.unwrap();
    assert_eq!(loaded.position, Position(0));
    assert_eq!(loaded.head, Default::default());
    assert_eq!(loaded.vault, None);
    assert_eq!(loaded.documents, []);
    assert_eq!(loaded.used, []);
    assert_eq!(store.used().await.unwrap(), []);
    assert_eq!(store.nodes().await.unwrap(), []);
    assert_eq!(store.audit_from(1, 10).await.unwrap(), []);
    assert_eq!(store.receipt(samples::key_id(1)).await.unwrap(), []);
}

pub(crate) async fn a_store_belongs_to_one_vault(subject: &impl Subject) {
    let store = subject.node().await;
    store.adopt("first".to_owned()).await.unwrap();
    for other in ["second", "first"] {
        let outcome = store.adopt(other.to_owned()).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    }
    let loaded = subject.node().await.everything().await.unwrap();
    assert_eq!(loaded.vault.as_deref(), Some("first"));
    assert_eq!(loaded.position, Position(0), "adopting is no change");
}

pub(crate) async fn what_was_put_is_loaded_with_its_position(subject: &impl Subject) {
    let store = subject.node().await;
    let (north, south) = (practice("north", "North"), practice("south", "South"));
    let first = commit(&*store, 0, &change("a", vec![north.clone()])).await;
    let second = commit(&*store, 1, &change("b", vec![south.clone(), Document::Key(key(1))])).await;
    assert_eq!((first.position, second.position), (Position(1), Position(2)));
    let store = subject.node().await;
    let expected = [
        (north.id().0, (Position(1), north)),
        (south.id().0, (Position(2), south)),
        (Document::Key(key(1)).id().0, (Position(2), Document::Key(key(1)))),
    ];
    assert_eq!(contents(&*store).await, expected.into());
    assert_eq!(store.everything().await.unwrap().position, Position(2));
}

pub(crate) async fn a_document_put_again_replaces_the_first(subject: &impl Subject) {
    let store = subject.node().await;
    commit(&*store, 0, &change("a", vec![practice("north", "North"), practice("east", "East")]))
        .await;
    commit(&*store, 1, &change("b", vec![practice("north", "Renamed")])).await;
    let contents = contents(&*store).await;
    assert_eq!(contents["practice/north"], (Position(2), practice("north", "Renamed")));
    assert_eq!(contents["practice/east"], (Position(1), practice("east", "East")));
    assert_eq!(contents.len(), 2);
}

pub(crate) async fn what_was_removed_is_gone(subject: &impl Subject) {
    let store = subject.node().await;
    let (north, east) = (practice("north", "North"), practice("east", "East"));
    commit(&*store, 0, &change("a", vec![north.clone(), east.clone()])).await;
    let removed = commit(&*store, 1, &removal("b", vec![north.id()])).await;
    assert_eq!(removed.position, Position(2));
    let left: Vec<_> = contents(&*store).await.into_values().collect();
    assert_eq!(left, [(Position(1), east)]);
    commit(&*store, 2, &change("c", vec![north.clone()])).await;
    assert_eq!(contents(&*store).await["practice/north"], (Position(3), north));
}

pub(crate) async fn removing_what_is_not_there_does_no_harm(subject: &impl Subject) {
    let store = subject.node().await;
    let north = practice("north", "North");
    commit(&*store, 0, &removal("a", vec![north.id()])).await;
    commit(&*store, 1, &change("b", vec![north.clone()])).await;
    commit(
        &*store,
        2,
        &removal("c", vec![practice("nort", "").id(), practice("north-1", "").id()]),
    )
    .await;
    assert_eq!(contents(&*store).await.into_values().collect::<Vec<_>>(), [(Position(2), north)]);
}

pub(crate) async fn a_change_of_nothing_still_counts(subject: &impl Subject) {
    let store = subject.node().await;
    assert_eq!(commit(&*store, 0, &change("a", vec![])).await.position, Position(1));
    assert_eq!(commit(&*store, 1, &change("b", vec![])).await.position, Position(2));
    assert_conflict(&*store, 1, "late").await;
    assert_eq!(store.everything().await.unwrap().position, Position(2));
}

pub(crate) async fn a_stale_change_is_refused_and_leaves_nothing(subject: &impl Subject) {
    let store = subject.node().await;
    commit(&*store, 0, &change("a", vec![practice("north", "North")])).await;
    commit(&*store, 1, &change("b", vec![practice("east", "East")])).await;
    let before = contents(&*store).await;
    for after in [0, 1] {
        assert_conflict(&*store, after, "late").await;
        let mut removing = removal("late", vec![practice("north", "").id()]);
        removing.audit = vec![samples::entry(1, samples::moment(1), None)];
        let outcome = store.commit(Position(after), &removing, Safety::Replicated).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    }
    assert_eq!(contents(&*store).await, before);
    assert_eq!(store.audit_from(1, 10).await.unwrap(), []);
    let told = store.news(Position(0), Duration::ZERO).await.unwrap();
    let News::Changes(told) = told else { panic!("{told:?}") };
    assert_eq!(told.iter().map(|(_, change)| &*change.id).collect::<Vec<_>>(), ["a", "b"]);
    commit(&*store, 2, &change("c", vec![practice("west", "West")])).await;
}

pub(crate) async fn a_change_from_the_future_is_refused(subject: &impl Subject) {
    let store = subject.node().await;
    for after in [1, 7, u64::MAX >> 12] {
        assert_conflict(&*store, after, "early").await;
    }
    assert_eq!(store.everything().await.unwrap().documents, []);
    commit(&*store, 0, &change("a", vec![])).await;
    assert_conflict(&*store, 2, "early").await;
}

pub(crate) async fn of_racing_changes_exactly_one_takes_each_position(subject: &impl Subject) {
    const RACERS: usize = 8;
    let mut handles = Vec::new();
    for _ in 0..RACERS {
        handles.push(subject.node().await);
    }
    for after in 0..10 {
        let racers = handles.iter().enumerate().map(|(racer, store)| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let id = format!("{after}-{racer}");
                let change = change(&id, vec![practice("prize", &id), practice(&id, &id)]);
                let outcome = store.commit(Position(after), &change, Safety::Usual).await;
                (id, outcome)
            })
        });
        let mut winners = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            match racer.await.unwrap() {
                (id, Ok(committed)) => {
                    assert_eq!(committed.position, Position(after + 1));
                    winners.push(id);
                }
                (_, Err(StoreError::Conflict)) => {}
                (id, Err(error)) => panic!("{id}: {error}"),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let contents = contents(&*handles[0]).await;
        let prize = practice("prize", &winners[0]);
        assert_eq!(contents["practice/prize"], (Position(after + 1), prize));
        assert_eq!(contents.len() as u64, after + 2, "a loser left something");
    }
}

/// Each node adds its own documents, one a change, and decides again when another was first, as `Registry::execute` does.
pub(crate) async fn nodes_that_race_lose_no_change(subject: &impl Subject) {
    const NODES: u64 = 4;
    const EACH: u64 = 12;
    let mut nodes = Vec::new();
    for node in 0..NODES {
        let store = subject.node().await;
        nodes.push(tokio::spawn(async move {
            let mut follower = Follower::load(&*store).await;
            let mut written = 0;
            while written < EACH {
                let id = format!("n{node}-{written}");
                let change = change(&id, vec![practice(&id, &id)]);
                match store.commit(follower.position, &change, Safety::Usual).await {
                    Ok(_) => written += 1,
                    Err(StoreError::Conflict) => {}
                    Err(error) => panic!("{error}"),
                }
                follower.catch_up(&*store).await;
            }
        }));
    }
    for node in nodes {
        node.await.unwrap();
    }
    let follower = Follower::load(&*subject.node().await).await;
    assert_eq!(follower.position, Position(NODES * EACH));
    let ids = (0..NODES).flat_map(|node| (0..EACH).map(move |n| format!("practice/n{node}-{n}")));
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    assert_eq!(follower.documents.into_keys().map(|id| id.0).collect::<Vec<_>>(), ids);
}

pub(crate) async fn every_kind_of_document_comes_back_as_it_was(subject: &impl Subject) {
    let store = subject.node().await;
    let documents: BTreeMap<_, _> = samples::one_of_each()
        .into_iter()
        .chain(samples::any_documents(300))
        .map(|document| (document.id(), document))
        .collect();
    commit(&*store, 0, &change("all", documents.values().cloned().collect())).await;
    let node = Follower::load(&*subject.node().await).await;
    assert_eq!(node.documents, documents);
    // The feed writes them in a form of its own.
    let mut told = Follower::default();
    told.catch_up(&*store).await;
    assert_eq!(told.documents, documents);
}

pub(crate) async fn odd_text_comes_back_as_it_was(subject: &impl Subject) {
    let store = subject.node().await;
    for (after, text) in (0..).zip(samples::odd_texts()) {
        let document = practice(&format!("odd-{after}"), &text);
        let mut change = change(&text, vec![document]);
        let mut entry = samples::entry(after + 1, samples::moment(1), None);
        entry.deed.after = Some(serde_json::json!({ text.as_str(): text }));
        change.audit = vec![entry.clone()];
        commit(&*store, after, &change).await;
        let kept = contents(&*store).await;
        let (_, kept) = &kept[&format!("practice/odd-{after}")];
        assert_eq!(*kept, practice(&format!("odd-{after}"), &text));
        assert_eq!(store.audit_from(after + 1, 9).await.unwrap(), [entry]);
        let told = store.news(Position(after), Duration::ZERO).await.unwrap();
        let News::Changes(told) = told else { panic!("{told:?}") };
        assert_eq!(told, [(Position(after + 1), change)]);
    }
}

pub(crate) async fn a_reader_sees_what_nodes_write(subject: &impl Subject) {
    let node = subject.node().await;
    commit(&*node, 0, &change("a", vec![practice("north", "North")])).await;
    let reader = subject.reader().await;
    assert_eq!(contents(&*reader).await, contents(&*node).await);
    commit(&*node, 1, &change("b", vec![practice("east", "East")])).await;
    assert_eq!(reader.everything().await.unwrap().position, Position(2));
    assert_eq!(contents(&*reader).await, contents(&*node).await);
}

pub(crate) async fn a_change_while_it_is_loaded_is_told_whole_or_not_at_all(
    subject: &impl Subject,
) {
    let (store, node) = (subject.node().await, subject.node().await);
    with_many(&*store).await;
    let before = contents(&*store).await;
    let mut intake = Slow::default();
    let first = Arc::clone(&intake.first);
    let mut loading = store.load(&mut intake);
    tokio::select! {
        biased;
        // A quick machine may tell it in one breath.
        loaded = &mut loading => return assert_eq!(loaded.unwrap().position, Position(1)),
        () = first.notified() => {}
    }
    let edited = (0..MANY).step_by(7).map(|n| SubscriberKey { enabled: false, ..key(n) });
    let mut meanwhile = change("meanwhile", edited.map(Document::Key).collect());
    meanwhile.puts.push(practice("new", "New"));
    meanwhile.removes = (1..MANY).step_by(7).map(|n| Document::Key(key(n)).id()).collect();
    commit(&*node, 1, &meanwhile).await;
    let loaded = loading.await.unwrap();
    let expected = match loaded.position {
        Position(1) => before,
        _ => contents(&*store).await,
    };
    let told = intake.told.documents.into_iter().map(|(id, told)| (id.0, told));
    assert!(told.collect::<BTreeMap<_, _>>() == expected, "not as of {:?}", loaded.position);
}

pub(crate) async fn who_gives_up_loading_holds_up_nobody(subject: &impl Subject) {
    let store = subject.node().await;
    with_many(&*store).await;
    let mut intake = Slow::default();
    let first = Arc::clone(&intake.first);
    tokio::select! {
        biased;
        _in_one_breath = store.load(&mut intake) => {}
        () = first.notified() => {}
    }
    assert_eq!(contents(&*store).await.len(), MANY);
}
