//! Sealing: AES-256-GCM under a key of its own for every message.
//!
//! ```text
//! nonce (24 bytes) ‖ ciphertext ‖ tag (16 bytes)
//! ```
//!
//! GCM alone takes 12 bytes of nonce, which random ones may not fill more than 2³² times. So the nonce is longer, as in
//! XAES-256-GCM: its first half derives the key of the message (HMAC-SHA-256 under the master key), its second half is
//! GCM's nonce. Random nonces are then good for far more messages than anybody will ever seal, and no counter has to
//! survive a restart. What a message is about goes in as associated data, so that none opens in another's place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use crate::vault::{VaultError, mac};

const SALT_LEN: usize = 12;
const TAG_LEN: usize = 16;
const MESSAGE_KEY: &[u8] = b"postern/message-key/v1\0";

/// What is added to a text by sealing it.
pub(super) const OVERHEAD: usize = SALT_LEN + NONCE_LEN + TAG_LEN;

pub(super) fn seal(master: &hmac::Key, about: &[u8], text: &[u8]) -> Result<Vec<u8>, VaultError> {
    let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
    rand::fill(&mut salt)
        .and_then(|()| rand::fill(&mut nonce))
        .map_err(|_| VaultError::Randomness)?;
    let mut sealed = Vec::with_capacity(OVERHEAD + text.len());
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(text);
    let (_, inside) = sealed.split_at_mut(SALT_LEN + NONCE_LEN);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = message_key(master, &salt)
        .and_then(|key| key.seal_in_place_separate_tag(nonce, Aad::from(about), inside).ok())
        .ok_or(VaultError::Unsealing)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// The text, if it was sealed under this master key, about this, and is whole.
pub(super) fn open(master: &hmac::Key, about: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, rest) = sealed.split_first_chunk::<SALT_LEN>()?;
    let (nonce, inside) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut text = Zeroizing::new(inside.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let key = message_key(master, salt)?;
    let length = key.open_in_place(nonce, Aad::from(about), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

fn message_key(master: &hmac::Key, salt: &[u8; SALT_LEN]) -> Option<LessSafeKey> {
    let derived = Zeroizing::new(mac(master, &[MESSAGE_KEY, salt]));
    UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_under_its_key_and_name_alone() {
        let master = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let other = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
        for text in [b"".as_slice(), b"a secret", &[7; 5_000]] {
            let sealed = seal(&master, b"one", text).unwrap();
            assert_eq!(sealed.len(), text.len() + OVERHEAD);
            assert_eq!(open(&master, b"one", &sealed).as_deref().map(Vec::as_slice), Some(text));
            assert!(open(&master, b"two", &sealed).is_none());
            assert!(open(&other, b"one", &sealed).is_none());
            assert_ne!(seal(&master, b"one", text).unwrap(), sealed);
        }
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let master = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let sealed = seal(&master, b"", b"text").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&master, b"", &changed).is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(open(&master, b"", &sealed[..length]).is_none(), "{length} bytes");
        }
    }
}
