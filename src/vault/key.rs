//! The form of the secrets that Postern issues: `pst_sub_<id>_<secret>_<check>`, and the same with `ven`, `adm` and `ses`.
//!
//! The id names the secret to people; the secret part has 256 bits; the check is a CRC-32, for secret scanners and typing
//! mistakes. All three are base62, joined by `_`, so that a double click selects the whole. Access tokens begin with
//! `pst_tok_` and go on with what they say, sealed. Nothing here decides who gets in: the gateway never looks at the form
//! of what is presented, so that every wrong key takes the same way.

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::model::{KeyId, PlainKey};
use crate::vault::{Purpose, VaultError};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The fewest digits that hold 256 bits.
pub const SECRET_LEN: usize = 43;
/// The fewest digits that hold 32 bits.
const CHECK_LEN: usize = 6;
/// Keys from elsewhere that are shorter than this show nothing of themselves.
const SHOWN_FROM: usize = 20;
const SHOWN: usize = 4;

impl Purpose {
    pub const ALL: [Self; 5] =
        [Self::SubscriberKey, Self::VendorKey, Self::AdminToken, Self::Session, Self::AccessToken];

    /// What every secret made for it begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::SubscriberKey => "pst_sub_",
            Self::VendorKey => "pst_ven_",
            Self::AdminToken => "pst_adm_",
            Self::Session => "pst_ses_",
            Self::AccessToken => "pst_tok_",
        }
    }
}

/// Whether a text has what our secrets begin with. Anywhere in it: a key in a list or behind a scheme is a key all the same.
pub fn is_in(text: &str) -> bool {
    Purpose::ALL.iter().any(|purpose| text.contains(purpose.prefix()))
}

/// Whether there is more of a secret in a text than what it begins with, which may be named.
pub fn has_one(text: &str) -> bool {
    let is_secret = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let holds = |purpose: &Purpose| {
        text.split(purpose.prefix()).skip(1).any(|rest| rest.starts_with(is_secret))
    };
    Purpose::ALL.iter().any(holds)
}

/// A fresh secret and its id. Fails only where the operating system has no random bytes to give.
pub(super) fn mint(purpose: Purpose) -> Result<(KeyId, PlainKey), VaultError> {
    let id = fresh_id()?;
    let secret = random_digits(SECRET_LEN)?;
    Ok((id, assemble(purpose, id, &secret)))
}

pub(super) fn fresh_id() -> Result<KeyId, VaultError> {
    KeyId::parse(&random_digits(KeyId::LEN)?).map_err(|_| VaultError::Randomness)
}

/// The whole secret again, from its id and its secret part: OAuth2 clients may send the two apart.
pub fn assemble(purpose: Purpose, id: KeyId, secret: &str) -> PlainKey {
    let mut text = String::with_capacity(8 + KeyId::LEN + 1 + secret.len() + 1 + CHECK_LEN);
    for part in [purpose.prefix(), id.as_str(), "_", secret] {
        text.push_str(part);
    }
    let sum = check(&text);
    text.push('_');
    text.extend(sum);
    PlainKey::new(text)
}

/// What is shown of a secret of ours, so that people recognise theirs.
pub(super) fn preview(purpose: Purpose, id: KeyId, plain: &PlainKey) -> Box<str> {
    format!("{}{id}_…{}", purpose.prefix(), end_of(plain.reveal())).into()
}

/// What is shown of a key that was made elsewhere: nothing, unless it is long enough to spare a little.
pub(super) fn preview_of_adopted(plain: &PlainKey) -> Box<str> {
    let text = plain.reveal();
    let may_show = text.chars().count() >= SHOWN_FROM;
    if may_show { format!("…{}", end_of(text)).into() } else { "…".into() }
}

fn end_of(text: &str) -> &str {
    let start = text.char_indices().rev().nth(SHOWN - 1).map_or(0, |(start, _)| start);
    text.get(start..).unwrap_or_default()
}

fn random_digits(len: usize) -> Result<Zeroizing<String>, VaultError> {
    let mut text = Zeroizing::new(String::with_capacity(len));
    let mut bytes = Zeroizing::new([0; 64]);
    while text.len() < len {
        rand::fill(bytes.as_mut()).map_err(|_| VaultError::Randomness)?;
        // 248 is four times 62: taking only bytes below it makes every digit equally likely.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let missing = len - text.len();
        text.extend(fair.map(|byte| digit(u32::from(*byte))).take(missing));
    }
    Ok(text)
}

fn digit(number: u32) -> char {
    let index = usize::try_from(number % 62).unwrap_or_default();
    DIGITS.get(index).copied().map_or('0', char::from)
}

fn check(body: &str) -> [char; CHECK_LEN] {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = ['0'; CHECK_LEN];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_the_common_crc32_in_base62() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
        assert_eq!(String::from_iter(check("123456789")), "3jZRME");
    }

    #[test]
    fn secrets_have_the_issued_shape_and_are_never_the_same() {
        for purpose in Purpose::ALL {
            let ((id, one), (_, other)) = (mint(purpose).unwrap(), mint(purpose).unwrap());
            assert!(one.reveal().starts_with(purpose.prefix()) && is_in(one.reveal()));
            let parts: Vec<_> = one.reveal().split('_').collect();
            let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [3, 3, KeyId::LEN, SECRET_LEN, CHECK_LEN]);
            assert_eq!(parts.get(2), Some(&id.as_str()));
            assert_ne!(one.reveal(), other.reveal());
            assert_eq!(assemble(purpose, id, parts.get(3).unwrap()), one);
        }
    }

    #[test]
    fn every_digit_is_about_equally_likely() {
        let digits = random_digits(62 * 1_000).unwrap();
        for digit in DIGITS {
            let count = digits.bytes().filter(|byte| byte == digit).count();
            assert!((700..1_300).contains(&count), "{}: {count}", char::from(*digit));
        }
    }

    #[test]
    fn a_secret_is_seen_anywhere_in_a_text() {
        assert!(is_in("Bearer pst_sub_x") && is_in("a,pst_ven_y") && is_in("pst_tok_"));
        assert!(is_in("x=pst_adm_") && is_in("pst_ses_a"));
        assert!(!is_in("pst_sub") && !is_in("pst_other_x"));
    }

    #[test]
    fn previews_show_the_id_and_the_end_and_of_short_strange_keys_nothing() {
        let (id, plain) = mint(Purpose::SubscriberKey).unwrap();
        let preview = preview(Purpose::SubscriberKey, id, &plain);
        let (_, end) = plain.reveal().split_at(plain.reveal().len() - 4);
        assert_eq!(*preview, format!("pst_sub_{id}_…{end}"));
        let adopted = |text: &str| preview_of_adopted(&PlainKey::new(text.to_owned()));
        assert_eq!(&*adopted("0123456789abcdefghij"), "…ghij");
        assert_eq!(&*adopted("0123456789abcdefghi"), "…");
        assert_eq!(&*adopted(""), "…");
        assert_eq!(&*adopted(&"é".repeat(20)), "…éééé");
    }
}
