//! Whose keys they are, and the order in which a pair is refused.

use super::*;
use crate::model::{Access, ApiId, PlainKey};

fn subscriber(id: &str, key: &str, vendor: Option<&str>) -> StaticKey {
    StaticKey::Subscriber {
        id: id.to_owned(),
        practice: "harbour".to_owned(),
        owner: "amy".to_owned(),
        api: ApiId(0),
        permissions: vec![("patient".to_owned(), Access::READ)],
        vendor: vendor.map(str::to_owned),
        key: PlainKey::new(key.to_owned()),
    }
}

fn vendor(vendor: &str, key: &str) -> StaticKey {
    StaticKey::Vendor { vendor: vendor.to_owned(), key: PlainKey::new(key.to_owned()) }
}

fn registry() -> Registry {
    let keys = [
        subscriber("free", "s-free", None),
        subscriber("bound", "s-bound", Some("acme")),
        vendor("acme", "v-acme"),
        vendor("bolt", "v-bolt"),
    ];
    Registry::new(&keys, &Catalogue::default())
}

fn identify(subscriber: Option<&str>, vendor: Option<&str>) -> Result<Caller, Refusal> {
    let presented =
        Presented { subscriber: subscriber.map(str::as_bytes), vendor: vendor.map(str::as_bytes) };
    registry().identify(presented)
}

#[test]
fn a_genuine_pair_is_a_caller() {
    let caller = identify(Some("s-free"), Some("v-bolt")).unwrap();
    assert_eq!((caller.key_id.as_str(), &*caller.vendor), ("free", "bolt"));
    assert_eq!((caller.practice.as_str(), caller.owner.as_str()), ("harbour", "amy"));
    let patient = Catalogue::default().id("patient").unwrap();
    assert_eq!(caller.grants.on(patient), Access::READ);
    assert!(identify(Some("s-bound"), Some("v-acme")).is_ok());
}

#[test]
fn a_pair_is_refused_in_one_order() {
    let cases = [
        (None, None, "subscriber_key_missing"),
        (None, Some("v-acme"), "subscriber_key_missing"),
        (None, Some("wrong"), "subscriber_key_missing"),
        (Some("s-free"), None, "vendor_key_missing"),
        (Some("wrong"), None, "vendor_key_missing"),
        (Some("wrong"), Some("v-acme"), "invalid_credentials"),
        (Some("s-free"), Some("wrong"), "invalid_credentials"),
        (Some("wrong"), Some("wrong"), "invalid_credentials"),
        (Some("v-acme"), Some("s-free"), "invalid_credentials"),
        (Some("s-free"), Some("s-free"), "invalid_credentials"),
        (Some(""), Some(""), "invalid_credentials"),
        (Some("s-bound"), Some("wrong"), "invalid_credentials"),
        (Some("s-bound"), Some("v-bolt"), "vendor_mismatch"),
    ];
    for (subscriber, vendor, code) in cases {
        let refusal = identify(subscriber, vendor).unwrap_err();
        assert_eq!(refusal.code(), code, "{subscriber:?} {vendor:?}");
    }
}

#[test]
fn a_key_is_found_by_its_public_id() {
    let registry = registry();
    assert_eq!(&*registry.by_key_id("bound").unwrap().vendor, "acme");
    assert_eq!(&*registry.by_key_id("free").unwrap().vendor, "");
    assert!(registry.by_key_id("s-free").is_none());
}

#[test]
fn an_empty_key_belongs_to_nobody_even_if_it_was_configured() {
    let keys = [subscriber("empty", "", None), vendor("acme", "")];
    let registry = Registry::new(&keys, &Catalogue::default());
    let empty = Presented { subscriber: Some(b""), vendor: Some(b"") };
    assert_eq!(registry.identify(empty).unwrap_err(), Refusal::InvalidCredentials);
}

#[test]
fn digests_differ_from_one_process_to_the_next() {
    assert_ne!(registry().digest_of(b"s-free"), registry().digest_of(b"s-free"));
}

#[test]
fn nothing_of_a_key_is_shown() {
    assert_eq!(format!("{:?}", registry()), "Registry(…)");
}
