//! What a process remembers of secrets that it has found genuine: a fingerprint of each, and what it belongs to.
//!
//! The fingerprint is SipHash-2-4 with 128 bits of output, a pseudorandom function under a key that each process draws for
//! itself: without it nobody can aim at an entry, so neither the time of a lookup nor a dump of the memory says anything
//! about a secret, and comparing fingerprints needs no constant time. It is not a password hash, and nothing here is ever
//! written down.
//!
//! Keys have one entry each at most, so there are never more than keys were issued. Tokens are many: a worker that knows
//! too many forgets them all, and reads them again as they come.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use dashmap::DashMap;
use siphasher::sip128::{Hash128, Hasher128, SipHasher24};

use crate::model::{KeyId, Timestamp};
use crate::vault::{AccessToken, Vault};

/// How many access tokens a worker remembers.
const MAX_TOKENS: usize = 10_000;

/// Of a secret and its purpose; the two halves of 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Print(u64, u64);

impl Hash for Print {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0);
    }
}

/// Takes a print: another one for each purpose.
pub(super) struct Printer {
    keys: SipHasher24,
    vendor_keys: SipHasher24,
    tokens: SipHasher24,
}

impl Printer {
    pub(super) fn new(vault: &Vault) -> Self {
        let keyed = |name| {
            let mut key = [0; 16];
            key.iter_mut().zip(vault.process_key(name).iter()).for_each(|(to, from)| *to = *from);
            SipHasher24::new_with_key(&key)
        };
        Self {
            keys: keyed("prints of subscriber keys"),
            vendor_keys: keyed("prints of vendor keys"),
            tokens: keyed("prints of access tokens"),
        }
    }

    pub(super) fn of_key(&self, secret: &[u8]) -> Print {
        print(self.keys, secret)
    }

    pub(super) fn of_vendor_key(&self, secret: &[u8]) -> Print {
        print(self.vendor_keys, secret)
    }

    pub(super) fn of_token(&self, secret: &[u8]) -> Print {
        print(self.tokens, secret)
    }
}

fn print(mut hasher: SipHasher24, secret: &[u8]) -> Print {
    hasher.write(secret);
    let Hash128 { h1, h2 } = hasher.finish128();
    Print(h1, h2)
}

/// Takes a print for its own hash: it is a keyed one already.
#[derive(Clone, Default)]
pub(super) struct PrintHasher(u64);

impl Hasher for PrintHasher {
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

pub(super) type Prints<T> = HashMap<Print, T, BuildHasherDefault<PrintHasher>>;
pub(super) type SharedPrints<T> = DashMap<Print, T, BuildHasherDefault<PrintHasher>>;

/// What an access token says of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: KeyId,
    pub(super) expires_at: Timestamp,
    pub(super) scope: Option<Arc<[String]>>,
}

/// Of one worker; `K` and `V` are what keys and vendor keys belong to.
pub(super) struct Memory<K, V> {
    keys: RefCell<Prints<K>>,
    vendor_keys: RefCell<Prints<V>>,
    tokens: RefCell<Prints<(K, Token)>>,
}

/// Of all workers.
pub(super) struct Verified<K, V> {
    pub(super) keys: SharedPrints<K>,
    pub(super) vendor_keys: SharedPrints<V>,
}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self {
            keys: RefCell::default(),
            vendor_keys: RefCell::default(),
            tokens: RefCell::default(),
        }
    }
}

impl<K, V> Default for Verified<K, V> {
    fn default() -> Self {
        Self { keys: DashMap::default(), vendor_keys: DashMap::default() }
    }
}

impl<K: Copy, V: Copy> Memory<K, V> {
    /// What the worker remembers, or what another one found and this one remembers from now on.
    pub(super) fn key(&self, print: Print, verified: &Verified<K, V>) -> Option<K> {
        recall(&self.keys, &verified.keys, print)
    }

    pub(super) fn vendor_key(&self, print: Print, verified: &Verified<K, V>) -> Option<V> {
        recall(&self.vendor_keys, &verified.vendor_keys, print)
    }

    /// One that is over is forgotten, and told all the same: its request shall be judged like any other.
    pub(super) fn token(&self, print: Print, now: Timestamp) -> Option<(K, Token)> {
        let mut tokens = self.tokens.borrow_mut();
        let known = tokens.get(&print).cloned()?;
        if known.1.expires_at <= now {
            tokens.remove(&print);
        }
        Some(known)
    }

    pub(super) fn remember_token(&self, print: Print, key: K, token: Token) {
        let mut tokens = self.tokens.borrow_mut();
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert(print, (key, token));
    }
}

fn recall<T: Copy>(own: &RefCell<Prints<T>>, shared: &SharedPrints<T>, print: Print) -> Option<T> {
    if let Some(known) = own.borrow().get(&print) {
        return Some(*known);
    }
    let known = *shared.get(&print)?;
    own.borrow_mut().insert(print, known);
    Some(known)
}

impl Token {
    pub(super) fn of(token: AccessToken) -> Self {
        let AccessToken { id, expires_at, scope, .. } = token;
        Self { id, expires_at, scope: scope.map(Into::into) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(ends: i64) -> Token {
        let id = KeyId::parse("0123456789ab").unwrap();
        Token { id, expires_at: Timestamp::from_micros(ends), scope: None }
    }

    #[test]
    fn prints_differ_by_secret_by_purpose_and_from_process_to_process() {
        let vault = Vault::ephemeral().unwrap();
        let (one, other) = (Printer::new(&vault), Printer::new(&Vault::ephemeral().unwrap()));
        assert!(one.of_key(b"a") == one.of_key(b"a") && one.of_key(b"a") != one.of_key(b"b"));
        assert!(one.of_key(b"a") != one.of_vendor_key(b"a"));
        assert!(one.of_key(b"a") != one.of_token(b"a"));
        assert!(one.of_key(b"a") != other.of_key(b"a"));
    }

    #[test]
    fn a_worker_learns_from_the_others_and_keeps_it() {
        let printer = Printer::new(&Vault::ephemeral().unwrap());
        let verified = Verified::<u32, u32>::default();
        let memory = Memory::default();
        let print = printer.of_key(b"a");
        assert_eq!(memory.key(print, &verified), None);
        verified.keys.insert(print, 7);
        assert_eq!(memory.key(print, &verified), Some(7));
        verified.keys.clear();
        assert_eq!(memory.key(print, &verified), Some(7));
        assert_eq!(memory.vendor_key(print, &verified), None);
    }

    #[test]
    fn tokens_that_are_over_or_too_many_are_forgotten() {
        let printer = Printer::new(&Vault::ephemeral().unwrap());
        let memory = Memory::<u32, u32>::default();
        let print = printer.of_token(b"a");
        memory.remember_token(print, 1, token(10));
        assert!(memory.token(print, Timestamp::from_micros(9)).is_some());
        assert!(memory.token(print, Timestamp::from_micros(10)).is_some());
        assert!(memory.token(print, Timestamp::from_micros(10)).is_none());
        for number in 0..=MAX_TOKENS {
            memory.remember_token(printer.of_token(&number.to_be_bytes()), 1, token(10));
        }
        assert_eq!(memory.tokens.borrow().len(), 1);
    }
}
