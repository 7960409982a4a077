//! Where keys sit in a request: the two headers of the `headers` scheme, and nowhere else.
//!
//! Exactly one value of each. A second one, in any spelling or place, is a refusal and never a choice; so is a key in a
//! query string, where it would end up in logs and histories. Nothing here says whether a key is anybody's.

use std::fmt;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::auth::key;
use crate::config::Credentials;
use crate::model::Refusal;
use crate::policy::{Target, header_name, query};

/// The two keys as sent, not yet known to be anybody's. A value that no key can have is there as an empty one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Presented<'r> {
    pub subscriber: Option<&'r [u8]>,
    pub vendor: Option<&'r [u8]>,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(…)")
    }
}

impl<'r> Presented<'r> {
    /// Refuses with [`Refusal::CredentialsInQuery`] and [`Refusal::DuplicateCredentials`], for public routes too.
    pub fn read(
        scheme: &Credentials,
        headers: &'r HeaderMap,
        target: &Target<'_>,
    ) -> Result<Self, Refusal> {
        if target.query().is_some_and(|query| has_credentials(query, scheme)) {
            return Err(Refusal::CredentialsInQuery);
        }
        let subscriber = only_value(headers, &scheme.subscriber_header)?;
        let vendor = only_value(headers, &scheme.vendor_header)?;
        let has_any = subscriber.is_some() || vendor.is_some();
        if has_any && headers.get_all(AUTHORIZATION).iter().any(carries_our_key) {
            return Err(Refusal::DuplicateCredentials);
        }
        Ok(Self { subscriber, vendor })
    }
}

/// The one value of a header, if there is one. Another name that an upstream or a careless reader folds to the same is
/// a second one; alone it counts for nothing.
fn only_value<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Result<Option<&'r [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_alias =
        |other: &HeaderName| other != name && header_name::folds_to(other.as_str(), name.as_str());
    let has_alias = || headers.keys().any(is_alias);
    if values.next().is_some() || has_alias() {
        return Err(Refusal::DuplicateCredentials);
    }
    let bytes = value.as_bytes();
    // Without a way out in between, so that many bytes are looked at in one step.
    let may_be_a_key =
        bytes.iter().fold(true, |so_far, byte| so_far & byte.is_ascii_graphic() & (*byte != b','));
    Ok(Some(if may_be_a_key { bytes } else { &[] }))
}

fn carries_our_key(value: &HeaderValue) -> bool {
    key::is_in(&String::from_utf8_lossy(value.as_bytes()))
}

fn has_credentials(query: &str, scheme: &Credentials) -> bool {
    let headers = [scheme.subscriber_header.as_str(), scheme.vendor_header.as_str()];
    query::pairs(query).any(|(name, value)| {
        query::is_one_of(&name, &query::KEY_PARAMETERS)
            || query::is_one_of(&name, &headers)
            || key::is_in(&name)
            || key::is_in(&value)
    })
}

#[cfg(test)]
mod tests;
