//! Genuine and wrong credentials against an issuer of a few keys.

use std::cell::Cell;
use std::collections::HashMap;

use super::*;
use crate::model::PlainKey;
use crate::vault::{AccessToken, Cost, Fresh};

/// Keys and vendor keys are their positions.
#[derive(Default)]
struct Few {
    keys: Vec<(Fresh, &'static str)>,
    vendor_keys: Vec<Fresh>,
    by_digest: HashMap<KeyDigest, usize>,
    vendors_by_digest: HashMap<KeyDigest, usize>,
    looks: Cell<(usize, usize)>,
}

impl Issuer for Few {
    type Key = usize;
    type VendorKey = usize;

    fn key(&self, digest: &KeyDigest) -> Option<usize> {
        let (keys, vendors) = self.looks.get();
        self.looks.set((keys + 1, vendors));
        self.by_digest.get(digest).copied()
    }

    fn vendor_key(&self, digest: &KeyDigest) -> Option<usize> {
        let (keys, vendors) = self.looks.get();
        self.looks.set((keys, vendors + 1));
        self.vendors_by_digest.get(digest).copied()
    }

    fn key_of(&self, id: KeyId) -> Option<usize> {
        self.keys.iter().position(|(fresh, _)| fresh.id == id)
    }

    fn meets(&self, key: usize, claim: Claim<'_>) -> bool {
        let (fresh, owner) = &self.keys[key];
        match claim {
            Claim::Nothing => true,
            Claim::Owner(username) => owner.as_bytes() == username,
            Claim::Id(id) => fresh.id.as_str().as_bytes() == id,
        }
    }

    fn key_hash(&self, key: usize) -> Option<SecretHash> {
        self.keys.get(key).map(|(fresh, _)| fresh.hash.clone())
    }

    fn vendor_key_hash(&self, key: usize) -> Option<SecretHash> {
        self.vendor_keys.get(key).map(|fresh| fresh.hash.clone())
    }
}

struct Scene {
    vault: Arc<Vault>,
    few: Few,
    decision: Decision<usize, usize>,
    memory: Memory<usize, usize>,
}

impl Scene {
    /// Two keys, of amy and of bob, and a vendor key.
    fn new() -> Self {
        let vault = Arc::new(Vault::ephemeral().unwrap());
        let mut few = Few::default();
        for owner in ["amy", "bob"] {
            let fresh = vault.mint(Purpose::SubscriberKey, Cost::RANDOM, false).unwrap();
            few.by_digest.insert(fresh.digest, few.keys.len());
            few.keys.push((fresh, owner));
        }
        let fresh = vault.mint(Purpose::VendorKey, Cost::RANDOM, false).unwrap();
        few.vendors_by_digest.insert(fresh.digest, 0);
        few.vendor_keys.push(fresh);
        let decision = Decision::new(Arc::clone(&vault), Flights::new(2));
        Self { vault, few, decision, memory: Memory::default() }
    }

    fn key(&self, number: usize) -> PlainKey {
        self.few.keys[number].0.plain.clone()
    }

    fn vendor_key(&self) -> PlainKey {
        self.few.vendor_keys[0].plain.clone()
    }

    fn look(&self, presented: &Presented<'_>) -> Found<usize, usize> {
        self.few.looks.set((0, 0));
        self.decision.look_up(&self.memory, &self.few, presented, Timestamp::from_micros(0))
    }

    /// Waits for first uses, as a worker does.
    async fn judged(&self, presented: &Presented<'_>) -> Result<Genuine<usize, usize>, Refusal> {
        loop {
            match self.look(presented) {
                Found::Known(result) => return result,
                Found::FirstUse(confirmation) => confirmation.await?,
            }
        }
    }

    #[track_caller]
    fn is_wrong_at_once(&self, presented: &Presented<'_>) {
        let Found::Known(result) = self.look(presented) else { panic!("argon2 would run") };
        assert_eq!(result, Err(Refusal::InvalidCredentials));
        // The same looks, whatever was wrong.
        assert_eq!(self.few.looks.get(), (1, usize::from(presented.vendor.is_some())));
    }
}

fn pair<'r>(subscriber: &'r PlainKey, vendor: &'r PlainKey) -> Presented<'r> {
    Presented::pair(Some(subscriber.reveal().as_bytes()), Some(vendor.reveal().as_bytes()))
}

fn claiming<'r>(subscriber: &'r PlainKey, claim: Claim<'r>) -> Presented<'r> {
    let secret = subscriber.reveal().as_bytes();
    let subscriber = Some(Credential::Key { secret, claim });
    Presented { subscriber, vendor: None, vendor_key: VendorKeyRule::Off }
}

#[tokio::test]
async fn a_genuine_pair_costs_argon2_once_and_is_then_known_to_every_worker() {
    let scene = Scene::new();
    let (key, vendor) = (scene.key(1), scene.vendor_key());
    let presented = pair(&key, &vendor);
    assert!(matches!(scene.look(&presented), Found::FirstUse(_)));
    let expected = Genuine { key: 1, vendor_key: Some(0), token: None };
    assert_eq!(scene.judged(&presented).await, Ok(expected.clone()));
    assert_eq!(scene.decision.slow_verifications(), 2);
    let another = Memory::default();
    let now = Timestamp::from_micros(0);
    let found = scene.decision.look_up(&another, &scene.few, &presented, now);
    assert!(matches!(found, Found::Known(Ok(genuine)) if genuine == expected));
    assert!(matches!(scene.look(&presented), Found::Known(Ok(_))));
    // What is remembered needs no digest.
    assert_eq!(scene.few.looks.get(), (0, 0));
    assert_eq!(scene.decision.slow_verifications(), 2);
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_looked_at() {
    let scene = Scene::new();
    let (key, vendor) = (scene.key(0), scene.vendor_key());
    let missing = |subscriber, vendor| {
        let presented = Presented::pair(subscriber, vendor);
        let Found::Known(Err(refusal)) = scene.look(&presented) else { panic!("not refused") };
        assert_eq!(scene.few.looks.get(), (0, 0));
        refusal
    };
    let (key, vendor) = (key.reveal().as_bytes(), vendor.reveal().as_bytes());
    assert_eq!(missing(None, Some(vendor)), Refusal::SubscriberKeyMissing);
    assert_eq!(missing(None, None), Refusal::SubscriberKeyMissing);
    assert_eq!(missing(Some(key), None), Refusal::VendorKeyMissing);
    assert_eq!(missing(Some(b"wrong"), None), Refusal::VendorKeyMissing);
}

#[tokio::test]
async fn every_wrong_pair_takes_the_same_way_and_never_argon2() {
    let scene = Scene::new();
    let (key, vendor) = (scene.key(0), scene.vendor_key());
    let stranger = Vault::ephemeral().unwrap();
    // Of the right form, with a right check; an issued id with another secret; and no form at all.
    let strange = stranger.mint(Purpose::SubscriberKey, Cost::RANDOM, false).unwrap().plain;
    let id = scene.few.keys[0].0.id;
    let forged = vault::key::assemble(Purpose::SubscriberKey, id, &"0".repeat(43));
    let plain = |text: &str| PlainKey::new(text.to_owned());
    let cut = plain(key.reveal().get(1..).unwrap());
    let wrong = [strange, forged, cut, plain(""), plain("garbage"), plain(&"x".repeat(9_000))];
    for verified in [false, true] {
        if verified {
            scene.judged(&pair(&key, &vendor)).await.unwrap();
        }
        let runs = scene.decision.slow_verifications();
        for wrong in &wrong {
            scene.is_wrong_at_once(&pair(wrong, &vendor));
            scene.is_wrong_at_once(&pair(&key, wrong));
            scene.is_wrong_at_once(&pair(wrong, wrong));
        }
        // Each is genuine, but not as what it is presented.
        scene.is_wrong_at_once(&pair(&vendor, &key));
        scene.is_wrong_at_once(&pair(&vendor, &vendor));
        scene.is_wrong_at_once(&pair(&key, &key));
        assert_eq!(scene.decision.slow_verifications(), runs);
    }
}

#[tokio::test]
async fn a_false_claim_is_a_wrong_key_before_and_after_the_key_was_verified() {
    let scene = Scene::new();
    let key = scene.key(0);
    let id = scene.few.keys[0].0.id;
    let other_id = scene.few.keys[1].0.id;
    let of = |id: &KeyId| Claim::Id(Box::leak(Box::new(*id)).as_str().as_bytes());
    for _ in 0..2 {
        for claim in [Claim::Owner(b"bob"), Claim::Owner(b""), Claim::Id(b""), of(&other_id)] {
            scene.is_wrong_at_once(&claiming(&key, claim));
        }
        for claim in [Claim::Owner(b"amy"), of(&id), Claim::Nothing] {
            assert_eq!(scene.judged(&claiming(&key, claim)).await.unwrap().key, 0);
        }
    }
}

#[tokio::test]
async fn a_vendor_key_that_is_optional_is_genuine_or_absent() {
    let scene = Scene::new();
    let (key, vendor) = (scene.key(0), scene.vendor_key());
    let optional = |vendor| Presented {
        vendor,
        vendor_key: VendorKeyRule::Optional,
        ..claiming(&key, Claim::Nothing)
    };
    assert_eq!(scene.judged(&optional(None)).await.unwrap().vendor_key, None);
    let with = optional(Some(vendor.reveal().as_bytes()));
    assert_eq!(scene.judged(&with).await.unwrap().vendor_key, Some(0));
    scene.is_wrong_at_once(&optional(Some(b"wrong")));
    scene.is_wrong_at_once(&optional(Some(b"")));
}

#[tokio::test]
async fn an_empty_secret_is_nobodys_even_if_it_was_issued() {
    let mut scene = Scene::new();
    let empty = scene.vault.digest(Purpose::SubscriberKey, b"");
    scene.few.by_digest.insert(empty, 0);
    scene.few.vendors_by_digest.insert(scene.vault.digest(Purpose::VendorKey, b""), 0);
    let (none, vendor) = (PlainKey::new(String::new()), scene.vendor_key());
    scene.is_wrong_at_once(&pair(&none, &vendor));
    let key = scene.key(0);
    scene.is_wrong_at_once(&pair(&key, &none));
}

#[tokio::test]
async fn a_digest_that_argon2_does_not_confirm_is_a_wrong_key_every_time() {
    let mut scene = Scene::new();
    scene.few.keys[0].0.hash = scene.few.keys[1].0.hash.clone();
    let (key, vendor) = (scene.key(0), scene.vendor_key());
    for run in 1..=2 {
        let judged = scene.judged(&pair(&key, &vendor)).await;
        assert_eq!(judged, Err(Refusal::InvalidCredentials));
        // One for the vendor key, which is genuine, and one for each try.
        assert_eq!(scene.decision.slow_verifications(), 1 + run);
    }
}

fn token(scene: &Scene, key: KeyId, scope: Option<Vec<String>>) -> PlainKey {
    let id = scene.vault.fresh_id().unwrap();
    let expires_at = Timestamp::from_micros(1_000);
    scene.vault.issue_access_token(&AccessToken { id, key, expires_at, scope }).unwrap()
}

fn bearing(token: &PlainKey) -> Presented<'_> {
    let subscriber = Some(Credential::Token(token.reveal().as_bytes()));
    Presented { subscriber, vendor: None, vendor_key: VendorKeyRule::Off }
}

#[tokio::test]
async fn a_token_stands_for_its_key_and_says_its_scope_and_end() {
    let scene = Scene::new();
    let scope = Some(vec!["patient:read".to_owned()]);
    let text = token(&scene, scene.few.keys[1].0.id, scope.clone());
    for _ in 0..2 {
        let Found::Known(Ok(genuine)) = scene.look(&bearing(&text)) else { panic!("not known") };
        let said = genuine.token.unwrap();
        assert_eq!((genuine.key, said.expires_at), (1, Timestamp::from_micros(1_000)));
        assert_eq!(said.scope.as_deref(), scope.as_deref());
    }
    assert_eq!(scene.few.looks.get(), (0, 0));
    assert_eq!(scene.decision.slow_verifications(), 0);
}

#[tokio::test]
async fn a_token_is_no_key_and_a_key_no_token() {
    let scene = Scene::new();
    let key = scene.key(0);
    let text = token(&scene, scene.few.keys[0].0.id, None);
    scene.judged(&claiming(&key, Claim::Nothing)).await.unwrap();
    scene.judged(&bearing(&text)).await.unwrap();
    scene.is_wrong_at_once(&bearing(&key));
    scene.is_wrong_at_once(&claiming(&text, Claim::Nothing));
    let unissued = token(&scene, scene.vault.fresh_id().unwrap(), None);
    scene.is_wrong_at_once(&bearing(&unissued));
    let (changed, _) = text.reveal().split_at(text.reveal().len() - 2);
    scene.is_wrong_at_once(&bearing(&PlainKey::new(changed.to_owned())));
}

#[tokio::test]
async fn many_first_uses_at_once_cost_one_run_each() {
    let scene = Scene::new();
    let (key, vendor) = (scene.key(0), scene.vendor_key());
    let presented = pair(&key, &vendor);
    let confirmations: Vec<_> = (0..50)
        .map(|_| match scene.look(&presented) {
            Found::FirstUse(confirmation) => tokio::spawn(confirmation),
            Found::Known(_) => panic!("known before its first use"),
        })
        .collect();
    for confirmation in confirmations {
        confirmation.await.unwrap().unwrap();
    }
    assert!(matches!(scene.look(&presented), Found::Known(Ok(_))));
    assert_eq!(scene.decision.slow_verifications(), 2);
}
