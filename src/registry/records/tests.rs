//! What is listed, found and taken over.

use crate::model::{Administrator, PracticeId, Role, Session, Username, VendorId};
use crate::registry::Records;
use crate::registry::tests::samples::{
    actor, at, digest, gathered, hash, id, key, practice, revoked, vendor, vendor_key,
};
use crate::store::{Change, DeadToken, Document, DocumentId, Position};

fn change(puts: Vec<Document>, removes: &[&str]) -> Change {
    let removes = removes.iter().map(|id| DocumentId((*id).to_owned())).collect();
    Change { id: "c".to_owned(), at: at(1), puts, removes, audit: Vec::new() }
}

fn records(documents: Vec<Document>) -> Records {
    let mut records = Records::default();
    records.apply(Position(1), &change(documents, &[]));
    records
}

fn north() -> PracticeId {
    PracticeId::parse("north").unwrap()
}

#[test]
fn keys_of_a_practice_come_newest_first_and_a_cursor_stays_in_place() {
    // Made in another order than they are listed in; two in the same moment.
    let mut twin = key(7);
    twin.created_at = at(5);
    let numbers = [3, 5, 1, 9];
    let keys = numbers.map(key).into_iter().chain([twin]).map(Document::Key);
    let mut records = records(keys.collect());
    let listed = |records: &Records, from| -> Vec<_> {
        records.keys(&north(), from).map(|kept| kept.value.id).collect()
    };
    assert_eq!(listed(&records, None), [9, 7, 5, 3, 1].map(id));
    assert_eq!(listed(&records, Some(id(7))), [5, 3, 1].map(id));
    // What comes later, and an edit of the cursor's key itself, move nothing.
    let mut edited = key(5);
    edited.name = "Renamed".into();
    let puts = vec![Document::Key(key(8)), Document::Key(edited)];
    records.apply(Position(2), &change(puts, &[]));
    assert_eq!(listed(&records, Some(id(7))), [5, 3, 1].map(id));
    assert_eq!(listed(&records, None), [9, 8, 7, 5, 3, 1].map(id));
    assert_eq!((records.key(id(5)).unwrap().revision, records.key_count()), (Position(2), 6));
    assert_eq!(&*records.key(id(5)).unwrap().value.name, "Renamed");
    assert_eq!(listed(&records, Some(id(999))), []);
    let other = PracticeId::parse("south").unwrap();
    assert_eq!(records.keys(&other, None).count(), 0);
    let ids: Vec<_> = records.all_keys().map(|kept| kept.value.id).collect();
    assert_eq!(ids, [1, 3, 5, 7, 8, 9].map(id));
}

#[test]
fn lists_come_in_the_order_of_ids_after_the_last_one_seen() {
    let ids = ["b", "a", "d", "c"];
    let mut documents: Vec<_> = ids.map(practice).map(Document::Practice).into();
    documents.extend(ids.map(vendor).map(Document::Vendor));
    documents.extend([4, 2, 3].map(|number| Document::VendorKey(vendor_key(number, "b"))));
    documents.push(Document::VendorKey(vendor_key(1, "a")));
    let records = records(documents);
    let practices = records.practices(Some("aa")).map(|kept| kept.value.id.to_string());
    assert_eq!(practices.collect::<Vec<_>>(), ["b", "c", "d"]);
    let vendors = records.vendors(None).map(|kept| kept.value.id.to_string());
    assert_eq!(vendors.collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let b = VendorId::parse("b").unwrap();
    let keys = records.vendor_keys(&b, Some(id(2))).map(|kept| kept.value.id);
    assert_eq!(keys.collect::<Vec<_>>(), [id(3), id(4)]);
    assert!(records.has_digest(&digest(1)) && !records.has_digest(&digest(9)));
}

#[test]
fn an_owner_of_a_revoked_key_still_owns_it() {
    let mut other = key(2);
    other.practice = PracticeId::parse("south").unwrap();
    other.owner = Username::parse("kim").unwrap();
    let records = records(vec![Document::Key(revoked(1)), Document::Key(other)]);
    let owns = |name| records.owns_keys(&north(), &Username::parse(name).unwrap());
    assert!(owns("dr-lee"));
    assert!(!owns("kim"), "of another practice");
    assert!(!owns("nobody"));
}

#[test]
fn any_change_is_taken_even_of_what_nobody_knows() {
    let mut records = Records::default();
    let mut lost = vendor_key(2, "nobody");
    lost.vendor = VendorId::parse("nowhere").unwrap();
    let token = DeadToken { id: id(5), key: None, expires_at: at(9) };
    let puts = vec![Document::Key(key(1)), Document::VendorKey(lost), Document::DeadToken(token)];
    let removes = ["user/north/x", "key/000000000009", "potion/7", "", "key", "admin/É", "vendor/"];
    records.apply(Position(1), &change(puts, &removes));
    assert!(records.key(id(1)).is_some() && records.has_expired(at(9)));
    assert!(!records.has_expired(at(8)));
    records
        .apply(Position(2), &change(Vec::new(), &["key/000000000001", "dead_token/000000000005"]));
    assert!(records.key(id(1)).is_none() && !records.has_expired(at(9)));
    assert_eq!((records.keys(&north(), None).count(), records.key_count()), (0, 0));
    assert!(!records.owns_keys(&north(), &Username::parse("dr-lee").unwrap()));
}

#[test]
fn sessions_are_found_by_digest_and_holder_until_they_are_removed() {
    let username = actor().username;
    let admin = Administrator {
        username: username.clone(),
        role: Role::Operator,
        password: hash(1),
        epoch: 1,
        created_at: at(1),
    };
    let session = |number| Session {
        id: id(number),
        username: username.clone(),
        epoch: 1,
        digest: digest(number),
        created_at: at(1),
        expires_at: at(50),
    };
    let puts =
        vec![Document::Admin(admin), Document::Session(session(2)), Document::Session(session(1))];
    let mut records = records(puts);
    let ids = |records: &Records| -> Vec<_> {
        records.sessions_of(&username).map(|kept| kept.value.id).collect()
    };
    assert_eq!(ids(&records), [id(1), id(2)]);
    assert_eq!(records.session(&digest(2)).unwrap().value.id, id(2));
    records.apply(Position(2), &change(Vec::new(), &["session/000000000002", "admin/root"]));
    assert_eq!(ids(&records), [id(1)]);
    assert!(records.session(&digest(2)).is_none() && records.admin(&username).is_none());
}

#[test]
fn a_reload_keeps_slots_and_what_the_store_no_longer_has_is_gone() {
    let mut records = records(vec![Document::Key(key(1)), Document::Key(key(2))]);
    let slot = |records: &Records, number| records.index().key_by_id(id(number));
    let (first, second) = (slot(&records, 1), slot(&records, 2));
    let documents = [(Position(4), Document::Key(key(3))), (Position(1), Document::Key(key(2)))];
    records = records.reloaded(&gathered(Position(4), documents).records);
    assert_eq!((slot(&records, 1), slot(&records, 2)), (first, second));
    assert!(slot(&records, 3).is_some_and(|third| Some(third) != first && Some(third) != second));
    assert!(records.key(id(1)).is_none());
    let ids: Vec<_> = records.keys(&north(), None).map(|kept| kept.value.id).collect();
    assert_eq!((ids, records.position()), (vec![id(3), id(2)], Position(4)));
}

#[test]
fn a_document_of_any_kind_is_found_by_another_of_its_id() {
    let records = records(crate::store::conformance::samples::one_of_each());
    for document in crate::store::conformance::samples::one_of_each() {
        assert_eq!(records.counterpart(&document), Some((Position(1), document.clone())));
        assert_eq!(Records::default().counterpart(&document), None);
    }
    assert_eq!(records.documents().count(), 9);
}
