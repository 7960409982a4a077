//! Which of a caller's headers never reach the upstream, and the names the gateway itself writes.
//!
//! A name is judged as an upstream may fold it; [`header_name`] says how.

use http::{HeaderMap, HeaderName, header};

use crate::config::Credentials;
use crate::policy::header_name;

pub(crate) const PRACTICE: HeaderName = HeaderName::from_static("x-postern-practice");
pub(crate) const KEY_ID: HeaderName = HeaderName::from_static("x-postern-key-id");
pub(crate) const KEY_OWNER: HeaderName = HeaderName::from_static("x-postern-key-owner");
pub(crate) const VENDOR: HeaderName = HeaderName::from_static("x-postern-vendor");
pub(crate) const SCOPES: HeaderName = HeaderName::from_static("x-postern-scopes");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Whether a caller's header stays here: hop-by-hop, framing, credentials, or what only a gateway may say.
pub(crate) fn stays_here(
    name: &HeaderName,
    credentials: &Credentials,
    written: &[(HeaderName, http::HeaderValue)],
) -> bool {
    // As most callers write them.
    if *name == credentials.subscriber_header || *name == credentials.vendor_header {
        return true;
    }
    let folded = header_name::fold(name.as_str());
    let folds_to = |other: &HeaderName| header_name::folds_to(&folded, other.as_str());
    header_name::is_gateways_own(&folded)
        // Of whatever scheme: what it proves, it proves to us.
        || folded == "authorization"
        || folds_to(&credentials.subscriber_header)
        || folds_to(&credentials.vendor_header)
        || credentials.schemes.username_header && folds_to(&credentials.username_header)
        || written.iter().any(|(ours, _)| folds_to(ours))
}

/// The headers that `Connection` names, and so belong to one hop: None in the usual case of none.
pub(crate) struct Named<'h>(smallvec::SmallVec<[&'h str; 4]>);

impl<'h> Named<'h> {
    pub(crate) fn read(headers: &'h HeaderMap) -> Option<Self> {
        let tokens = headers.get_all(header::CONNECTION).iter();
        let tokens = tokens.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let named: smallvec::SmallVec<_> = tokens
            .map(|token| token.trim_matches([' ', '\t']))
            .filter(|token| !is_connection_option(token))
            .collect();
        (!named.is_empty()).then_some(Self(named))
    }

    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|token| token.eq_ignore_ascii_case(name.as_str()))
    }
}

fn is_connection_option(token: &str) -> bool {
    token.is_empty()
        || ["keep-alive", "close", "upgrade"].iter().any(|known| token.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::Schemes;

    fn stays(name: &str) -> bool {
        let credentials = Credentials {
            subscriber_header: HeaderName::from_static("x-subscriber-key"),
            vendor_header: HeaderName::from_static("x_vendor_key"),
            schemes: Schemes { username_header: true, ..Schemes::default() },
            ..Credentials::default()
        };
        let written = [(HeaderName::from_static("x-gateway"), HeaderValue::from_static("us"))];
        stays_here(&HeaderName::from_bytes(name.as_bytes()).unwrap(), &credentials, &written)
    }

    #[test]
    fn what_a_hop_or_a_gateway_says_stays_here_in_every_spelling() {
        let names = "Connection Keep-Alive Proxy Proxy-Connection Proxy-Authenticate Proxy-Authorization TE Trailer \
            Transfer-Encoding Upgrade HTTP2-Settings Content-Length Expect Host Authorization X-Subscriber-Key \
            X_Subscriber_Key X.Subscriber~Key X-Vendor-Key X_Vendor_Key X-Username X_Username X-Postern-Practice X_Postern_Practice \
            X-Postern-Anything X-Postern X-Forwarded-For X-Forwarded-Host X-Forwarded-Uri X_Forwarded_User X-Forwarded \
            X~Forwarded!Proto Forwarded X-Real-IP X-Original-URL X-Original-URI X-Original-Method X-Rewrite-URL \
            X-Accel-Redirect X-HTTP-Method X-HTTP-Method-Override X-HTTP-DestinationURL X-Method-Override \
            X-Envoy-Original-Path X-Sendfile X-Request-Id X_Request_Id Traceparent Tracestate X-Gateway X.Gateway \
            X-Middleware-Subrequest Transfer_Encoding Content.Length";
        for name in names.split_whitespace() {
            assert!(stays(name), "{name}");
        }
    }

    #[test]
    fn everything_else_passes() {
        let names = "Accept Accept-Encoding Cookie Content-Type Content-Encoding Cache-Control If-Match Range \
            User-Agent Upgrade-Insecure-Requests Origin Referer X-On-Behalf-Of X-Practice X-Api-Version X-Requested-With \
            Prefer Idempotency-Key Traceparent2 X-Http X-Originally X-Forwardedness Hosts Expectation Sec-WebSocket-Key";
        for name in names.split_whitespace() {
            assert!(!stays(name), "{name}");
        }
    }

    #[test]
    fn a_username_is_no_credential_where_its_scheme_is_not_taken() {
        let name = HeaderName::from_static("x-username");
        assert!(!stays_here(&name, &Credentials::default(), &[]));
    }

    #[test]
    fn connection_names_headers_but_its_own_options() {
        let mut headers = HeaderMap::new();
        assert!(Named::read(&headers).is_none());
        headers.append("connection", HeaderValue::from_static("Keep-Alive, close,, upgrade"));
        assert!(Named::read(&headers).is_none());
        headers.append("connection", HeaderValue::from_static("close ,\tX-Secret"));
        headers.append("connection", HeaderValue::from_bytes(b"\xff").unwrap());
        let named = Named::read(&headers).unwrap();
        assert!(named.contains(&HeaderName::from_static("x-secret")));
        assert!(!named.contains(&HeaderName::from_static("close")));
    }
}
