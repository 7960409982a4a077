//! What a caller is worth, against the law of the model.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{
    KeyStatus, Lifetimes, Permissions, Practice, SubscriberKey, VendorId, VendorStatus,
};
use crate::registry::state::State;
use crate::registry::tests::samples::{
    at, digest, gathered, id, key, practice, terms, vendor, vendor_key,
};
use crate::store::{Change, DeadToken, Document};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

fn state(documents: Vec<Document>, terms: Terms) -> State {
    let documents = documents.into_iter().map(|document| (Position(1), document));
    State::new(gathered(Position(1), documents), Arc::new(terms))
}

/// `north`, vendors `acme` and `beta` with a key each (901, 902), and these keys.
fn with(keys: impl IntoIterator<Item = SubscriberKey>) -> Vec<Document> {
    let vendors = ["acme", "beta"].map(vendor).map(Document::Vendor);
    let vendor_keys = [vendor_key(901, "acme"), vendor_key(902, "beta")].map(Document::VendorKey);
    let north = std::iter::once(Document::Practice(practice("north")));
    north.chain(vendors).chain(vendor_keys).chain(keys.into_iter().map(Document::Key)).collect()
}

fn change(state: &mut State, document: Document) {
    let position = Position(state.records.position().0 + 1);
    let (puts, removes, audit) = (vec![document], Vec::new(), Vec::new());
    let change = Change { id: position.0.to_string(), at: at(1), puts, removes, audit };
    state.take_own(position, &change);
}

fn identity(view: &View, number: u64, vendor_key: Option<u64>) -> Identity {
    let vendor_key =
        vendor_key.map(|number| view.index.vendor_key(&digest(number)).expect("a vendor key"));
    Identity { key: view.key_slot(id(number)).unwrap(), vendor_key, scope: None, token: None }
}

/// The code of the refusal or of the objection.
fn code(view: &View, number: u64, vendor_key: Option<u64>, now: i64) -> &'static str {
    match view.caller(&identity(view, number, vendor_key), HOME, at(now)) {
        Err(refusal) => refusal.code(),
        Ok(caller) => caller.objection.map_or("", |objection| objection.code()),
    }
}

#[test]
fn what_stands_against_a_caller_is_told_in_one_order() {
    let mut all = key(1);
    all.allowed_ips = Box::new(["192.0.2.0/24".parse().unwrap()]);
    all.vendor = Some(VendorId::parse("beta").unwrap());
    let mut stopped = practice("north");
    stopped.api_access = false;
    stopped.region = Some("mars".to_owned());
    let mut documents = with([all.clone()]);
    documents.push(Document::Practice(stopped.clone()));
    let mut suspended = vendor("acme");
    suspended.status = VendorStatus::Suspended;
    documents.push(Document::Vendor(suspended));
    let mut state = state(documents, Terms { regions: vec!["au".to_owned()], ..terms() });
    assert_eq!(code(state.view(), 1, None, 9), "vendor_key_missing");
    assert_eq!(code(state.view(), 1, Some(901), 9), "ip_not_allowed");
    all.allowed_ips = Box::new(["10.0.0.0/8".parse().unwrap()]);
    change(&mut state, Document::Key(all.clone()));
    assert_eq!(code(state.view(), 1, Some(901), 9), "api_access_disabled");
    stopped.api_access = true;
    change(&mut state, Document::Practice(stopped.clone()));
    assert_eq!(code(state.view(), 1, Some(901), 9), "vendor_mismatch");
    all.vendor = None;
    change(&mut state, Document::Key(all));
    assert_eq!(code(state.view(), 1, Some(901), 9), "vendor_not_approved");
    assert_eq!(code(state.view(), 1, Some(902), 9), "wrong_region");
    stopped.region = Some("au".to_owned());
    change(&mut state, Document::Practice(stopped));
    assert_eq!(code(state.view(), 1, Some(902), 9), "");
    let slot = state.view().key_slot(id(1)).unwrap();
    assert_eq!(state.view().region(slot), Region::Here(0));
    assert_eq!(code(state.view(), 1, Some(901), 9), "vendor_not_approved");
}

#[test]
fn a_vendor_stands_until_its_agreement_ends_and_its_key_until_it_is_revoked() {
    let mut agreed = vendor("acme");
    agreed.agreement_expires = Some(at(10));
    let mut documents = with([key(1)]);
    documents.push(Document::Vendor(agreed));
    let mut state = state(documents, terms());
    assert_eq!(
        (code(state.view(), 1, Some(901), 9), code(state.view(), 1, Some(901), 10)),
        ("", "vendor_not_approved")
    );
    let before = state.view().clone();
    let gone = VendorKey { revoked_at: Some(at(2)), ..vendor_key(901, "acme") };
    change(&mut state, Document::VendorKey(gone));
    assert_eq!(code(state.view(), 1, Some(901), 9), "invalid_credentials");
    assert_eq!(code(&before, 1, Some(901), 9), "", "an older view stays what it was");
    let admitted = identity(&before, 1, Some(901));
    assert!(before.may_go_on(&admitted, at(9)) && !before.may_go_on(&admitted, at(10)));
    assert!(!state.view().may_go_on(&admitted, at(9)));
}

#[test]
fn what_was_admitted_ends_with_its_key_its_practice_or_its_token() {
    let mut state = state(with([key(1), key(2)]), terms());
    let token = Identity { token: Some((id(77), at(5))), ..identity(state.view(), 1, None) };
    assert!(state.view().caller(&token, HOME, at(4)).is_ok());
    let over = state.view().caller(&token, HOME, at(5)).unwrap_err();
    assert_eq!(over, Refusal::InvalidCredentials);
    assert!(state.view().may_go_on(&token, at(6)), "what it began in time");
    change(
        &mut state,
        Document::DeadToken(DeadToken { id: id(77), key: Some(id(1)), expires_at: at(5) }),
    );
    assert!(!state.view().may_go_on(&token, at(4)));
    assert_eq!(state.view().caller(&token, HOME, at(4)).unwrap_err(), Refusal::InvalidCredentials);
    let admitted = identity(state.view(), 2, None);
    change(&mut state, Document::Key(SubscriberKey { revoked_at: Some(at(2)), ..key(1) }));
    assert!(!state.view().may_go_on(&identity(state.view(), 1, None), at(4)));
    assert!(state.view().may_go_on(&admitted, at(4)));
    change(&mut state, Document::Practice(Practice { api_access: false, ..practice("north") }));
    assert!(!state.view().may_go_on(&admitted, at(4)));
}

#[test]
fn a_token_narrows_by_the_names_of_permissions_and_never_widens() {
    let state = state(with([key(1)]), terms());
    let view = state.view();
    let narrowed = |scope: &[&str]| {
        let scope = scope.iter().map(|name| (*name).to_owned()).collect();
        let identity = Identity { scope: Some(scope), ..identity(view, 1, None) };
        let caller = view.caller(&identity, HOME, at(9)).unwrap();
        let patient = caller.granted(view.terms.catalogue.id("patient").unwrap());
        (patient, caller.granted(view.terms.catalogue.id("files").unwrap()))
    };
    assert_eq!(narrowed(&["patient:read", "files:write"]), (Access::READ, Access::NONE));
    assert_eq!(narrowed(&["patient:write"]), (Access::READ_WRITE, Access::NONE));
    assert_eq!(
        narrowed(&["potions:read", "patient", "patient:all", ""]),
        (Access::NONE, Access::NONE)
    );
    let told = view.scopes(&view.by_key_id(id(1), at(9)).unwrap().unwrap().grants);
    assert_eq!(told, ["patient:write"]);
}

#[test]
fn what_the_configuration_no_longer_has_grants_nothing() {
    let permissions =
        Permissions::from_iter([("billing", Access::READ), ("patient", Access::READ)]);
    let gone = SubscriberKey { api: "gone".into(), ..key(2) };
    let documents = with([SubscriberKey { permissions, ..key(1) }, gone]);
    let mut billed = terms();
    let billing = billed.catalogue.add_category("billing", "Billing");
    billed.catalogue.add_scope(billing, "invoices", "Invoices");
    let mut state = state(documents, billed);
    let scopes = |view: &View| view.scopes(&view.by_key_id(id(1), at(9)).unwrap().unwrap().grants);
    assert_eq!(scopes(state.view()), ["patient:read", "billing:read"]);
    state.recompile(Arc::new(terms()));
    assert_eq!(scopes(state.view()), ["patient:read"]);
    let api = state.view().by_key_id(id(2), at(9)).unwrap().unwrap().api;
    assert!(terms().apis.get(api.0).is_none());
}

#[test]
fn an_explained_caller_calls_with_its_vendor_and_from_where_it_may() {
    let bound = SubscriberKey {
        vendor: Some(VendorId::parse("beta").unwrap()),
        allowed_ips: Box::new(["192.0.2.0/24".parse().unwrap()]),
        ..key(1)
    };
    let state = state(with([bound]), terms());
    let caller = state.view().by_key_id(id(1), at(9)).unwrap().unwrap();
    assert_eq!((caller.vendor.as_deref(), caller.objection.clone()), (Some("beta"), None));
    assert!(state.view().by_key_id(id(2), at(9)).is_none());
    let slot = state.view().key_slot(id(1)).unwrap();
    assert_eq!(state.view().about(slot).unwrap().name, "Key 1");
    assert_eq!(state.view().key_hash(slot), Some(key(1).hash));
    assert!(state.view().owner_is(slot, b"dr-lee") && !state.view().owner_is(slot, b"dr-le"));
}

#[test]
fn an_address_counts_the_same_in_both_of_its_forms() {
    let local = SubscriberKey { allowed_ips: Box::new(["10.0.0.0/8".parse().unwrap()]), ..key(1) };
    let state = state(with([local]), terms());
    let objection = |address: &str| {
        let identity = identity(state.view(), 1, None);
        state.view().caller(&identity, address.parse().unwrap(), at(9)).unwrap().objection
    };
    assert_eq!((objection("10.9.9.9"), objection("::ffff:10.9.9.9")), (None, None));
    assert_eq!(objection("11.0.0.1"), Some(Refusal::IpNotAllowed));
    assert_eq!(objection("::1"), Some(Refusal::IpNotAllowed));
}

proptest! {
    /// The compiled form agrees with the law, whatever the key and the times are.
    #[test]
    fn standing_is_the_status_of_the_document(
        times in prop::array::uniform5(0..30i64),
        some in prop::array::uniform5(any::<bool>()),
        lives in prop::array::uniform2(prop::option::of(0..20u64)),
        now in 0..40i64,
    ) {
        let [created, expires, overlap, revoked, used] = times;
        let [has_end, rotated, is_revoked, enabled, was_used] = some;
        let lifetimes = Lifetimes {
            idle_expiry: lives[0].map(Duration::from_secs),
            max_age: lives[1].map(Duration::from_secs),
            rotate_after: None,
        };
        let document = SubscriberKey {
            created_at: at(created),
            expires_at: has_end.then(|| at(expires)),
            overlap_ends: rotated.then(|| at(overlap)),
            revoked_at: is_revoked.then(|| at(revoked)),
            enabled,
            ..key(1)
        };
        // Of a use in 1970's first second nothing is kept.
        let used = (was_used && used > 0).then(|| at(used));
        let state = state(with([document.clone()]), Terms { lifetimes, ..terms() });
        let slot = state.view().key_slot(id(1)).unwrap();
        if let Some(used) = used {
            state.view().used(slot, used);
        }
        let expected = match document.status(at(now), used, &lifetimes) {
            KeyStatus::Active => "",
            KeyStatus::Expired | KeyStatus::IdleExpired => "key_expired",
            KeyStatus::Revoked => "key_revoked",
            KeyStatus::Disabled => "key_disabled",
        };
        prop_assert_eq!(code(state.view(), 1, None, now), expected);
        let explained = state.view().by_key_id(id(1), at(now)).unwrap();
        prop_assert_eq!(explained.err().map_or("", |refusal| refusal.code()), expected);
    }
}
