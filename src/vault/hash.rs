//! argon2id: what is kept of secrets beside their digest, and of passwords alone.

use std::hint::black_box;

use argon2::{Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::model::{PlainKey, SecretHash};
use crate::vault::VaultError;

/// argon2id's cost: memory in KiB and passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Cost {
    /// For machine-made secrets of 128 bits or more (the default of `keys.hashing`).
    pub const RANDOM: Self = Self { memory_kib: 64, passes: 1 };
    /// For what people chose: OWASP's minimum.
    pub const CHOSEN: Self = Self { memory_kib: 19 * 1024, passes: 2 };
    /// A hash that asks for more is damaged or malicious: verifying it shall not take the machine down.
    const MOST: Self = Self { memory_kib: 1 << 20, passes: 100 };

    fn argon2(self) -> Result<Argon2<'static>, VaultError> {
        let params = Params::new(self.memory_kib, self.passes, 1, None);
        params.map(Argon2::from).map_err(|error| VaultError::Hashing(error.to_string()))
    }
}

const SALT_LEN: usize = 16;

/// The hash as a PHC string. Blocking.
pub(super) fn make(secret: &[u8], cost: Cost) -> Result<SecretHash, VaultError> {
    let mut salt = [0; SALT_LEN];
    rand::fill(&mut salt).map_err(|_| VaultError::Randomness)?;
    let hash = cost.argon2()?.hash_password_with_salt(secret, &salt);
    let hash: PasswordHash = hash.map_err(|error| VaultError::Hashing(error.to_string()))?;
    Ok(SecretHash(hash.to_string().into()))
}

/// Whether the secret is the one that was hashed. Blocking: about 50 µs to 50 ms. A hash that cannot be read is nobody's.
pub fn verify(hash: &SecretHash, secret: &[u8]) -> bool {
    match readable(&hash.0) {
        Some(hash) => Argon2::default().verify_password(secret, &hash).is_ok(),
        None => {
            verify_nobody(secret);
            false
        }
    }
}

fn readable(text: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let is_bearable = params.m_cost() <= Cost::MOST.memory_kib
        && params.t_cost() <= Cost::MOST.passes
        && params.p_cost() <= 16;
    (is_bearable && hash.algorithm == argon2::ARGON2ID_IDENT).then_some(hash)
}

/// Takes as long as a real verification: for usernames that nobody has. Blocking.
pub fn verify_nobody(password: &[u8]) {
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    if let Ok(argon2) = Cost::CHOSEN.argon2() {
        let done = argon2.hash_password_into(password, &[0; SALT_LEN], &mut output);
        black_box((done.is_ok(), output));
    }
}

/// Blocking, tens of milliseconds.
pub fn hash_password(password: &PlainKey) -> Result<SecretHash, VaultError> {
    make(password.reveal().as_bytes(), Cost::CHOSEN)
}

/// A password made for a person, shown once: 140 bits in groups of four, without letters that look alike.
pub fn make_password() -> Result<PlainKey, VaultError> {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    const GROUPS: usize = 7;
    let mut bytes = Zeroizing::new([0; GROUPS * 4]);
    rand::fill(bytes.as_mut()).map_err(|_| VaultError::Randomness)?;
    let mut text = String::with_capacity(GROUPS * 5);
    for (position, byte) in bytes.iter().enumerate() {
        if position > 0 && position % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    Ok(PlainKey::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_secret_and_no_other() {
        let hash = make(b"secret", Cost::RANDOM).unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", hash.0);
        assert!(verify(&hash, b"secret"));
        assert!(!verify(&hash, b"secret ") && !verify(&hash, b"") && !verify(&hash, b"Secret"));
        assert_ne!(make(b"secret", Cost::RANDOM).unwrap(), hash);
    }

    #[test]
    fn a_hash_that_is_damaged_or_asks_too_much_verifies_nothing() {
        let SecretHash(good) = make(b"secret", Cost::RANDOM).unwrap();
        let bad = [
            String::new(),
            "secret".to_owned(),
            good.replace("argon2id", "argon2i"),
            good.replace("m=64", "m=4194304"),
            good.replace("t=1", "t=4000000000"),
            good.replace("m=64", "m=0"),
            good.chars().take(good.len() - 1).collect(),
            good.rsplit_once('$').unwrap().0.to_owned(),
        ];
        for text in bad {
            assert!(!verify(&SecretHash(text.clone().into()), b"secret"), "{text}");
        }
    }

    #[test]
    fn passwords_are_long_readable_and_never_the_same() {
        let (one, other) = (make_password().unwrap(), make_password().unwrap());
        assert_ne!(one, other);
        let groups: Vec<_> = one.reveal().split('-').collect();
        assert_eq!(groups.len(), 7);
        let reads = |c: char| c.is_ascii_digit() || (c.is_ascii_lowercase() && !"ilou".contains(c));
        assert!(groups.iter().all(|group| group.len() == 4 && group.chars().all(reads)));
        assert!(verify(&hash_password(&one).unwrap(), one.reveal().as_bytes()));
    }
}
