//! Answers to refusals that are the same for every request of a configuration, but for the request's id: composed once, and
//! copied for each request. Strangers are refused by the thousand, and composing is most of what such an answer costs.

use std::mem::{Discriminant, discriminant};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::config::Config;
use crate::model::{Refusal, RequestId};
use crate::proxy::body::ResponseBody;
use crate::proxy::respond::{REQUEST_ID, compose};

/// Whatever says nothing of the request itself; the most frequent first.
pub(super) const PREPARED: [Refusal; 27] = [
    Refusal::InvalidCredentials,
    Refusal::SubscriberKeyMissing,
    Refusal::VendorKeyMissing,
    Refusal::KeyRevoked,
    Refusal::KeyExpired,
    Refusal::KeyDisabled,
    Refusal::RouteUnmapped,
    Refusal::RouteDenied,
    Refusal::DuplicateCredentials,
    Refusal::CredentialsInQuery,
    Refusal::WrongApi,
    Refusal::VendorMismatch,
    Refusal::VendorNotApproved,
    Refusal::ApiAccessDisabled,
    Refusal::IpNotAllowed,
    Refusal::MethodOverride,
    Refusal::ExpectationFailed,
    Refusal::UpgradeNotAllowed,
    Refusal::HeadersTooLarge,
    Refusal::RequestTimeout,
    Refusal::Overloaded,
    Refusal::RegistryStale,
    Refusal::LogUnavailable,
    Refusal::LimitsUnavailable,
    Refusal::UpstreamUnreachable,
    Refusal::UpstreamProtocolError,
    Refusal::UpstreamTimeout,
];

/// Of one configuration.
#[derive(Debug)]
pub struct Answers(Vec<(Discriminant<Refusal>, Prepared)>);

#[derive(Debug)]
struct Prepared {
    status: StatusCode,
    headers: HeaderMap,
    text: Bytes,
    /// Where the id stands in the text: a template of an error shows it as often as it likes.
    places: Vec<usize>,
}

impl Answers {
    pub(crate) fn of(config: &Config) -> Self {
        let prepared =
            |refusal: &Refusal| (discriminant(refusal), Prepared::compose(config, refusal));
        Self(PREPARED.iter().map(prepared).collect())
    }

    /// None for a refusal that says something of its request.
    pub(crate) fn give(&self, refusal: &Refusal, id: RequestId) -> Option<Response<ResponseBody>> {
        let kind = discriminant(refusal);
        let (_, prepared) = self.0.iter().find(|(known, _)| *known == kind)?;
        Some(prepared.give(&id.digits()))
    }
}

impl Prepared {
    fn compose(config: &Config, refusal: &Refusal) -> Self {
        // Two ids that differ in every digit show where ids stand.
        let (head, text) = compose(config, refusal, RequestId::new(0)).into_parts();
        let other = compose(config, refusal, RequestId::new(u128::MAX)).into_body();
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(next) = (from..text.len()).find(|at| text.get(*at) != other.get(*at)) {
            places.push(next);
            from = next + RequestId::LEN;
        }
        Self { status: head.status, headers: head.headers, text, places }
    }

    fn give(&self, id: &[u8; RequestId::LEN]) -> Response<ResponseBody> {
        let mut text = self.text.to_vec();
        for place in &self.places {
            if let Some(digits) = text.get_mut(*place..*place + RequestId::LEN) {
                digits.copy_from_slice(id);
            }
        }
        let mut response = Response::new(ResponseBody::Own(Full::new(Bytes::from(text))));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        if let (Some(value), Ok(id)) =
            (response.headers_mut().get_mut(REQUEST_ID), HeaderValue::from_bytes(id))
        {
            *value = id;
        }
        response
    }
}
