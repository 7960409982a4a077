//! Many documents: they are loaded whole while others write, and how long it takes is said.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::store::conformance::Subject;
use crate::store::conformance::samples::{change, commit, key, practice, removal};
use crate::store::redis::tests::{Single, open};
use crate::store::{Document, Mode, Position, Safety};

/// 100,000 keys: `POSTERN_BIG=1 cargo nextest run --release --run-ignored all --no-capture a_hundred_thousand`.
#[tokio::test]
#[ignore = "a measurement, for a release build"]
async fn a_hundred_thousand_keys_are_loaded() {
    let subject = Single::start().await;
    let store = subject.node().await;
    for piece in 0..20 {
        let keys = (piece * 5_000..(piece + 1) * 5_000).map(|number| Document::Key(key(number)));
        let begun = Instant::now();
        commit(&*store, piece as u64, &change("import", keys.collect())).await;
        say(&format!("5,000 documents written in {:?}", begun.elapsed()));
    }
    let begun = Instant::now();
    let loaded = store.everything().await.unwrap();
    say(&format!("{} documents loaded in {:?}", loaded.documents.len(), begun.elapsed()));
    assert_eq!(loaded.documents.len(), 100_000);
    let all = (0..100_000).map(|number| Document::Key(key(number))).collect();
    let begun = Instant::now();
    store.commit(Position(20), &change("all", all), Safety::Usual).await.unwrap();
    say(&format!("100,000 documents written at once in {:?}", begun.elapsed()));
}

fn say(line: &str) {
    use std::io::Write;
    drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
}

/// Each change puts a pair and removes the pair before: whoever sees half of one has seen no moment of the registry.
#[tokio::test]
async fn loading_while_others_write_gives_one_moment() {
    let subject = Single::start().await;
    let writer = subject.node().await;
    let still = (0..3_000).map(|number| Document::Key(key(number))).collect();
    commit(&*writer, 0, &change("still", still)).await;
    let writing = tokio::spawn(async move {
        for turn in 1..300_u64 {
            let pair = ["a", "b"].map(|half| practice(&format!("{half}-{turn}"), ""));
            let mut next = change(&format!("t{turn}"), pair.into());
            let old = ["a", "b"].map(|half| practice(&format!("{half}-{}", turn - 1), "").id());
            next.removes = removal("", old.into()).removes;
            writer.commit(Position(turn), &next, Safety::Usual).await.unwrap();
        }
    });
    let reader = Arc::new(open(&subject.1, Mode::Reader).await);
    let mut seen = BTreeSet::new();
    while !writing.is_finished() {
        let loaded = reader.everything().await.unwrap();
        let turn = loaded.position.0 - 1;
        seen.insert(turn);
        let pairs: Vec<_> = loaded
            .documents
            .into_iter()
            .filter(|(_, document)| matches!(document, Document::Practice(_)))
            .map(|(at, document)| (at, document.id().0))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let expected =
            ["a", "b"].map(|half| (Position(turn + 1), format!("practice/{half}-{turn}")));
        assert_eq!(pairs, if turn == 0 { vec![] } else { expected.to_vec() });
    }
    writing.await.unwrap();
    assert!(!seen.is_empty());
}
