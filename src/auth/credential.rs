//! Where keys sit in a request, by the schemes that are configured, and nowhere else.
//!
//! | scheme | the subscriber key | besides |
//! | --- | --- | --- |
//! | `headers` | its header | |
//! | `username_header` | its header | its owner's username in another |
//! | `bearer` | `Authorization: Bearer KEY` | |
//! | `basic` | `Authorization: Basic`, the password | the username is its owner's |
//! | `oauth2` | `Authorization: Bearer pst_tok_…` | |
//!
//! The vendor key has its header in all of them. Several schemes may be configured; a request uses one. A second
//! credential, in any spelling or place, is a refusal and never a choice; so is a key in a query string, where it would end
//! up in logs and histories. What sits in a scheme that is not configured is no credential, but a key of ours there beside
//! another credential is a second one all the same.
//!
//! Nothing here says whether a key is anybody's. A value that no key can have, and a username that was left out where one
//! belongs to the key, are wrong credentials and not missing ones: they get the one answer of every wrong key, after the
//! same work, so that nobody learns from it that the key alone was right.

use std::fmt;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::config::{Credentials, Schemes, VendorKeyRule};
use crate::model::Refusal;
use crate::policy::{Target, header_name, query};
use crate::vault::key;

mod authorization;

pub use authorization::{Decoded, basic};

/// The credentials as sent, not yet known to be anybody's.
pub struct Presented<'r> {
    pub subscriber: Option<Credential<'r>>,
    /// None where the configuration gives the header no meaning, too. A value that no key can have is an empty one.
    pub vendor: Option<&'r [u8]>,
    pub vendor_key: VendorKeyRule,
}

/// What stands for a subscriber key.
pub enum Credential<'r> {
    Key {
        /// A value that no key can have is an empty one.
        secret: &'r [u8],
        claim: Claim<'r>,
    },
    /// The username and key of HTTP Basic.
    Basic(Decoded),
    /// An OAuth2 access token.
    Token(&'r [u8]),
}

/// What is said of a key beside it, and has to be so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Claim<'r> {
    Nothing,
    /// The username of its owner; empty, and so never right, where it was left out.
    Owner(&'r [u8]),
    /// Its public id.
    Id(&'r [u8]),
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(…)")
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim(…)")
    }
}

impl Credential<'_> {
    /// The key or the token itself.
    pub fn secret(&self) -> &[u8] {
        match self {
            Self::Key { secret, .. } | Self::Token(secret) => secret,
            Self::Basic(decoded) => decoded.secret(),
        }
    }

    pub fn claim(&self) -> Claim<'_> {
        match self {
            Self::Key { claim, .. } => *claim,
            Self::Basic(decoded) => Claim::Owner(decoded.username()),
            Self::Token(_) => Claim::Nothing,
        }
    }
}

impl<'r> Presented<'r> {
    /// Two keys and nothing else, both of them asked for.
    pub fn pair(subscriber: Option<&'r [u8]>, vendor: Option<&'r [u8]>) -> Self {
        let subscriber = subscriber.map(|secret| Credential::Key { secret, claim: Claim::Nothing });
        Self { subscriber, vendor, vendor_key: VendorKeyRule::Required }
    }

    /// Refuses with [`Refusal::CredentialsInQuery`] and [`Refusal::DuplicateCredentials`], for public routes too.
    pub fn read(
        scheme: &Credentials,
        headers: &'r HeaderMap,
        target: &Target<'_>,
    ) -> Result<Self, Refusal> {
        if target.query().is_some_and(|query| has_credentials(query, scheme)) {
            return Err(Refusal::CredentialsInQuery);
        }
        let Schemes { headers: plain, username_header: named, .. } = scheme.schemes;
        let key = only(plain || named, headers, &scheme.subscriber_header)?.map(key_text);
        let username = only(named, headers, &scheme.username_header)?;
        let asks_vendor = scheme.vendor_key != VendorKeyRule::Off;
        let vendor = only(asks_vendor, headers, &scheme.vendor_header)?.map(key_text);
        let authorization = authorization::read(scheme.schemes, headers)?;
        let has_header = key.is_some() || username.is_some();
        let has_authorization = authorization.is_some();
        let is_stray = |counts: bool, name: &HeaderName| {
            !counts && headers.get_all(name).iter().any(carries_our_key)
        };
        let is_doubled = has_header && has_authorization
            || (has_header || has_authorization || vendor.is_some())
                && (is_stray(has_authorization, &AUTHORIZATION)
                    || is_stray(plain || named, &scheme.subscriber_header));
        if is_doubled {
            return Err(Refusal::DuplicateCredentials);
        }
        let claim = match username {
            Some(username) => Claim::Owner(username),
            None if plain => Claim::Nothing,
            None => Claim::Owner(&[]),
        };
        let in_header = key.map(|secret| Credential::Key { secret, claim });
        let subscriber = authorization.or(in_header);
        Ok(Self { subscriber, vendor, vendor_key: scheme.vendor_key })
    }
}

/// The one value of a header that counts, if there is one. Another name that an upstream or a careless reader folds to
/// the same is a second one; alone it counts for nothing.
fn only<'r>(
    counts: bool,
    headers: &'r HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'r [u8]>, Refusal> {
    if !counts {
        return Ok(None);
    }
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Most names are told apart by their length.
    let is_alias = |other: &HeaderName| {
        let (other, name) = (other.as_str(), name.as_str());
        other.len() == name.len() && other != name && header_name::folds_to(other, name)
    };
    let has_alias = || headers.keys().any(is_alias);
    if values.next().is_some() || has_alias() {
        return Err(Refusal::DuplicateCredentials);
    }
    Ok(Some(value.as_bytes()))
}

/// The value itself where a key may be so, else nothing.
fn key_text(bytes: &[u8]) -> &[u8] {
    // Without a way out in between, so that many bytes are looked at in one step.
    let may_be_a_key =
        bytes.iter().fold(true, |so_far, byte| so_far & byte.is_ascii_graphic() & (*byte != b','));
    if may_be_a_key { bytes } else { &[] }
}

fn carries_our_key(value: &HeaderValue) -> bool {
    key::is_in(&String::from_utf8_lossy(value.as_bytes()))
}

fn has_credentials(query: &str, scheme: &Credentials) -> bool {
    let headers = [scheme.subscriber_header.as_str(), scheme.vendor_header.as_str()];
    query::pairs(query).any(|(name, value)| {
        query::is_one_of(&name, &query::KEY_PARAMETERS)
            || query::is_one_of(&name, &headers)
            || scheme.schemes.oauth2 && query::is_one_of(&name, &["client_secret"])
            || key::is_in(&name)
            || key::is_in(&value)
    })
}

#[cfg(test)]
mod tests;
