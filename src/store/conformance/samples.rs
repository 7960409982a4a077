//! Documents, changes and entries to try a store with: one of each kind by hand, any number by proptest.

use std::net::IpAddr;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::model::{
    Access, Actor, AdminToken, Administrator, AuditEntry, AuditHead, Deed, KeyDigest, KeyId,
    KeyLimits, Practice, PracticeId, Role, Sealed, SecretHash, Session, StaffUser, SubscriberKey,
    Timestamp, Username, Vendor, VendorId, VendorKey, VendorStatus,
};
use crate::store::{
    Change, Committed, DeadToken, Document, DocumentId, Position, RegistryStore, Safety,
};
use crate::telemetry::clock::Clock;

pub(crate) fn practice_id(text: &str) -> PracticeId {
    PracticeId::parse(text).unwrap()
}

pub(crate) fn username(text: &str) -> Username {
    Username::parse(text).unwrap()
}

pub(crate) fn key_id(number: usize) -> KeyId {
    KeyId::parse(&format!("{number:012}")).unwrap()
}

/// So many seconds after the samples were made.
pub(crate) fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_763_625_600 + seconds) * 1_000_000 + 1)
}

/// For what a store may forget when it is old.
pub(crate) fn now() -> Timestamp {
    Clock::default().now()
}

pub(crate) fn practice(id: &str, name: &str) -> Document {
    Document::Practice(Practice {
        id: practice_id(id),
        name: name.to_owned(),
        region: None,
        api_access: true,
        plan: None,
        created_at: moment(0),
    })
}

pub(crate) fn key(number: usize) -> SubscriberKey {
    SubscriberKey {
        id: key_id(number),
        practice: practice_id("north"),
        name: format!("key {number}").into(),
        description: None,
        owner: username("dr-lee"),
        created_by: username("root"),
        created_at: moment(0),
        api: "standard".into(),
        permissions: [("patient", Access::READ)].into_iter().collect(),
        vendor: None,
        expires_at: None,
        allowed_ips: Box::default(),
        limits: None,
        enabled: true,
        revoked_at: None,
        replaces: None,
        replaced_by: None,
        overlap_ends: None,
        preview: "pst_sub_…9aZ".into(),
        digest: KeyDigest([u8::try_from(number % 256).unwrap(); 32]),
        hash: SecretHash("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g".into()),
        sealed: None,
    }
}

/// A key that has every field.
fn full_key() -> SubscriberKey {
    let id = |text: &str| KeyId::parse(text).unwrap();
    SubscriberKey {
        id: id("kkkkkkkkkk01"),
        description: Some("for the booking page".into()),
        permissions: [
            ("patient", Access::READ),
            ("billing.invoices", Access::READ_WRITE),
            ("files", Access::WRITE_ONLY),
            ("system", Access::NONE),
        ]
        .into_iter()
        .collect(),
        vendor: Some(VendorId::parse("acme").unwrap()),
        expires_at: Some(moment(500)),
        allowed_ips: ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap()).into(),
        limits: Some(Box::new(KeyLimits { rate: "600/min".into(), burst: Some(100) })),
        enabled: false,
        revoked_at: Some(moment(501)),
        replaces: Some(id("kkkkkkkkkk00")),
        replaced_by: Some(id("kkkkkkkkkk02")),
        overlap_ends: Some(moment(502)),
        sealed: Some(Sealed(Box::new([0, 1, 254, 255]))),
        ..key(1)
    }
}

/// A document of every kind, with every field that may be left out.
pub(crate) fn one_of_each() -> Vec<Document> {
    let id = |text: &str| KeyId::parse(text).unwrap();
    let vendor = VendorId::parse("acme").unwrap();
    let digest = KeyDigest([0xa5; 32]);
    let hash = SecretHash("$argon2id$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA".into());
    vec![
        Document::Practice(Practice {
            id: practice_id("north"),
            name: "North Clinic".to_owned(),
            region: Some("au".to_owned()),
            api_access: false,
            plan: Some("gold".to_owned()),
            created_at: moment(1),
        }),
        Document::User(StaffUser {
            practice: practice_id("north"),
            username: username("dr-lee"),
            name: "Dr Lee".to_owned(),
            created_at: moment(2),
        }),
        Document::Vendor(Vendor {
            id: vendor.clone(),
            name: "Acme".to_owned(),
            contact: Some("a@acme.example".to_owned()),
            status: VendorStatus::Suspended,
            review: Some("asked for a new audit".to_owned()),
            agreement_expires: Some(moment(900)),
            created_at: moment(3),
        }),
        Document::VendorKey(VendorKey {
            id: id("vvvvvvvvvv01"),
            vendor,
            preview: "pst_ven_…1".into(),
            digest,
            hash: hash.clone(),
            created_by: username("root"),
            created_at: moment(4),
            revoked_at: Some(moment(5)),
        }),
        Document::Key(full_key()),
        Document::Admin(Administrator {
            username: username("root"),
            role: Role::PracticeAdmin(practice_id("north")),
            password: hash,
            epoch: u64::MAX >> 11,
            created_at: moment(6),
        }),
        Document::AdminToken(AdminToken {
            id: id("tttttttttt01"),
            username: username("root"),
            name: "backup job".to_owned(),
            digest,
            created_at: moment(7),
            expires_at: Some(moment(800)),
        }),
        Document::Session(Session {
            id: id("ssssssssss01"),
            username: username("root"),
            epoch: 3,
            digest,
            created_at: moment(8),
            expires_at: moment(700),
        }),
        Document::DeadToken(DeadToken {
            id: id("dddddddddd01"),
            key: Some(id("kkkkkkkkkk01")),
            expires_at: moment(600),
        }),
    ]
}

/// Text that a store, a script or a query may trip over.
pub(crate) fn odd_texts() -> Vec<String> {
    let odd = [
        "",
        " ",
        "O'Hara \"the\" \\ `x` %s $1 ?1 :a @b",
        "'); DROP TABLE documents; --",
        "line\nline\r\n\ttab \u{0} nul \u{7f} \u{85}",
        "Zoë Łukasz 山田 🩺 \u{200f}مرحبا\u{2028}\u{feff}",
        "{\"kind\":\"key\"} \\u0000 \\\\ ]]",
        "*3\r\n$3\r\nSET\r\n",
        "null",
    ];
    odd.into_iter().map(str::to_owned).chain([long_text()]).collect()
}

/// 64 KiB, not all of one byte each.
fn long_text() -> String {
    "é".repeat(32 * 1024)
}

/// Any document of the kinds that people write the most into; the same ones in every run.
pub(crate) fn any_documents(how_many: usize) -> Vec<Document> {
    let mut runner = TestRunner::deterministic();
    let strategy = any_document();
    (0..how_many).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn any_moment() -> impl Strategy<Value = Timestamp> {
    // From 1970 to 9000: what RFC 3339 has four digits for.
    (0..221_845_000_000_000_000_i64).prop_map(Timestamp::from_micros)
}

fn any_permission() -> impl Strategy<Value = (String, Access)> {
    let access = prop_oneof![
        Just(Access::NONE),
        Just(Access::READ),
        Just(Access::WRITE_ONLY),
        Just(Access::READ_WRITE)
    ];
    ("[a-z]{1,12}(\\.[a-z]{1,12})?", access)
}

fn any_key() -> impl Strategy<Value = SubscriberKey> {
    let names = ("[0-9A-Za-z]{12}", any::<String>(), proptest::option::of(any::<String>()));
    let moments =
        (any_moment(), proptest::option::of(any_moment()), proptest::option::of(any_moment()));
    let permissions = proptest::collection::vec(any_permission(), 0..12);
    let bytes =
        (any::<[u8; 32]>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..99)));
    let addresses = proptest::collection::vec(any::<IpAddr>(), 0..5);
    (names, moments, permissions, bytes, addresses, any::<bool>()).prop_map(
        |(
            (id, name, description),
            (created_at, expires_at, revoked_at),
            granted,
            (digest, sealed),
            addresses,
            enabled,
        )| {
            SubscriberKey {
                id: KeyId::parse(&id).unwrap(),
                name: name.into(),
                description: description.map(Into::into),
                created_at,
                expires_at,
                revoked_at,
                permissions: granted
                    .iter()
                    .map(|(name, access)| (name.as_str(), *access))
                    .collect(),
                digest: KeyDigest(digest),
                sealed: sealed.map(|bytes| Sealed(bytes.into())),
                allowed_ips: addresses.into_iter().map(Into::into).collect(),
                enabled,
                ..key(1)
            }
        },
    )
}

fn any_document() -> impl Strategy<Value = Document> {
    let practice = ("[a-z0-9][a-z0-9-]{0,63}", any::<String>(), any::<bool>(), any_moment())
        .prop_map(|(id, name, api_access, created_at)| {
            Document::Practice(Practice {
                id: practice_id(&id),
                region: Some(name.clone()),
                plan: None,
                name,
                api_access,
                created_at,
            })
        });
    let user = ("[a-z0-9]{1,64}", "[!-.0-9;-~]{1,128}", any::<String>(), any_moment()).prop_map(
        |(practice, name, full_name, created_at)| {
            Document::User(StaffUser {
                practice: practice_id(&practice),
                username: username(&name),
                name: full_name,
                created_at,
            })
        },
    );
    prop_oneof![practice, user, any_key().prop_map(Document::Key)]
}

/// A change without an entry.
pub(crate) fn change(id: &str, puts: Vec<Document>) -> Change {
    Change { id: id.to_owned(), at: moment(10), puts, removes: Vec::new(), audit: Vec::new() }
}

pub(crate) fn removal(id: &str, removes: Vec<DocumentId>) -> Change {
    Change { removes, ..change(id, Vec::new()) }
}

/// An entry, as far as a store looks at it.
pub(crate) fn entry(seq: u64, at: Timestamp, practice: Option<&str>) -> AuditEntry {
    AuditEntry {
        seq,
        at,
        actor: Actor { username: username("root"), address: Some(IpAddr::from([192, 0, 2, 7])) },
        deed: Deed {
            action: "key.edit".into(),
            object: format!("key/{}", key_id(usize::try_from(seq).unwrap())),
            practice: practice.map(practice_id),
            before: Some(json!({ "name": "old", "enabled": true, "limits": [1, 2.5, null] })),
            after: Some(json!({ "zz": 1, "aa": { "q": "O'Hara \u{1f9ea}" }, "name": "new" })),
        },
        hash: KeyDigest([u8::try_from(seq % 256).unwrap(); 32]),
    }
}

pub(crate) fn head(entry: &AuditEntry) -> AuditHead {
    AuditHead { seq: entry.seq, hash: entry.hash }
}

pub(crate) async fn commit(store: &dyn RegistryStore, after: u64, change: &Change) -> Committed {
    store.commit(Position(after), change, Safety::Usual).await.unwrap()
}
