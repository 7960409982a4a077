//! How presented credentials are found genuine, whatever issued them.
//!
//! ```text
//! fingerprint ── remembered, and what is claimed beside it is so ──────────────▶ genuine
//!      │ else
//! digests of all that was presented ── one of them in no index, a false claim ─▶ wrong
//!      │ both there
//! argon2, once for each in this process ───────────────────────────────────────▶ look again
//! ```
//!
//! Whatever is wrong with the credentials, the same work was done before it is said: a digest of everything that was
//! presented and a look into both indexes, also where one half was remembered and the other made up. argon2 runs only for
//! a digest that the index knows, so that nobody without an issued key can make it run.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use crate::auth::credential::{Claim, Credential, Presented};
use crate::auth::verifier::flights::{Flights, Work};
use crate::auth::verifier::memory::{Memory, Print, Printer, SharedPrints, Token, Verified};
use crate::config::VendorKeyRule;
use crate::model::{KeyDigest, KeyId, Refusal, SecretHash, Timestamp};
use crate::vault::{self, Purpose, Vault};

/// Whoever issued keys: the registry, or a test.
pub(super) trait Issuer {
    /// What a subscriber key belongs to, for as long as the process lives.
    type Key: Copy + Send + Sync + 'static;
    type VendorKey: Copy + Send + Sync + 'static;

    fn key(&self, digest: &KeyDigest) -> Option<Self::Key>;
    fn vendor_key(&self, digest: &KeyDigest) -> Option<Self::VendorKey>;
    fn key_of(&self, id: KeyId) -> Option<Self::Key>;
    fn meets(&self, key: Self::Key, claim: Claim<'_>) -> bool;
    fn key_hash(&self, key: Self::Key) -> Option<SecretHash>;
    fn vendor_key_hash(&self, key: Self::VendorKey) -> Option<SecretHash>;
}

/// Whom genuine credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Genuine<K, V> {
    pub(super) key: K,
    pub(super) vendor_key: Option<V>,
    pub(super) token: Option<Token>,
}

pub(super) type Confirmation = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

pub(super) enum Found<K, V> {
    Known(Result<Genuine<K, V>, Refusal>),
    FirstUse(Confirmation),
}

pub(super) struct Decision<K, V> {
    vault: Arc<Vault>,
    printer: Printer,
    verified: Arc<Verified<K, V>>,
    flights: Arc<Flights>,
    slow: Arc<AtomicU64>,
}

/// What a credential was found to be, by fingerprint or by digest.
struct Subject<K> {
    key: K,
    token: Option<Token>,
}

impl<K, V> Decision<K, V>
where
    K: Copy + Send + Sync + 'static,
    V: Copy + Send + Sync + 'static,
{
    pub(super) fn new(vault: Arc<Vault>, flights: Flights) -> Self {
        Self {
            printer: Printer::new(&vault),
            vault,
            verified: Arc::default(),
            flights: Arc::new(flights),
            slow: Arc::default(),
        }
    }

    pub(super) fn slow_verifications(&self) -> u64 {
        self.slow.load(Ordering::Relaxed)
    }

    pub(super) fn look_up(
        &self,
        memory: &Memory<K, V>,
        issuer: &impl Issuer<Key = K, VendorKey = V>,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Found<K, V> {
        let Some(credential) = &presented.subscriber else {
            return Found::Known(Err(Refusal::SubscriberKeyMissing));
        };
        if presented.vendor.is_none() && presented.vendor_key == VendorKeyRule::Required {
            return Found::Known(Err(Refusal::VendorKeyMissing));
        }
        let print = self.print(credential);
        let subject = self.recall(memory, credential, print, now);
        let vendor = presented.vendor.map(|secret| {
            let print = self.printer.of_vendor_key(secret);
            (print, secret, memory.vendor_key(print, &self.verified))
        });
        let vendor_key = match vendor {
            None => Some(None),
            Some((_, _, known)) => known.map(Some),
        };
        if let (Some(Subject { key, token }), Some(vendor_key)) = (&subject, vendor_key)
            && issuer.meets(*key, credential.claim())
        {
            let (key, token) = (*key, token.clone());
            return Found::Known(Ok(Genuine { key, vendor_key, token }));
        }
        self.search(memory, issuer, credential, print, subject.is_some(), vendor)
    }

    /// Of a text as a subscriber key, and as a vendor key.
    pub(super) fn digests(&self, text: &[u8]) -> (KeyDigest, KeyDigest) {
        let of = |purpose| self.vault.digest(purpose, text);
        (of(Purpose::SubscriberKey), of(Purpose::VendorKey))
    }

    fn print(&self, credential: &Credential<'_>) -> Print {
        match credential {
            Credential::Token(token) => self.printer.of_token(token),
            Credential::Key { .. } | Credential::Basic(_) => {
                self.printer.of_key(credential.secret())
            }
        }
    }

    fn recall(
        &self,
        memory: &Memory<K, V>,
        credential: &Credential<'_>,
        print: Print,
        now: Timestamp,
    ) -> Option<Subject<K>> {
        if matches!(credential, Credential::Token(_)) {
            let (key, token) = memory.token(print, now)?;
            return Some(Subject { key, token: Some(token) });
        }
        let key = memory.key(print, &self.verified)?;
        Some(Subject { key, token: None })
    }

    /// For what is not remembered, in whole or in part; nothing in here ends before both were looked for.
    fn search(
        &self,
        memory: &Memory<K, V>,
        issuer: &impl Issuer<Key = K, VendorKey = V>,
        credential: &Credential<'_>,
        print: Print,
        is_verified: bool,
        vendor: Option<(Print, &[u8], Option<V>)>,
    ) -> Found<K, V> {
        let secret = credential.secret();
        let indexed = issuer.key(&self.vault.digest(Purpose::SubscriberKey, secret));
        let subject = match credential {
            Credential::Token(token) => self.vault.read_access_token(token).and_then(|token| {
                let key = issuer.key_of(token.key)?;
                Some(Subject { key, token: Some(Token::of(token)) })
            }),
            // An empty one stands for what no key can be.
            Credential::Key { .. } | Credential::Basic(_) => {
                indexed.filter(|_| !secret.is_empty()).map(|key| Subject { key, token: None })
            }
        };
        let subject = subject.filter(|subject| issuer.meets(subject.key, credential.claim()));
        let vendor = vendor.map(|(print, secret, known)| {
            let indexed = issuer.vendor_key(&self.vault.digest(Purpose::VendorKey, secret));
            (print, secret, known, indexed.filter(|_| !secret.is_empty()))
        });
        let Some(Subject { key, token }) = subject else { return wrong() };
        let mut confirmations = Vec::new();
        let mut vendor_key = None;
        if let Some((print, secret, known, indexed)) = vendor {
            let Some(found) = indexed else { return wrong() };
            vendor_key = Some(found);
            if known.is_none() {
                let Some(hash) = issuer.vendor_key_hash(found) else { return wrong() };
                confirmations.push(self.confirm(print, secret, hash, found, vendor_keys));
            }
        }
        match &token {
            Some(token) => memory.remember_token(print, key, token.clone()),
            None if is_verified => {}
            None => {
                let Some(hash) = issuer.key_hash(key) else { return wrong() };
                confirmations.push(self.confirm(print, secret, hash, key, keys));
            }
        }
        if confirmations.is_empty() {
            return Found::Known(Ok(Genuine { key, vendor_key, token }));
        }
        Found::FirstUse(all(confirmations))
    }

    /// Once awaited, it holds that argon2 confirmed the secret, and every worker knows.
    fn confirm<T: Copy + Send + Sync + 'static>(
        &self,
        print: Print,
        secret: &[u8],
        hash: SecretHash,
        found: T,
        list: fn(&Verified<K, V>) -> &SharedPrints<T>,
    ) -> Confirmation {
        let (verified, slow) = (Arc::clone(&self.verified), Arc::clone(&self.slow));
        let secret = Zeroizing::new(secret.to_vec());
        let work: Work = Box::new(move || {
            let list = list(&verified);
            // Another flight may have landed between the look and this one.
            if list.contains_key(&print) {
                return true;
            }
            slow.fetch_add(1, Ordering::Relaxed);
            let is_right = vault::verify(&hash, &secret);
            if is_right {
                list.insert(print, found);
            }
            is_right
        });
        let outcome = Arc::clone(&self.flights).outcome(print, work);
        Box::pin(async move {
            if outcome.await? {
                return Ok(());
            }
            tracing::error!(
                "a key was found by its digest, and its argon2 hash says no: the store is damaged; restore it or issue the key anew"
            );
            Err(Refusal::InvalidCredentials)
        })
    }
}

fn keys<K, V>(verified: &Verified<K, V>) -> &SharedPrints<K> {
    &verified.keys
}

fn vendor_keys<K, V>(verified: &Verified<K, V>) -> &SharedPrints<V> {
    &verified.vendor_keys
}

fn wrong<K, V>() -> Found<K, V> {
    Found::Known(Err(Refusal::InvalidCredentials))
}

/// One after the other: at most two.
fn all(confirmations: Vec<Confirmation>) -> Confirmation {
    Box::pin(async move {
        for confirmation in confirmations {
            confirmation.await?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
