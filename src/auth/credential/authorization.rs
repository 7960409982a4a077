//! `Authorization`: `Bearer` and `Basic`, in the one form each that RFC 6750 and RFC 7617 give them.
//!
//! The name of the scheme in any case, one space, and a value without a space in it. Anything else under one of these
//! names is a wrong credential.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use crate::auth::credential::{Claim, Credential, key_text};
use crate::config::Schemes;
use crate::model::Refusal;
use crate::vault::Purpose;

/// A username and a secret as HTTP Basic had them, wiped when dropped.
pub struct Decoded {
    text: Zeroizing<Vec<u8>>,
    /// Where the colon is. What has none stands for no credentials at all: both parts are empty.
    colon: usize,
}

impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoded(…)")
    }
}

impl Decoded {
    pub fn username(&self) -> &[u8] {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// A value that no key can have is an empty one.
    pub fn secret(&self) -> &[u8] {
        key_text(self.text.get(self.colon + 1..).unwrap_or_default())
    }
}

/// What is presented there, under the schemes that are configured. Two values are one too many, whatever they are.
pub(super) fn read(
    schemes: Schemes,
    headers: &HeaderMap,
) -> Result<Option<Credential<'_>>, Refusal> {
    let Schemes { bearer, basic: by_basic, oauth2, .. } = schemes;
    if !(bearer || by_basic || oauth2) {
        return Ok(None);
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::DuplicateCredentials);
    }
    let (scheme, value) = split(value.as_bytes());
    if scheme.eq_ignore_ascii_case(b"basic") && by_basic {
        return Ok(Some(Credential::Basic(decode(value))));
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") || !(bearer || oauth2) {
        return Ok(None);
    }
    let secret = key_text(value);
    let is_token = secret.starts_with(Purpose::AccessToken.prefix().as_bytes());
    // Where keys are no bearer tokens, one that is sent as such is a wrong token.
    Ok(Some(if oauth2 && (is_token || !bearer) {
        Credential::Token(secret)
    } else {
        Credential::Key { secret, claim: Claim::Nothing }
    }))
}

/// The value of an `Authorization` that is HTTP Basic; None where it is of another scheme.
pub fn basic(value: &[u8]) -> Option<Decoded> {
    let (scheme, value) = split(value);
    scheme.eq_ignore_ascii_case(b"basic").then(|| decode(value))
}

/// The name of a scheme, and what follows its one space. Anything else that follows is as good as nothing.
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
    let (scheme, rest) = value.split_at(end.unwrap_or(value.len()));
    (scheme, rest.strip_prefix(b" ").unwrap_or_default())
}

fn decode(value: &[u8]) -> Decoded {
    // Room for all of it at once: a buffer that grew would leave a copy behind.
    let mut text = Zeroizing::new(vec![0; base64::decoded_len_estimate(value.len())]);
    let length = BASE64.decode_slice(value, &mut text).unwrap_or(0);
    text.truncate(length);
    let colon = text.iter().position(|byte| *byte == b':');
    if colon.is_none() {
        text.clear();
    }
    Decoded { colon: colon.unwrap_or(0), text }
}
