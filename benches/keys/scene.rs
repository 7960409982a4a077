//! Keys of one practice in a registry of documents in memory, all of them verified.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postern::auth::Presented;
use postern::auth::verifier::{Lookup, Remembered, Verifier};
use postern::model::{
    Access, AuditEntry, AuditHead, Catalogue, KeyId, Lifetimes, NodeName, Permissions, PlainKey,
    Practice, PracticeId, StaffUser, SubscriberKey, Timestamp, Username, Vendor, VendorId,
    VendorKey, VendorStatus,
};
use postern::registry::{Registry, Terms, View};
use postern::store::{
    Applied, AuditQuery, Change, Committed, Document, Intake, Loaded, News, NodeStatus, Position,
    RegistryStore, Safety, StoreError, Task,
};
use postern::vault::{Cost, Fresh, Purpose, Vault};

/// The least that argon2 takes: what it costs is not what is asked here.
pub(crate) const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

pub(crate) struct Scene {
    verifier: Verifier,
    remembered: Remembered,
    view: View,
    pub(crate) keys: Vec<PlainKey>,
    pub(crate) vendor_key: PlainKey,
}

impl Scene {
    /// So many keys of one practice, all of them verified by this worker.
    pub(crate) fn of(count: usize) -> Self {
        let vault = Arc::new(Vault::ephemeral().unwrap());
        let mint = |purpose| vault.mint(purpose, CHEAP, false).unwrap();
        let vendor_key = mint(Purpose::VendorKey);
        let fresh: Vec<Fresh> = (0..count).map(|_| mint(Purpose::SubscriberKey)).collect();
        let keys: Vec<PlainKey> = fresh.iter().map(|fresh| fresh.plain.clone()).collect();
        let plain = vendor_key.plain.clone();
        let documents = documents(fresh, vendor_key);
        let store = Arc::new(Kept { documents: Mutex::new(documents), vault: Mutex::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = NodeName::parse("bench").unwrap();
            let registry = Registry::open(store, Arc::clone(&vault), node, terms()).await.unwrap();
            let (index, view) = (Arc::clone(registry.index()), registry.view());
            let verifier = Verifier::new(vault, index);
            let scene =
                Self { verifier, remembered: Remembered::default(), view, keys, vendor_key: plain };
            for key in &scene.keys {
                scene.verify(key).await;
            }
            assert_eq!(scene.verifier.slow_verifications(), count as u64 + 1);
            scene
        })
    }

    async fn verify(&self, key: &PlainKey) {
        let presented = pair(key, &self.vendor_key);
        let look = self.verifier.look_up(&self.remembered, &self.view, &presented, NOW);
        if let Lookup::FirstUse(confirmation) = look {
            confirmation.await.unwrap();
        }
        assert!(self.is_known(key, &self.vendor_key));
    }

    /// Whether a key is known together with the vendor's, and worth something now.
    pub(crate) fn is_caller(&self, key: usize) -> bool {
        let presented = pair(&self.keys[key], &self.vendor_key);
        let look = self.verifier.look_up(&self.remembered, &self.view, &presented, NOW);
        let Lookup::Known(Ok(identity)) = look else { return false };
        black_box(self.view.caller(&identity, ADDRESS, NOW)).is_ok()
    }

    pub(crate) fn is_known(&self, key: &PlainKey, vendor: &PlainKey) -> bool {
        let presented = pair(key, vendor);
        let look = self.verifier.look_up(&self.remembered, &self.view, &presented, NOW);
        matches!(look, Lookup::Known(Ok(_)))
    }
}

fn pair<'r>(key: &'r PlainKey, vendor: &'r PlainKey) -> Presented<'r> {
    Presented::pair(Some(key.reveal().as_bytes()), Some(vendor.reveal().as_bytes()))
}

fn terms() -> Terms {
    Terms {
        apis: vec!["standard".into()],
        catalogue: Catalogue::default(),
        regions: Vec::new(),
        lifetimes: Lifetimes::default(),
        grants_read_by_default: false,
        reveal: false,
        cost: CHEAP,
    }
}

fn documents(fresh: Vec<Fresh>, vendor_key: Fresh) -> Vec<(Position, Document)> {
    let practice = PracticeId::parse("harbour").unwrap();
    let vendor = VendorId::parse("acme").unwrap();
    let owner = Username::parse("amy").unwrap();
    let permissions = [("patient", Access::READ_WRITE), ("clinical", Access::READ)];
    let permissions: Permissions = permissions.into_iter().collect();
    let created_at = Timestamp::from_micros(1_790_000_000_000_000);
    let key = |fresh: Fresh| SubscriberKey {
        id: fresh.id,
        practice: practice.clone(),
        name: "Front desk".into(),
        description: None,
        owner: owner.clone(),
        created_by: owner.clone(),
        created_at,
        api: "standard".into(),
        permissions: permissions.clone(),
        vendor: None,
        expires_at: None,
        allowed_ips: [].into(),
        limits: None,
        enabled: true,
        revoked_at: None,
        replaces: None,
        replaced_by: None,
        overlap_ends: None,
        preview: fresh.preview,
        digest: fresh.digest,
        hash: fresh.hash,
        sealed: None,
    };
    let mut documents = vec![
        Document::Practice(Practice {
            id: practice.clone(),
            name: "Harbour".to_owned(),
            region: None,
            api_access: true,
            plan: None,
            created_at,
        }),
        Document::User(StaffUser {
            practice: practice.clone(),
            username: owner.clone(),
            name: "Amy".to_owned(),
            created_at,
        }),
        Document::Vendor(Vendor {
            id: vendor.clone(),
            name: "Acme".to_owned(),
            contact: None,
            status: VendorStatus::Approved,
            review: None,
            agreement_expires: None,
            created_at,
        }),
        Document::VendorKey(VendorKey {
            id: vendor_key.id,
            vendor,
            preview: vendor_key.preview,
            digest: vendor_key.digest,
            hash: vendor_key.hash,
            created_by: owner.clone(),
            created_at,
            revoked_at: None,
        }),
    ];
    documents.extend(fresh.into_iter().map(|fresh| Document::Key(key(fresh))));
    documents.into_iter().map(|document| (Position(1), document)).collect()
}

/// A store that gives what it was made with, once a vault has adopted it, and keeps nothing else.
struct Kept {
    documents: Mutex<Vec<(Position, Document)>>,
    vault: Mutex<Option<String>>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(…)")
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Task<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl RegistryStore for Kept {
    fn is_shared(&self) -> bool {
        false
    }
    fn load<'a>(&'a self, intake: &'a mut dyn Intake) -> Task<'a, Loaded> {
        let vault = self.vault.lock().unwrap().clone();
        intake.restart();
        if vault.is_some() {
            let documents = std::mem::take(&mut *self.documents.lock().unwrap());
            documents.into_iter().for_each(|(at, document)| intake.put(at, document));
        }
        ready(Loaded { position: Position(1), head: AuditHead::default(), vault })
    }
    fn adopt(&self, vault: String) -> Task<'_, ()> {
        *self.vault.lock().unwrap() = Some(vault);
        ready(())
    }
    fn commit<'a>(
        &'a self,
        _after: Position,
        _change: &'a Change,
        _safety: Safety,
    ) -> Task<'a, Committed> {
        Box::pin(std::future::ready(Err(StoreError::Unavailable("a bench".to_owned()))))
    }
    fn news(&self, _after: Position, _patience: Duration) -> Task<'_, News> {
        ready(News::Changes(Vec::new()))
    }
    fn audit<'a>(&'a self, _query: &'a AuditQuery) -> Task<'a, Vec<AuditEntry>> {
        ready(Vec::new())
    }
    fn audit_from(&self, _seq: u64, _limit: usize) -> Task<'_, Vec<AuditEntry>> {
        ready(Vec::new())
    }
    fn record_use<'a>(&'a self, _used: &'a [(KeyId, Timestamp)]) -> Task<'a, ()> {
        ready(())
    }
    fn used(&self) -> Task<'_, Vec<(KeyId, Timestamp)>> {
        ready(Vec::new())
    }
    fn heartbeat<'a>(&'a self, _node: &'a NodeStatus) -> Task<'a, ()> {
        ready(())
    }
    fn nodes(&self) -> Task<'_, Vec<NodeStatus>> {
        ready(Vec::new())
    }
    fn open_receipt<'a>(&'a self, _key: KeyId, _nodes: &'a [NodeName]) -> Task<'a, ()> {
        ready(())
    }
    fn acknowledge<'a>(
        &'a self,
        _keys: &'a [KeyId],
        _node: &'a NodeName,
        _at: Timestamp,
    ) -> Task<'a, ()> {
        ready(())
    }
    fn receipt(&self, _key: KeyId) -> Task<'_, Vec<Applied>> {
        ready(Vec::new())
    }
    fn concerns(&self) -> Task<'_, Vec<String>> {
        ready(Vec::new())
    }
}
