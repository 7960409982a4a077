//! A practice, a vendor and keys for the tests of the registry.

use std::sync::Arc;

use crate::model::{
    Access, Actor, AuditHead, Catalogue, KeyDigest, KeyId, Lifetimes, Permissions, Practice,
    PracticeId, SecretHash, SubscriberKey, Timestamp, Username, Vendor, VendorId, VendorKey,
    VendorStatus,
};
use crate::registry::Terms;
use crate::registry::gathered::Gathered;
use crate::registry::operation::{Ground, Operation, Plan, Rejection};
use crate::store::{Document, DocumentId, Intake as _, Position};
use crate::vault::Cost;

/// A moment, in seconds.
pub(in crate::registry) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// What a store would tell that is at that position.
pub(in crate::registry) fn gathered(
    position: Position,
    documents: impl IntoIterator<Item = (Position, Document)>,
) -> Gathered {
    let mut gathered = Gathered::default();
    documents.into_iter().for_each(|(at, document)| gathered.put(at, document));
    gathered.records.complete(position, AuditHead::default());
    gathered
}

pub(in crate::registry) fn terms() -> Terms {
    Terms {
        apis: vec!["standard".into(), "fhir".into()],
        catalogue: Catalogue::default(),
        regions: Vec::new(),
        lifetimes: Lifetimes::default(),
        grants_read_by_default: false,
        reveal: false,
        cost: Cost::RANDOM,
    }
}

pub(in crate::registry) fn id(number: u64) -> KeyId {
    KeyId::parse(&format!("{number:012}")).unwrap()
}

pub(in crate::registry) fn digest(number: u64) -> KeyDigest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    KeyDigest(bytes)
}

pub(in crate::registry) fn hash(number: u64) -> SecretHash {
    let output = format!("{number:042}A");
    SecretHash(format!("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA${output}").into())
}

pub(in crate::registry) fn practice(id: &str) -> Practice {
    Practice {
        id: PracticeId::parse(id).unwrap(),
        name: id.to_owned(),
        region: None,
        api_access: true,
        plan: None,
        created_at: at(1),
    }
}

pub(in crate::registry) fn vendor(id: &str) -> Vendor {
    Vendor {
        id: VendorId::parse(id).unwrap(),
        name: id.to_owned(),
        contact: None,
        status: VendorStatus::Approved,
        review: None,
        agreement_expires: None,
        created_at: at(1),
    }
}

pub(in crate::registry) fn vendor_key(number: u64, vendor: &str) -> VendorKey {
    VendorKey {
        id: id(number),
        vendor: VendorId::parse(vendor).unwrap(),
        preview: "pst_ven_…".into(),
        digest: digest(number),
        hash: hash(number),
        created_by: Username::parse("root").unwrap(),
        created_at: at(1),
        revoked_at: None,
    }
}

/// Of practice `north`, made at the second of its number; may write what is of patients.
pub(in crate::registry) fn key(number: u64) -> SubscriberKey {
    SubscriberKey {
        id: id(number),
        practice: PracticeId::parse("north").unwrap(),
        name: format!("Key {number}").into(),
        description: None,
        owner: Username::parse("dr-lee").unwrap(),
        created_by: Username::parse("root").unwrap(),
        created_at: at(i64::try_from(number).unwrap()),
        api: Arc::from("standard"),
        permissions: Permissions::from_iter([("patient", Access::READ_WRITE)]),
        vendor: None,
        expires_at: None,
        allowed_ips: Box::default(),
        limits: None,
        enabled: true,
        revoked_at: None,
        replaces: None,
        replaced_by: None,
        overlap_ends: None,
        preview: format!("pst_sub_{}_…", id(number)).into(),
        digest: digest(number),
        hash: hash(number),
        sealed: None,
    }
}

pub(in crate::registry) fn revoked(number: u64) -> SubscriberKey {
    SubscriberKey { revoked_at: Some(at(1_000)), ..key(number) }
}

pub(in crate::registry) fn actor() -> Actor {
    Actor { username: Username::parse("root").unwrap(), address: None }
}

/// Writes documents as they are, with an entry in the audit for each.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Write {
    pub(in crate::registry) puts: Vec<Document>,
    pub(in crate::registry) removes: Vec<DocumentId>,
}

impl Write {
    pub(in crate::registry) fn one(document: Document) -> Self {
        Self { puts: vec![document], removes: Vec::new() }
    }
}

impl Operation for Write {
    type Output = usize;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<usize>, Rejection> {
        let ids = self.puts.iter().map(Document::id).chain(self.removes.iter().cloned());
        let deeds = ids.map(|id| crate::model::Deed {
            action: "test.write".into(),
            object: id.0,
            practice: None,
            before: None,
            after: None,
        });
        Ok(Plan {
            deeds: deeds.collect(),
            puts: self.puts.clone(),
            removes: self.removes.clone(),
            output: ground.records.key_count(),
        })
    }
}
