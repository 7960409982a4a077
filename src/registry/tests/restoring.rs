//! What stays of two histories, and what a late load takes back: nothing.

use ipnet::IpNet;

use crate::model::{Administrator, PracticeId, Role, Sealed, SecretHash, SubscriberKey, Username};
use crate::registry::Records;
use crate::registry::gathered::Gathered;
use crate::registry::restore::{Kinship, Looked, joined};
use crate::registry::tests::samples::{actor, at, hash, id, key, revoked};
use crate::registry::tests::{node, open, refusal, revoke};
use crate::store::{Document, News, Position, RegistryStore as _};

fn admin(role: Role, password: u64, epoch: u64) -> Administrator {
    let username = Username::parse("mal").unwrap();
    Administrator { username, role, password: hash(password), epoch, created_at: at(1) }
}

/// What becomes of theirs, by what is known here.
fn admin_of(ours: &Administrator, theirs: &Administrator) -> (Role, SecretHash, u64) {
    let (ours, theirs) = (Document::Admin(ours.clone()), Document::Admin(theirs.clone()));
    match joined(&ours, &theirs).unwrap_or(theirs) {
        Document::Admin(admin) => (admin.role, admin.password, admin.epoch),
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_changes_of_an_administrator_the_lesser_role_and_the_later_password_stay() {
    let demoted = admin(Role::Auditor, 1, 2);
    let reset = admin(Role::Operator, 2, 2);
    assert_eq!(admin_of(&demoted, &reset), (Role::Auditor, hash(2), 3));
    assert_eq!(admin_of(&reset, &demoted), (Role::Auditor, hash(2), 3));
    let reset_again = admin(Role::Operator, 3, 3);
    assert_eq!(admin_of(&demoted, &reset_again), (Role::Auditor, hash(3), 4));
    assert_eq!(admin_of(&reset_again, &demoted), (Role::Auditor, hash(3), 3));
    assert_eq!(admin_of(&reset, &reset_again), (Role::Operator, hash(3), 3));
    let moved = admin(Role::PracticeAdmin(PracticeId::parse("north").unwrap()), 1, 2);
    assert_eq!(admin_of(&demoted, &moved).0, moved.role, "which is less, nobody can say");
    let another = Administrator { created_at: at(2), ..reset };
    assert_eq!(admin_of(&demoted, &another), (Role::Operator, hash(2), 2));
}

#[test]
fn what_was_joined_once_stays_as_it_is() {
    let (ours, theirs) = (admin(Role::Auditor, 1, 2), admin(Role::Operator, 2, 2));
    let (role, password, epoch) = admin_of(&ours, &theirs);
    let once = Administrator { role, password, epoch, ..theirs };
    assert_eq!(joined(&Document::Admin(ours), &Document::Admin(once)), None);
}

fn from(addresses: &[&str]) -> SubscriberKey {
    let addresses = addresses.iter().map(|text| text.parse::<IpNet>().unwrap());
    SubscriberKey { allowed_ips: addresses.collect(), ..key(1) }
}

fn key_of(ours: SubscriberKey, theirs: SubscriberKey) -> SubscriberKey {
    match joined(&Document::Key(ours), &Document::Key(theirs)) {
        Some(Document::Key(key)) => key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_may_be_used_from_where_both_histories_allow_it() {
    let networks = ["192.0.2.0/24", "2001:db8::/32"];
    for (ours, theirs, both) in [
        (&["192.0.2.7/32"][..], &networks[..], &["192.0.2.7/32"][..]),
        (&networks, &["192.0.2.7/32", "198.51.100.1/32"], &["192.0.2.7/32"]),
        (&[], &networks, &networks),
        (&networks, &[], &networks),
        (&networks, &networks, &networks),
        (&[], &[], &[]),
    ] {
        assert_eq!(key_of(from(ours), from(theirs)), from(both), "{ours:?} {theirs:?}");
    }
    let apart = key_of(from(&["192.0.2.7/32"]), from(&["198.51.100.1/32"]));
    let off = SubscriberKey { enabled: false, ..from(&["198.51.100.1/32"]) };
    assert_eq!(apart, off, "no list says nowhere");
}

#[test]
fn a_revocation_takes_the_sealed_copy_along() {
    let theirs = SubscriberKey { sealed: Some(Sealed(Box::new([7; 40]))), ..key(1) };
    assert_eq!(key_of(revoked(1), theirs.clone()), revoked(1));
    assert_eq!(key_of(key(1), theirs.clone()), theirs);
}

#[tokio::test]
async fn what_was_loaded_before_the_feed_went_on_takes_nothing_back() {
    let (store, _, registry) = node().await;
    let mut loaded = Gathered::default();
    loaded.load(&*store).await.unwrap();
    registry.execute(&actor(), revoke(1)).await.unwrap();
    let looked = registry.take_unless_lost(Position(1), &loaded, Kinship::Later);
    assert!(matches!(looked, Looked::Late), "{looked:?}");
    assert_eq!(refusal(&registry.view(), 1), "key_revoked");
    assert_eq!(registry.read(Records::position), Position(2));
    assert_eq!(registry.read(|records| records.key(id(1)).unwrap().revision), Position(2));
}

#[tokio::test]
async fn old_news_is_no_reason_to_load_everything() {
    let (store, vault, a) = node().await;
    let b = open(&store, &vault, "b").await;
    a.execute(&actor(), revoke(1)).await.unwrap();
    let News::Changes(changes) = store.news(Position(1), Default::default()).await.unwrap() else {
        panic!("no changes")
    };
    // The feed says that it has forgotten what comes next, while a decision that is being made catches up.
    store.with(|kept| kept.forgotten = 2);
    let decision = b.writer.lock().await;
    let meanwhile = async {
        tokio::task::yield_now().await;
        assert!(b.take(&changes));
        *store.is_away.lock().unwrap() = true;
        drop(decision);
    };
    let (followed, ()) = tokio::join!(b.follow_once(), meanwhile);
    assert!(followed.unwrap(), "asks again");
    assert_eq!(refusal(&b.view(), 1), "key_revoked");
}
