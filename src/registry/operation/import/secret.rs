//! What a key that was issued elsewhere must be like. It is never shown in a fault.
//!
//! The cost of hashing a key depends on how hard it is to guess. A key of our own form was made here, or by another
//! Postern; of others `random: true` says that a machine made them, with 128 bits or more. Nobody can see randomness, but
//! a key that is too short to hold as many bits is found out.

use crate::model::{KeyId, PlainKey};
use crate::registry::operation::import::line::Secret;
use crate::registry::operation::import::object::Object;
use crate::vault::{Purpose, key};

const CHARS_MIN: usize = 8;
const CHARS_MAX: usize = 512;
/// The fewest digits that hold 128 bits: of base62, of base16, of base10.
const RANDOM_CHARS_MIN: usize = 22;
const RANDOM_HEX_MIN: usize = 32;
const RANDOM_DECIMAL_MIN: usize = 39;

/// The secret that a line brings, or that one is to be made.
pub(super) fn take(object: &mut Object, purpose: Purpose) -> Option<Secret> {
    let random = object.truth("random");
    let Some(value) = object.take("key") else {
        if random.is_some() {
            object.fault("`random` says something of a `key`, and there is none");
        }
        return Some(Secret::Fresh);
    };
    let serde_json::Value::String(text) = value else {
        object.fault("`key` must be a text");
        return None;
    };
    let plain = PlainKey::new(text);
    match judge(&plain, random == Some(true), purpose) {
        Ok(random) => Some(Secret::Issued { plain, random }),
        Err(why) => {
            object.fault(why);
            None
        }
    }
}

/// Whether the key is a machine's, or why it cannot be taken.
fn judge(plain: &PlainKey, said_random: bool, purpose: Purpose) -> Result<bool, String> {
    let text = plain.reveal();
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("`key` must have visible ASCII characters alone, without spaces".to_owned());
    }
    if !(CHARS_MIN..=CHARS_MAX).contains(&text.len()) {
        return Err(format!("`key` must have {CHARS_MIN} to {CHARS_MAX} characters"));
    }
    if let Some(prefix) =
        Purpose::ALL.map(Purpose::prefix).into_iter().find(|p| text.starts_with(p))
    {
        return if prefix != purpose.prefix() {
            let expected = purpose.prefix();
            Err(format!("`key` begins with {prefix}, and what stands here begins with {expected}"))
        } else if is_of_our_form(plain, purpose) {
            Ok(true)
        } else {
            Err(format!("`key` begins with {prefix} and is damaged: its check does not fit"))
        };
    }
    if said_random && !may_have_128_bits(text) {
        return Err(format!(
            "`key` is said to be random, and is too short for 128 bits: {RANDOM_CHARS_MIN} characters of a to z, A to Z \
             and 0 to 9, or {RANDOM_HEX_MIN} hexadecimal digits; leave `random` out"
        ));
    }
    Ok(said_random)
}

fn is_of_our_form(plain: &PlainKey, purpose: Purpose) -> bool {
    let rest = plain.reveal().strip_prefix(purpose.prefix()).unwrap_or_default();
    let mut parts = rest.split('_');
    let (Some(id), Some(secret)) = (parts.next(), parts.next()) else { return false };
    let Ok(id) = KeyId::parse(id) else { return false };
    let is_whole =
        secret.len() == key::SECRET_LEN && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_whole && key::assemble(purpose, id, secret) == *plain
}

fn may_have_128_bits(text: &str) -> bool {
    let digits = || text.bytes().filter(|byte| *byte != b'-');
    let least = if digits().all(|byte| byte.is_ascii_digit()) {
        RANDOM_DECIMAL_MIN
    } else if digits().all(|byte| byte.is_ascii_hexdigit()) {
        RANDOM_HEX_MIN
    } else {
        RANDOM_CHARS_MIN
    };
    digits().count() >= least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{Cost, Vault};

    fn judged(text: &str, random: bool) -> Result<bool, String> {
        judge(&PlainKey::new(text.to_owned()), random, Purpose::SubscriberKey)
    }

    #[test]
    fn keys_of_our_own_form_are_random_and_their_check_must_fit() {
        let vault = Vault::ephemeral().unwrap();
        let ours = vault.mint(Purpose::SubscriberKey, Cost::RANDOM, false).unwrap().plain;
        assert_eq!(judge(&ours, false, Purpose::SubscriberKey), Ok(true));
        let mut typo = ours.reveal().to_owned();
        let last = typo.pop().unwrap();
        typo.push(if last == 'x' { 'y' } else { 'x' });
        let told = judged(&typo, true).unwrap_err();
        assert!(told.contains("its check does not fit") && !told.contains(&typo), "{told}");
        let told = judge(&ours, false, Purpose::VendorKey).unwrap_err();
        assert!(told.contains("pst_sub_") && told.contains("pst_ven_"), "{told}");
    }

    #[test]
    fn what_is_said_to_be_random_must_have_room_for_128_bits() {
        for good in [
            "0123456789abcdefghijkl",
            "0123456789abcdef0123456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdef",
            "012345678901234567890123456789012345678",
        ] {
            assert_eq!((judged(good, true), judged(good, false)), (Ok(true), Ok(false)), "{good}");
        }
        for short in
            ["0123456789abcdefghijk", "0123456789abcdef0123456789abcde", "01234567890123456789012"]
        {
            assert!(judged(short, true).unwrap_err().contains("128 bits"), "{short}");
            assert_eq!(judged(short, false), Ok(false));
        }
    }

    #[test]
    fn keys_that_cannot_be_sent_are_refused() {
        for bad in ["short77", "with space in it", "ümläut-is-not-ascii", "tab\tin-it-all", ""] {
            assert!(judged(bad, false).is_err(), "{bad}");
        }
        assert!(judged(&"x".repeat(CHARS_MAX), false).is_ok());
        assert!(judged(&"x".repeat(CHARS_MAX + 1), false).is_err());
    }
}
