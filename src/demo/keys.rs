//! Fresh keys in the shape that Postern issues: `pst_sub_<id>_<secret>_<check>` and `pst_ven_…`.
//!
//! The id names the key to people; the secret has 256 bits; the check is a CRC-32, for secret scanners and typing
//! mistakes. All three are base62.

use anyhow::Context;

use crate::model::PlainKey;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LEN: usize = 12;
/// The fewest digits that hold 256 bits.
const SECRET_LEN: usize = 43;
/// The fewest digits that hold 32 bits.
const CHECK_LEN: usize = 6;

/// One key with its public id.
#[derive(Clone, Debug)]
pub(super) struct DemoKey {
    pub(super) id: String,
    pub(super) key: PlainKey,
}

/// The keys of the demo: one vendor, and two of the practice.
#[derive(Clone, Debug)]
pub(super) struct DemoKeys {
    pub(super) vendor: DemoKey,
    /// Reads patients, contacts and files; books appointments.
    pub(super) desk: DemoKey,
    /// Reads patients; writes invoices.
    pub(super) billing: DemoKey,
}

impl DemoKeys {
    pub(super) fn generate() -> anyhow::Result<Self> {
        Ok(Self {
            vendor: DemoKey::generate("pst_ven")?,
            desk: DemoKey::generate("pst_sub")?,
            billing: DemoKey::generate("pst_sub")?,
        })
    }
}

impl DemoKey {
    fn generate(kind: &str) -> anyhow::Result<Self> {
        let id = random_digits(ID_LEN)?;
        let body = format!("{kind}_{id}_{}", random_digits(SECRET_LEN)?);
        let key = format!("{body}_{}", check(&body));
        Ok(Self { id, key: PlainKey::new(key) })
    }
}

fn random_digits(len: usize) -> anyhow::Result<String> {
    let mut text = String::with_capacity(len);
    let mut bytes = [0; 64];
    while text.len() < len {
        getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
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
        let (one, other) =
            (DemoKey::generate("pst_sub").unwrap(), DemoKey::generate("pst_sub").unwrap());
        let parts: Vec<_> = one.key.reveal().split('_').collect();
        let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [3, 3, ID_LEN, SECRET_LEN, CHECK_LEN]);
        assert_eq!(parts.get(2), Some(&one.id.as_str()));
        assert_ne!(one.key.reveal(), other.key.reveal());
    }
}
