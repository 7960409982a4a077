//! What it costs to know who is calling: both keys remembered, among few and many; and a wrong pair.
//!
//! `cargo bench --bench keys`. The registry is the real one over a store of documents in memory, and every key of it was
//! verified before, so that what is remembered is as much as it can be. Keys are taken in turn, spread over all, so that
//! neither caches nor branch predictors learn one of them.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on shall stop")]

use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use divan::Bencher;

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

/// Shows allocations beside the times: a remembered pair makes none.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const KEYS: [usize; 3] = [10, 1_000, 100_000];
/// The least that argon2 takes: what it costs is not what is asked here.
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

#[divan::bench(args = KEYS, sample_size = 2_000)]
fn remembered_pair(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 7_919) % keys);
        scene.is_known(&scene.keys[turn.get()], &scene.vendor_key)
    });
}

/// And what the keys are worth now.
#[divan::bench(args = KEYS, sample_size = 2_000)]
fn caller(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 7_919) % keys);
        let presented = pair(&scene.keys[turn.get()], &scene.vendor_key);
        let look = scene.verifier.look_up(&scene.remembered, &scene.view, &presented, NOW);
        let Lookup::Known(Ok(identity)) = look else { return false };
        black_box(scene.view.caller(&identity, ADDRESS, NOW)).is_ok()
    });
}

/// What the bench itself spends on fetching a key from memory: in a gateway it has just come with the request.
#[divan::bench(args = KEYS, sample_size = 2_000)]
fn fetching_the_key(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 7_919) % keys);
        scene.keys[turn.get()].reveal().bytes().fold(0_u8, |sum, byte| sum ^ byte)
    });
}

/// A hundred of them are at work, the others only registered.
#[divan::bench(args = KEYS, sample_size = 2_000)]
fn caller_of_a_hundred(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let step = (keys / 100).max(1);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + step * 37) % keys);
        let presented = pair(&scene.keys[turn.get()], &scene.vendor_key);
        let look = scene.verifier.look_up(&scene.remembered, &scene.view, &presented, NOW);
        let Lookup::Known(Ok(identity)) = look else { return false };
        black_box(scene.view.caller(&identity, ADDRESS, NOW)).is_ok()
    });
}

#[divan::bench(args = KEYS, sample_size = 2_000)]
fn wrong_pair(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let stranger = Vault::ephemeral().unwrap();
    let mint = |purpose| stranger.mint(purpose, CHEAP, false).unwrap().plain;
    let (key, vendor) = (mint(Purpose::SubscriberKey), mint(Purpose::VendorKey));
    bencher.bench_local(|| scene.is_known(black_box(&key), black_box(&vendor)));
    assert!(!scene.is_known(&key, &vendor));
}

struct Scene {
    verifier: Verifier,
    remembered: Remembered,
    view: View,
    keys: Vec<PlainKey>,
    vendor_key: PlainKey,
}

impl Scene {
    /// So many keys of one practice, all of them verified by this worker.
    fn of(count: usize) -> Self {
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

    fn is_known(&self, key: &PlainKey, vendor: &PlainKey) -> bool {
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
