//! Browsers of the configured origins: what they are told, and nothing for anybody else.

use http::header::{self, HeaderMap, HeaderValue};

const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
/// What a page may read beside the usual headers.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Location, ETag, Link",
);

/// The methods a preflight answer names.
pub(crate) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// The origin of a request, if it is one of those configured.
fn allowed_origin<'r>(origins: &[String], headers: &'r HeaderMap) -> Option<&'r HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// Whether an OPTIONS request asks what a page of a configured origin may do.
pub(crate) fn is_allowed_preflight(origins: &[String], headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && allowed_origin(origins, headers).is_some()
}

/// The headers that a page wants to send: they are judged at the request itself, so all are fine here.
pub(crate) fn requested_headers(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned()
}

/// Lets a page of a configured origin read the answer, and tells caches that answers differ by origin: one that was
/// kept without would else be given to a page that may read it, or the other way round.
pub(crate) fn permit(origins: &[String], request: &HeaderMap, answer: &mut HeaderMap) {
    if origins.is_empty() {
        return;
    }
    answer.append(header::VARY, VARY_ORIGIN);
    if let Some(origin) = allowed_origin(origins, request) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_configured_origin_is_told_anything() {
        let origins = ["https://app.example.com".to_owned()];
        let mut headers = HeaderMap::new();
        assert_eq!(allowed_origin(&origins, &headers), None);
        for (origin, allowed) in [
            ("https://app.example.com", true),
            ("https://app.example.com.evil.test", false),
            ("http://app.example.com", false),
            ("null", false),
        ] {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            assert_eq!(allowed_origin(&origins, &headers).is_some(), allowed, "{origin}");
            assert_eq!(allowed_origin(&[], &headers), None);
        }
    }

    #[test]
    fn every_answer_says_that_it_differs_by_origin_once_there_are_any() {
        let origins = ["https://app.example.com".to_owned()];
        let answered = |origins: &[String], origin: Option<&'static str>| {
            let (mut request, mut answer) = (HeaderMap::new(), HeaderMap::new());
            if let Some(origin) = origin {
                request.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            permit(origins, &request, &mut answer);
            let allowed = answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            (answer.get(header::VARY) == Some(&VARY_ORIGIN), allowed)
        };
        assert_eq!(answered(&[], Some("https://app.example.com")), (false, false));
        assert_eq!(answered(&origins, None), (true, false));
        assert_eq!(answered(&origins, Some("https://else.test")), (true, false));
        assert_eq!(answered(&origins, Some("https://app.example.com")), (true, true));
    }
}
