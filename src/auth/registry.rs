//! The keys that were issued, found by a digest and never by their text.
//!
//! The index is SipHash-2-4 with 128 bits of output, a pseudorandom function under a secret that each process draws for
//! itself: without it nobody can aim at an entry, so neither the time of a lookup nor a dump of the index says anything
//! about a key, and comparing digests needs no constant time. It is not a password hash; keys are random, and nothing
//! here is ever written down. Both keys are looked up before anything is decided, so that every wrong pair takes the
//! same way.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use siphasher::sip128::{Hash128, Hasher128, SipHasher24};

use crate::auth::credential::Presented;
use crate::config::{Config, StaticKey};
use crate::model::{Access, Caller, Catalogue, Grants, Refusal, Subscriber};

/// Every key of one configuration.
pub struct Registry {
    digest: SipHasher24,
    subscribers: HashMap<Digest, Entry, BuildHasherDefault<DigestHasher>>,
    vendors: HashMap<Digest, Arc<str>, BuildHasherDefault<DigestHasher>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry(…)")
    }
}

struct Entry {
    subscriber: Arc<Subscriber>,
    /// Only this vendor may use the key.
    vendor: Option<Arc<str>>,
}

impl Registry {
    pub fn from_static_keys(config: &Config) -> Self {
        Self::new(&config.static_keys, &config.policy.catalogue)
    }

    fn new(keys: &[StaticKey], catalogue: &Catalogue) -> Self {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).expect("the operating system has random bytes");
        let mut registry = Self {
            digest: SipHasher24::new_with_key(&secret),
            subscribers: HashMap::default(),
            vendors: HashMap::default(),
        };
        for key in keys {
            registry.insert(key, catalogue);
        }
        registry
    }

    fn insert(&mut self, key: &StaticKey, catalogue: &Catalogue) {
        let (StaticKey::Vendor { key: plain, .. } | StaticKey::Subscriber { key: plain, .. }) = key;
        if plain.reveal().is_empty() {
            // An empty value stands for one that no key can have: see `Presented`.
            return;
        }
        let digest = self.digest_of(plain.reveal().as_bytes());
        match key {
            StaticKey::Vendor { vendor, .. } => {
                self.vendors.insert(digest, vendor.as_str().into());
            }
            StaticKey::Subscriber { id, practice, owner, api, permissions, vendor, .. } => {
                let subscriber = Arc::new(Subscriber {
                    practice: practice.clone(),
                    key_id: id.clone(),
                    owner: owner.clone(),
                    api: *api,
                    grants: granted(permissions, catalogue),
                });
                let vendor = vendor.as_deref().map(Into::into);
                self.subscribers.insert(digest, Entry { subscriber, vendor });
            }
        }
    }

    /// Says whose the presented keys are. Refuses with [`Refusal::SubscriberKeyMissing`],
    /// [`Refusal::VendorKeyMissing`], [`Refusal::InvalidCredentials`] and [`Refusal::VendorMismatch`].
    pub fn identify(&self, presented: Presented<'_>) -> Result<Caller, Refusal> {
        let entry = presented.subscriber.map(|key| self.subscribers.get(&self.digest_of(key)));
        let vendor = presented.vendor.map(|key| self.vendors.get(&self.digest_of(key)));
        let entry = entry.ok_or(Refusal::SubscriberKeyMissing)?;
        let vendor = vendor.ok_or(Refusal::VendorKeyMissing)?;
        let (Some(entry), Some(vendor)) = (entry, vendor) else {
            return Err(Refusal::InvalidCredentials);
        };
        if entry.vendor.as_ref().is_some_and(|bound| bound != vendor) {
            return Err(Refusal::VendorMismatch);
        }
        Ok(Caller { subscriber: Arc::clone(&entry.subscriber), vendor: Arc::clone(vendor) })
    }

    /// For `explain --key ID`: the caller that the key would make, with the vendor that it is bound to, if any.
    pub fn by_key_id(&self, id: &str) -> Option<Caller> {
        let entry = self.subscribers.values().find(|entry| entry.subscriber.key_id == id)?;
        let vendor = entry.vendor.clone().unwrap_or_default();
        Some(Caller { subscriber: Arc::clone(&entry.subscriber), vendor })
    }

    fn digest_of(&self, key: &[u8]) -> Digest {
        let mut digest = self.digest;
        digest.write(key);
        let Hash128 { h1, h2 } = digest.finish128();
        (h1, h2)
    }
}

/// The two halves of 128 bits.
type Digest = (u64, u64);

/// Compiles permissions. A name that the configuration does not know was refused there; here it grants nothing.
fn granted(permissions: &[(String, Access)], catalogue: &Catalogue) -> Grants {
    let known = permissions.iter().filter(|(name, _)| catalogue.id(name).is_some());
    catalogue.grants(known.map(|(name, access)| (name.as_str(), *access))).unwrap_or_default()
}

/// Takes a digest for its own hash: it is a keyed one already.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, half: u64) {
        self.0 = self.0.rotate_left(1) ^ half;
    }
}

#[cfg(test)]
mod tests;
