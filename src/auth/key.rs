//! The form of the keys that Postern issues: `pst_sub_<id>_<secret>_<check>` and `pst_ven_…`.
//!
//! The id names the key to people; the secret has 256 bits; the check is a CRC-32, for secret scanners and typing
//! mistakes. All three are base62.

use crate::model::PlainKey;

/// Whom a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Subscriber,
    Vendor,
}

/// A fresh key with its public id.
#[derive(Clone, Debug)]
pub struct Minted {
    pub id: String,
    pub key: PlainKey,
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LEN: usize = 12;
/// The fewest digits that hold 256 bits.
const SECRET_LEN: usize = 43;
/// The fewest digits that hold 32 bits.
const CHECK_LEN: usize = 6;

impl Kind {
    pub const ALL: [Self; 2] = [Self::Subscriber, Self::Vendor];

    /// What every key of the kind begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Subscriber => "pst_sub_",
            Self::Vendor => "pst_ven_",
        }
    }

    /// Fails only where the operating system has no random bytes to give.
    pub fn mint(self) -> Result<Minted, getrandom::Error> {
        let id = random_digits(ID_LEN)?;
        let body = format!("{}{id}_{}", self.prefix(), random_digits(SECRET_LEN)?);
        let key = format!("{body}_{}", check(&body));
        Ok(Minted { id, key: PlainKey::new(key) })
    }
}

/// Whether a text has what our keys begin with. Anywhere in it: a key in a list or behind a scheme is a key all the same.
pub(crate) fn is_in(text: &str) -> bool {
    Kind::ALL.iter().any(|kind| text.contains(kind.prefix()))
}

fn random_digits(len: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(len);
    let mut bytes = [0; 64];
    while text.len() < len {
        getrandom::fill(&mut bytes)?;
        // 248 is four times 62: taking only bytes below it makes every digit equally likely.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        text.extend(fair.map(|byte| digit(u32::from(*byte))).take(len - text.len()));
    }
    Ok(text)
}

fn digit(number: u32) -> char {
    let index = usize::try_from(number % 62).unwrap_or_default();
    DIGITS.get(index).copied().map_or('0', char::from)
}

fn check(body: &str) -> String {
    let sum = crc32(body.as_bytes());
    let places = (0..u32::try_from(CHECK_LEN).unwrap_or_default()).rev();
    places.map(|place| digit(sum / 62_u32.pow(place))).collect()
}

/// CRC-32 as zip and PNG have it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = if sum & 1 == 1 { 0xEDB8_8320 } else { 0 };
            sum = (sum >> 1) ^ carry;
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_the_common_crc32_in_base62() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(check("123456789"), "3jZRME");
    }

    #[test]
    fn keys_have_the_issued_shape_and_are_never_the_same() {
        for kind in Kind::ALL {
            let (one, other) = (kind.mint().unwrap(), kind.mint().unwrap());
            assert!(one.key.reveal().starts_with(kind.prefix()) && is_in(one.key.reveal()));
            let parts: Vec<_> = one.key.reveal().split('_').collect();
            let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [3, 3, ID_LEN, SECRET_LEN, CHECK_LEN]);
            assert_eq!(parts.get(2), Some(&one.id.as_str()));
            assert_ne!(one.key.reveal(), other.key.reveal());
        }
    }

    #[test]
    fn a_key_is_seen_anywhere_in_a_text() {
        assert!(is_in("Bearer pst_sub_x") && is_in("a,pst_ven_y"));
        assert!(!is_in("pst_sub") && !is_in("pst_other_x"));
    }
}
