//! OAuth2 access tokens: what one says, sealed, so that it is opaque to its holder and every node with the pepper reads it.
//!
//! ```text
//! pst_tok_ ‖ base64url( seal( version (1) ‖ id (12) ‖ key (12) ‖ ends (8, microseconds since 1970, big-endian) ‖ scope ) )
//! ```
//!
//! The scope is what the token was narrowed to, `patient:read contact:read`, with a space before each of its words; nothing
//! at all where the token may do all that its key may. A token gives nobody a right: it names a key, and the key is judged at
//! every request.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroizing;

use crate::model::{KeyId, PlainKey, Timestamp};
use crate::vault::{Purpose, VaultError, seal};

const ABOUT: &[u8] = b"postern/access-token/v1";
const VERSION: u8 = 1;
/// More than any token of ours has: nothing longer is worth decoding.
const LONGEST: usize = 8 << 10;

/// What an OAuth2 access token says. Sealed whole, so it is opaque to its holder; every node that has the pepper reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    pub id: KeyId,
    pub key: KeyId,
    pub expires_at: Timestamp,
    /// Narrower than the key's permissions: `patient:read`, by name. None: all that the key may.
    pub scope: Option<Vec<String>>,
}

pub(super) fn issue(master: &hmac::Key, token: &AccessToken) -> Result<PlainKey, VaultError> {
    let mut text = Zeroizing::new(vec![VERSION]);
    text.extend_from_slice(token.id.as_str().as_bytes());
    text.extend_from_slice(token.key.as_str().as_bytes());
    text.extend_from_slice(&token.expires_at.as_micros().to_be_bytes());
    match token.scope.as_deref() {
        None => {}
        // A scope of nothing is not the same as none.
        Some([]) => text.push(b' '),
        Some(words) => words.iter().for_each(|word| {
            text.push(b' ');
            text.extend_from_slice(word.as_bytes());
        }),
    }
    let sealed = seal::seal(master, ABOUT, &text)?;
    let mut written = String::from(Purpose::AccessToken.prefix());
    BASE64.encode_string(sealed, &mut written);
    if written.len() > LONGEST {
        return Err(VaultError::TokenTooLong);
    }
    Ok(PlainKey::new(written))
}

/// Opening costs the same whatever the text is: what cannot be decoded is opened as so many zeros.
pub(super) fn read(master: &hmac::Key, text: &[u8]) -> Option<AccessToken> {
    let written = text.strip_prefix(Purpose::AccessToken.prefix().as_bytes());
    let written = written.filter(|_| text.len() <= LONGEST);
    let sealed = written.and_then(|written| BASE64.decode(written).ok());
    let sealed = sealed.unwrap_or_else(|| vec![0; seal::OVERHEAD + 33]);
    let text = seal::open(master, ABOUT, &sealed)?;
    let (version, rest) = text.split_first()?;
    let (id, rest) = rest.split_first_chunk::<{ KeyId::LEN }>()?;
    let (key, rest) = rest.split_first_chunk::<{ KeyId::LEN }>()?;
    let (ends, scope) = rest.split_first_chunk::<8>()?;
    let named = |id: &[u8]| str::from_utf8(id).ok().and_then(|id| KeyId::parse(id).ok());
    let scope = match scope {
        [] => None,
        [b' ', words @ ..] => {
            let words = str::from_utf8(words).ok()?.split(' ').filter(|word| !word.is_empty());
            Some(words.map(str::to_owned).collect())
        }
        _ => return None,
    };
    let expires_at = Timestamp::from_micros(i64::from_be_bytes(*ends));
    (*version == VERSION).then_some(())?;
    Some(AccessToken { id: named(id)?, key: named(key)?, expires_at, scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[3; 32])
    }

    fn token(scope: Option<&[&str]>) -> AccessToken {
        AccessToken {
            id: KeyId::parse("0123456789aB").unwrap(),
            key: KeyId::parse("ba9876543210").unwrap(),
            expires_at: Timestamp::from_micros(1_763_625_600_000_001),
            scope: scope.map(|words| words.iter().map(|&word| word.to_owned()).collect()),
        }
    }

    #[test]
    fn tokens_say_on_every_node_what_they_were_made_to_say() {
        let scopes = [None, Some(&[][..]), Some(&["patient:read"]), Some(&["a:read", "b.c:write"])];
        for token in scopes.map(token) {
            let text = issue(&master(), &token).unwrap();
            assert!(text.reveal().starts_with("pst_tok_"));
            assert_eq!(read(&master(), text.reveal().as_bytes()), Some(token));
            let other = hmac::Key::new(hmac::HMAC_SHA256, &[4; 32]);
            assert_eq!(read(&other, text.reveal().as_bytes()), None);
        }
    }

    #[test]
    fn what_nobody_issued_says_nothing() {
        let text = issue(&master(), &token(None)).unwrap();
        let text = text.reveal();
        for wrong in [
            "",
            "pst_tok_",
            "pst_tok_AAAA",
            "pst_tok_!!!",
            &text.replace("pst_tok_", "pst_sub_"),
            &format!("{text}A"),
            &format!(" {text}"),
            &text.chars().take(text.len() - 1).collect::<String>(),
            &"pst_tok_A".repeat(2_000),
        ] {
            assert_eq!(read(&master(), wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(read(&master(), b"pst_tok_\xff\xfe"), None);
    }

    #[test]
    fn a_token_that_no_request_could_carry_is_not_made() {
        let word = "patient:read".repeat(1_000);
        assert!(issue(&master(), &token(Some(&[&word]))).is_err());
    }
}
