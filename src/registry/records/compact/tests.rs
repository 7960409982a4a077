//! What goes in comes out.

use proptest::prelude::*;

use super::*;
use crate::model::{Access, Permissions, PracticeId, Username, VendorId};
use crate::registry::tests::samples::{at, hash, id, key};

fn round_trip(key: &SubscriberKey) -> SubscriberKey {
    let mut names = Names::default();
    CompactKey::new(key.clone(), Position(1), &mut names).key(&names).unwrap()
}

#[test]
fn a_key_with_everything_comes_back_as_it_was() {
    let full = SubscriberKey {
        name: "Zoë's 🔑".into(),
        description: Some("what it is for".into()),
        permissions: Permissions::from_iter([("patient", Access::READ), ("files", Access::NONE)]),
        practice: PracticeId::parse("south").unwrap(),
        owner: Username::parse("kim").unwrap(),
        vendor: Some(VendorId::parse("acme").unwrap()),
        expires_at: Some(at(5)),
        allowed_ips: Box::new(["10.0.0.0/8".parse().unwrap()]),
        limits: Some(Box::new(KeyLimits { rate: "600/min".into(), burst: Some(100) })),
        enabled: false,
        revoked_at: Some(at(6)),
        replaces: Some(id(8)),
        replaced_by: Some(id(9)),
        overlap_ends: Some(at(7)),
        sealed: Some(Sealed(Box::new([1, 2, 3]))),
        ..key(1)
    };
    assert_eq!(round_trip(&full), full);
    assert_eq!(round_trip(&key(2)), key(2));
}

#[test]
fn a_usual_hash_is_bytes_and_any_other_text_stays_as_it_is() {
    assert!(matches!(CompactHash::new(hash(3)), CompactHash::Usual { memory: 64, .. }));
    for odd in [
        "",
        "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAA",
        "$argon2id$v=19$m=064,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let compact = CompactHash::new(SecretHash(odd.into()));
        assert!(matches!(compact, CompactHash::Other(_)), "{odd}");
        assert_eq!(&*compact.text().0, odd);
    }
}

proptest! {
    #[test]
    fn any_hash_comes_back(text in r"(\$argon2id\$v=19\$m=[0-9]{1,11},t=[0-9]{1,6},p=[0-9]{1,4}\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}(\$x)?)|.{0,40}") {
        let hash = SecretHash(text.into());
        prop_assert_eq!(CompactHash::new(hash.clone()).text(), hash);
    }

    #[test]
    fn any_name_comes_back(name in ".{0,20}", preview in ".{0,20}") {
        let key = SubscriberKey { name: name.into(), preview: preview.into(), ..key(1) };
        prop_assert_eq!(round_trip(&key), key);
    }
}
