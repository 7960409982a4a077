//! Whether presented keys are genuine. What they are worth is the view's to say, at every request.
//!
//! A worker asks with every request and mostly remembers; what is new to it goes the way that `decision` shows. The index
//! and the view are the registry's; nothing here outlives a change of them, because what is remembered is only that a
//! secret belongs to a key, and that never changes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::auth::credential::{Claim, Presented};
use crate::model::{KeyDigest, KeyId, Refusal, SecretHash, Timestamp};
use crate::registry::index::Index;
use crate::registry::view::{Identity, KeySlot, VendorKeySlot, View};
use crate::vault::Vault;

mod decision;
mod flights;
mod memory;

use decision::{Decision, Found, Genuine, Issuer};
use flights::Flights;
use memory::Memory;

/// What a worker remembers of keys that were verified; of its thread alone. Bounded by the number of issued keys.
#[derive(Default)]
pub struct Remembered(Memory<KeySlot, VendorKeySlot>);

/// Shared by all workers.
pub struct Verifier {
    index: Arc<Index>,
    decision: Decision<KeySlot, VendorKeySlot>,
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembered(…)")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

pub enum Lookup {
    /// Both secrets are genuine (what they are worth is the view's to say), or a refusal.
    Known(Result<Identity, Refusal>),
    /// A genuine digest that argon2 has not confirmed in this process: await, then look up again.
    FirstUse(Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>),
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(result) => f.debug_tuple("Known").field(result).finish(),
            Self::FirstUse(_) => f.write_str("FirstUse(…)"),
        }
    }
}

impl Verifier {
    pub fn new(vault: Arc<Vault>, index: Arc<Index>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { index, decision: Decision::new(vault, Flights::new(processors)) }
    }

    /// Refuses with `SubscriberKeyMissing`, `VendorKeyMissing`, `InvalidCredentials`, `Overloaded`. The same work for every wrong key.
    pub fn look_up(
        &self,
        remembered: &Remembered,
        view: &View,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Lookup {
        let issuer = Registered { index: &self.index, view };
        match self.decision.look_up(&remembered.0, &issuer, presented, now) {
            Found::Known(result) => Lookup::Known(result.map(identity)),
            Found::FirstUse(confirmation) => Lookup::FirstUse(confirmation),
        }
    }

    /// Whether a text is a key that was issued to somebody, whatever became of it. Two digests: about two microseconds.
    pub fn is_issued(&self, text: &[u8]) -> bool {
        let (key, vendor_key) = self.decision.digests(text);
        self.index.key(&key).is_some() || self.index.vendor_key(&vendor_key).is_some()
    }

    /// How many argon2 runs there were: for the metric and the tests.
    pub fn slow_verifications(&self) -> u64 {
        self.decision.slow_verifications()
    }
}

fn identity(genuine: Genuine<KeySlot, VendorKeySlot>) -> Identity {
    let Genuine { key, vendor_key, token } = genuine;
    let (scope, token) = token.map_or((None, None), |token| {
        let memory::Token { id, expires_at, scope } = token;
        (scope, Some((id, expires_at)))
    });
    Identity { key, vendor_key, scope, token }
}

/// The registry as the issuer of keys.
struct Registered<'a> {
    index: &'a Index,
    view: &'a View,
}

impl Issuer for Registered<'_> {
    type Key = KeySlot;
    type VendorKey = VendorKeySlot;

    fn key(&self, digest: &KeyDigest) -> Option<KeySlot> {
        self.index.key(digest)
    }

    fn vendor_key(&self, digest: &KeyDigest) -> Option<VendorKeySlot> {
        self.index.vendor_key(digest)
    }

    fn key_of(&self, id: KeyId) -> Option<KeySlot> {
        self.view.key_slot(id)
    }

    fn meets(&self, key: KeySlot, claim: Claim<'_>) -> bool {
        match claim {
            Claim::Nothing => true,
            Claim::Owner(username) => self.view.owner_is(key, username),
            Claim::Id(id) => self.view.key_id(key).is_some_and(|own| own.as_str().as_bytes() == id),
        }
    }

    fn key_hash(&self, key: KeySlot) -> Option<SecretHash> {
        self.view.key_hash(key)
    }

    fn vendor_key_hash(&self, key: VendorKeySlot) -> Option<SecretHash> {
        self.view.vendor_key_hash(key)
    }
}
