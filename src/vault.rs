//! Secrets: how they are made, what is kept in their place, and the two files that must never lie in the store.
//!
//! The store holds nothing that lets anybody in: of every key a keyed digest, by which it is found, and an argon2id hash,
//! by which it is confirmed. What the store must not hold lies in the directory `keys.secrets`, made at the first start,
//! readable by its owner alone:
//!
//! - `pepper`, 32 random bytes: the key of every digest, of the audit's chain and of access tokens. **Without it no key,
//!   administrator's token or session is found again: all of them must be issued anew**, and the audit cannot be verified
//!   any more. Passwords of administrators do not need it.
//! - `sealing.key`, 32 random bytes: opens the copies of keys that are kept where `reveal: always`. Without it they cannot
//!   be shown again; the keys go on working.
//!
//! Whoever has the store and not the pepper cannot even try a guess against a digest. Whoever has both can try guesses, and
//! will find keys from elsewhere that somebody chose, never machine-made ones. So the two belong into different backups.
//! Nodes that share a store must have the same two files. One of the two without the other is taken for a loss and refused:
//! a new one would be made silently only to find out when no key works, or at the next reveal. Only a first start that was
//! cut short between the two goes on where it was.

use std::fmt;
use std::path::Path;

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use crate::model::{KeyDigest, KeyId, PlainKey, Sealed, SecretHash};

mod access_token;
mod hash;
pub mod key;
mod seal;
mod secret_file;

pub use access_token::AccessToken;
pub use hash::{Cost, hash_password, make_password, verify, verify_nobody};

use secret_file::Secret;

const PEPPER: &str = "pepper";
const SEALING_KEY: &str = "sealing.key";

/// Holds the pepper and the sealing key, which are wiped when it is dropped. `Debug` shows nothing.
pub struct Vault {
    /// Each is a state of SHA-256 that the library wipes; the bytes themselves are gone once these are made.
    pepper: hmac::Key,
    chain: hmac::Key,
    tokens: hmac::Key,
    sealing: hmac::Key,
    /// Drawn at every start and never written down.
    process: hmac::Key,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file that cannot be read or made, has the wrong size, owner or mode. The message says which and what to do.
    #[error("{0}")]
    File(String),
    #[error("the operating system gives no randomness")]
    Randomness,
    #[error("sealed with another key, or damaged")]
    Unsealing,
    #[error("argon2 failed: {0}")]
    Hashing(String),
    #[error("the scope is too long for an access token")]
    TokenTooLong,
}

/// What a secret is for: keeps a digest made for one purpose from being used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    SubscriberKey,
    VendorKey,
    AdminToken,
    Session,
    AccessToken,
}

impl Purpose {
    /// What comes before the secret in its digest. None is the beginning of another.
    const fn domain(self) -> &'static [u8] {
        match self {
            Self::SubscriberKey => b"postern/subscriber-key/v1\0",
            Self::VendorKey => b"postern/vendor-key/v1\0",
            Self::AdminToken => b"postern/admin-token/v1\0",
            Self::Session => b"postern/session/v1\0",
            Self::AccessToken => b"postern/access-token/v1\0",
        }
    }
}

/// A fresh secret with its public id, and everything that is kept of it.
#[derive(Clone, Debug)]
pub struct Fresh {
    pub id: KeyId,
    pub plain: PlainKey,
    pub preview: Box<str>,
    pub digest: KeyDigest,
    pub hash: SecretHash,
    pub sealed: Option<Sealed>,
}

impl Vault {
    /// Reads `pepper` and `sealing.key` in `dir`, or makes both, mode 0600 in a directory of mode 0700. Blocking.
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        secret_file::directory(dir)?;
        let read = || -> Result<_, VaultError> {
            Ok((secret_file::read(dir, PEPPER)?, secret_file::read(dir, SEALING_KEY)?))
        };
        if let (Some(pepper), Some(sealing)) = read()? {
            secret_file::end_first_start(dir);
            return Self::of(&pepper, &sealing);
        }
        // One without the other may be another process's first start, which the lock waits for. Where there can be no
        // lock, nothing can be made either: a loss is a loss there, too.
        let alone = secret_file::alone(dir);
        match read()? {
            (Some(pepper), Some(sealing)) => Self::of(&pepper, &sealing),
            (Some(_), None) => Err(lost_sealing_key(dir)),
            (None, Some(_)) if !secret_file::is_first_start(dir) => Err(lost_pepper(dir)),
            // Neither, or what a first start left that was cut short.
            (None, sealing) => {
                let _alone = alone?;
                secret_file::begin_first_start(dir)?;
                let sealing = sealing.map_or_else(|| secret_file::make(dir, SEALING_KEY), Ok)?;
                let pepper = secret_file::make(dir, PEPPER)?;
                secret_file::end_first_start(dir);
                Self::of(&pepper, &sealing)
            }
        }
    }

    /// For tests and the demo: fresh secrets, in memory alone.
    pub fn ephemeral() -> Result<Self, VaultError> {
        Self::of(&random()?, &random()?)
    }

    fn of(pepper: &Secret, sealing: &Secret) -> Result<Self, VaultError> {
        let key = |bytes: &[u8; 32]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let pepper = key(pepper);
        let derived = |name: &[u8]| key(&Zeroizing::new(mac(&pepper, &[name])));
        Ok(Self {
            chain: derived(b"postern/audit-chain/v1\0"),
            tokens: derived(b"postern/access-token-key/v1\0"),
            sealing: key(sealing),
            process: key(&*random()?),
            pepper,
        })
    }

    /// A key for what only this process remembers, of another value at every start.
    pub fn process_key(&self, name: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(mac(&self.process, &[name.as_bytes()]))
    }

    /// Tells peppers apart without saying anything of them; the store remembers it, so that a lost pepper is noticed.
    pub fn fingerprint(&self) -> String {
        let digest = mac(&self.pepper, &[b"postern/fingerprint/v1\0"]);
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// About a microsecond, whatever the text is.
    pub fn digest(&self, purpose: Purpose, secret: &[u8]) -> KeyDigest {
        KeyDigest(mac(&self.pepper, &[purpose.domain(), secret]))
    }

    /// The chain of the audit: HMAC under a key derived from the pepper.
    pub fn chain(&self, previous: &KeyDigest, entry: &[u8]) -> KeyDigest {
        KeyDigest(mac(&self.chain, &[&previous.0, entry]))
    }

    /// A subscriber or vendor key of ours; hashes with argon2id. Blocking, about 50 µs at `Cost::RANDOM`. Sealed where `reveal`.
    pub fn mint(&self, purpose: Purpose, cost: Cost, reveal: bool) -> Result<Fresh, VaultError> {
        let (id, plain) = key::mint(purpose)?;
        let preview = key::preview(purpose, id, &plain);
        self.fresh(purpose, id, plain, preview, cost, reveal)
    }

    /// A key issued elsewhere. Its id is new.
    pub fn adopt(
        &self,
        purpose: Purpose,
        plain: PlainKey,
        cost: Cost,
        reveal: bool,
    ) -> Result<Fresh, VaultError> {
        let preview = key::preview_of_adopted(&plain);
        self.fresh(purpose, key::fresh_id()?, plain, preview, cost, reveal)
    }

    fn fresh(
        &self,
        purpose: Purpose,
        id: KeyId,
        plain: PlainKey,
        preview: Box<str>,
        cost: Cost,
        reveal: bool,
    ) -> Result<Fresh, VaultError> {
        let secret = plain.reveal().as_bytes();
        let digest = self.digest(purpose, secret);
        let hash = hash::make(secret, cost)?;
        let sealed = if reveal {
            Some(Sealed(seal::seal(&self.sealing, &about_key(id), secret)?.into()))
        } else {
            None
        };
        Ok(Fresh { id, plain, preview, digest, hash, sealed })
    }

    /// The secret of a sealed copy.
    pub fn unseal(&self, id: KeyId, sealed: &Sealed) -> Result<PlainKey, VaultError> {
        let text = seal::open(&self.sealing, &about_key(id), &sealed.0);
        let text = text.as_ref().and_then(|text| str::from_utf8(text).ok());
        text.map(|text| PlainKey::new(text.to_owned())).ok_or(VaultError::Unsealing)
    }

    /// `pst_adm_…` or the value of a session cookie: random, so the digest is all that is kept.
    pub fn mint_token(&self, purpose: Purpose) -> Result<(KeyId, PlainKey, KeyDigest), VaultError> {
        let (id, plain) = key::mint(purpose)?;
        let digest = self.digest(purpose, plain.reveal().as_bytes());
        Ok((id, plain, digest))
    }

    /// A public id that nothing has yet.
    pub fn fresh_id(&self) -> Result<KeyId, VaultError> {
        key::fresh_id()
    }

    /// `pst_tok_…`
    pub fn issue_access_token(&self, token: &AccessToken) -> Result<PlainKey, VaultError> {
        access_token::issue(&self.tokens, token)
    }

    /// What a token says, if one of the nodes with this pepper issued it. Nothing of whether it is over.
    pub fn read_access_token(&self, text: &[u8]) -> Option<AccessToken> {
        access_token::read(&self.tokens, text)
    }
}

fn random() -> Result<Secret, VaultError> {
    let mut secret = Secret::default();
    rand::fill(secret.as_mut()).map_err(|_| VaultError::Randomness)?;
    Ok(secret)
}

/// A sealed copy opens as the key that it was made for alone.
fn about_key(id: KeyId) -> Vec<u8> {
    [b"postern/sealed-key/v1\0", id.as_str().as_bytes()].concat()
}

fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

fn lost_sealing_key(dir: &Path) -> VaultError {
    let path = dir.join(SEALING_KEY);
    let shown = path.display();
    VaultError::File(format!(
        "{shown} is gone, though the pepper beside it is there. Put it back from your backup; or, if no key needs to be \
         shown again, make a new one: (umask 077; head -c 32 /dev/urandom > {shown})"
    ))
}

fn lost_pepper(dir: &Path) -> VaultError {
    let (path, sealing) = (dir.join(PEPPER), dir.join(SEALING_KEY));
    VaultError::File(format!(
        "{} is gone, though the sealing key beside it is there. Without the pepper no key, no administrator's token and no \
         session is found again, and the audit cannot be verified. Put it back from your backup. If there is none, or this \
         was a first start that was cut short: remove {}, too, and start with an empty store; every key has to be issued \
         again",
        path.display(),
        sealing.display()
    ))
}

#[cfg(test)]
mod tests;
