//! OAuth2 for clients that speak it: the client credentials grant (RFC 6749, 4.4) and revocation (RFC 7009), without the
//! HTTP around them.
//!
//! A subscriber key is the client: `client_id` is its id, `client_secret` the key itself or, of a key of ours, its secret
//! part alone. What the client gets is a token that stands for the key and never for more; it is over with its key, at the
//! latest after `token_ttl`. Forms are read strictly: what two readers could read in two ways is refused.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use serde_json::json;
use zeroize::Zeroizing;

use crate::auth::credential;
use crate::model::{Access, Catalogue, Grants, KeyId, PlainKey, Refusal, hex};
use crate::policy::header_name;
use crate::vault::Purpose;
use crate::vault::key::{self, SECRET_LEN};

/// Why a client gets no token: the errors of RFC 6749, 5.2, each with a sentence for its developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    InvalidRequest(&'static str),
    InvalidClient(&'static str),
    UnauthorizedClient(&'static str),
    UnsupportedGrantType,
    InvalidScope,
}

/// The most parameters of a form: each is compared with all before it. There are five that mean something.
const MAX_PARAMETERS: usize = 32;

const TWICE: Fault = Fault::InvalidRequest("A parameter was sent twice.");
const TOO_MANY: Fault = Fault::InvalidRequest("There are more than 32 parameters.");
const NOT_A_FORM: Fault =
    Fault::InvalidRequest("The body is not application/x-www-form-urlencoded.");
const TWO_WAYS: Fault = Fault::InvalidRequest(
    "Client credentials were sent in two ways. Use either HTTP Basic or the parameters of the body.",
);
const NO_CLIENT: Fault = Fault::InvalidClient(
    "Send the key's id as client_id and the key as client_secret, by HTTP Basic or in the body.",
);
/// One for every wrong client.
pub const WRONG_CLIENT: Fault =
    Fault::InvalidClient("There is no such client, or its secret is wrong.");

impl Fault {
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient(_) => "invalid_client",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
        }
    }

    /// The answer's body.
    pub fn document(self) -> String {
        let description = match self {
            Self::InvalidRequest(why)
            | Self::InvalidClient(why)
            | Self::UnauthorizedClient(why) => why,
            Self::UnsupportedGrantType => "The grant_type of this gateway is client_credentials.",
            Self::InvalidScope => {
                "The scope asks for more than the key may, or for what there is not. It is a list such as patient:read."
            }
        };
        json!({ "error": self.code(), "error_description": description }).to_string()
    }

    /// What stands against a client whose secret is right.
    pub fn of_standing(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::KeyExpired => Self::InvalidClient("The key has expired."),
            Refusal::KeyDisabled => Self::InvalidClient("The key is switched off."),
            Refusal::KeyRevoked => Self::InvalidClient("The key was revoked."),
            Refusal::ApiAccessDisabled => {
                Self::UnauthorizedClient("The practice has switched its API access off.")
            }
            Refusal::VendorNotApproved => {
                Self::UnauthorizedClient("The vendor that the key is for is not approved.")
            }
            Refusal::IpNotAllowed => {
                Self::UnauthorizedClient("The key may not be used from this address.")
            }
            Refusal::WrongRegion { .. } => {
                Self::UnauthorizedClient("The practice is served in another region.")
            }
            _ => WRONG_CLIENT,
        }
    }
}

/// The parameters that mean something here; an empty one counts as left out, others are ignored.
#[derive(Debug, Default)]
pub struct Form {
    pub grant_type: Option<String>,
    pub scope: Option<String>,
    pub token: Option<PlainKey>,
    client_id: Option<String>,
    client_secret: Option<PlainKey>,
}

impl Form {
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut names: Vec<Zeroizing<String>> = Vec::new();
        let mut form = Self::default();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if names.len() == MAX_PARAMETERS {
                return Err(TOO_MANY);
            }
            let equals = pair.iter().position(|byte| *byte == b'=').ok_or(NOT_A_FORM)?;
            let (name, value) = pair.split_at(equals);
            let name = decode(name).ok_or(NOT_A_FORM)?;
            let mut value = decode(value.get(1..).unwrap_or_default()).ok_or(NOT_A_FORM)?;
            if names.contains(&name) {
                return Err(TWICE);
            }
            let value = Some(std::mem::take(&mut *value)).filter(|value| !value.is_empty());
            match name.as_str() {
                "grant_type" => form.grant_type = value,
                "scope" => form.scope = value,
                "client_id" => form.client_id = value,
                "client_secret" => form.client_secret = value.map(PlainKey::new),
                "token" => form.token = value.map(PlainKey::new),
                _ => drop(value.map(PlainKey::new)),
            }
            names.push(name);
        }
        Ok(form)
    }
}

/// Whether a body says of itself that it is a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(http::header::CONTENT_TYPE).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let essence =
        only.and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| {
        essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

/// Who says to be calling, not yet known to be so.
#[derive(Debug)]
pub struct Client {
    id: Zeroizing<String>,
    secrets: Vec<PlainKey>,
}

impl Client {
    /// By Basic or by the body, and by one of them alone. A key's own header is none of the ways, and beside one of them
    /// a second one, in any spelling.
    pub fn read(
        headers: &HeaderMap,
        form: &Form,
        subscriber_header: &HeaderName,
    ) -> Result<Self, Fault> {
        let is_key =
            |name: &HeaderName| header_name::folds_to(name.as_str(), subscriber_header.as_str());
        let has_header = headers.keys().any(is_key);
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            let client = Self::of_form(form)?;
            return if has_header { Err(TWO_WAYS) } else { Ok(client) };
        };
        if values.next().is_some() || form.client_secret.is_some() || has_header {
            return Err(TWO_WAYS);
        }
        let basic = credential::basic(value.as_bytes()).ok_or(NO_CLIENT)?;
        // RFC 6749, 2.3.1: both parts are encoded as in a form. Not everybody does.
        let (id, secret) = (decode(basic.username()), decode(basic.secret()));
        let as_sent = str::from_utf8(basic.secret()).unwrap_or_default();
        let id = id.ok_or(WRONG_CLIENT)?;
        if form.client_id.as_ref().is_some_and(|other| *other != *id) {
            return Err(TWO_WAYS);
        }
        let decoded = secret.as_ref().map_or("", |secret| secret.as_str());
        let mut client = Self { secrets: secrets(&id, decoded), id };
        if decoded != as_sent {
            client.secrets.push(PlainKey::new(as_sent.to_owned()));
        }
        Ok(client)
    }

    fn of_form(form: &Form) -> Result<Self, Fault> {
        match (&form.client_id, &form.client_secret) {
            (Some(id), Some(secret)) => {
                Ok(Self { secrets: secrets(id, secret.reveal()), id: Zeroizing::new(id.clone()) })
            }
            _ => Err(NO_CLIENT),
        }
    }

    pub fn id(&self) -> &[u8] {
        self.id.as_bytes()
    }

    /// The keys that its secret may stand for.
    pub fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        self.secrets.iter().map(|secret| secret.reveal().as_bytes())
    }
}

/// What was sent, and, where it is the secret part of a key of ours, the whole key.
fn secrets(id: &str, sent: &str) -> Vec<PlainKey> {
    let is_part = sent.len() == SECRET_LEN && sent.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let whole = KeyId::parse(id).ok().filter(|_| is_part);
    let whole = whole.map(|id| key::assemble(Purpose::SubscriberKey, id, sent));
    whole.into_iter().chain([PlainKey::new(sent.to_owned())]).collect()
}

/// The words of a scope, if the key may do all of it. `write` is both bits, as in a permission.
pub fn narrowed(
    scope: &str,
    catalogue: &Catalogue,
    granted: &Grants,
) -> Result<Vec<String>, Fault> {
    let words = scope.split(' ').map(|word| {
        let (name, access) = word.rsplit_once(':')?;
        let id = catalogue.id(name)?;
        let access = Access::from_permission(access).filter(|access| *access != Access::NONE)?;
        granted.on(id).covers(access).then(|| word.to_owned())
    });
    let mut words = words.collect::<Option<Vec<_>>>().ok_or(Fault::InvalidScope)?;
    words.sort();
    words.dedup();
    Ok(words)
}

/// What a client gets.
pub fn granted(token: &PlainKey, seconds: u64, scope: &[String]) -> String {
    let document = json!({
        "access_token": token.reveal(),
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": scope.join(" "),
    });
    document.to_string()
}

/// A name or value of a form; None where it is not encoded as one.
fn decode(text: &[u8]) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((byte, following)) = rest.split_first() {
        rest = following;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let ([high, low], following) = rest.split_first_chunk::<2>()?;
                rest = following;
                hex::byte(*high, *low)?
            }
            plain => *plain,
        });
    }
    Some(Zeroizing::new(str::from_utf8(&bytes).ok()?.to_owned()))
}

#[cfg(test)]
mod tests;
