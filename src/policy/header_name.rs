//! What the name of a header means to a gateway, in one list for the configuration and for every request.
//!
//! A name is judged as an upstream may fold it: in lower case, every sign as `-`. The screening of a request's head takes
//! letters, digits and `-` alone; folding stands behind it all the same, so that no list here relies on another file.

use std::borrow::Cow;

/// Headers that ask an upstream to take the request for one of another method.
pub const METHOD_OVERRIDES: [&str; 3] =
    ["x-http-method-override", "x-http-method", "x-method-override"];

/// A name, already in lower case, as an upstream may read it.
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte == folded(byte)) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.bytes().map(|byte| char::from(folded(byte))).collect())
}

/// Whether two names, both in lower case, are one to some upstream.
pub fn folds_to(name: &str, other: &str) -> bool {
    name.len() == other.len() && name.bytes().map(folded).eq(other.bytes().map(folded))
}

fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

/// Whether a name in lower case is one of [`METHOD_OVERRIDES`], in any spelling.
pub fn is_method_override(name: &str) -> bool {
    name.starts_with('x') && METHOD_OVERRIDES.iter().any(|known| folds_to(name, known))
}

/// Whether nobody but the gateway may set a header, callers and configuration alike: it belongs to one hop, frames the
/// message, or is believed because only a gateway says it. Takes a name that [`fold`] has seen.
pub fn is_gateways_own(name: &str) -> bool {
    // The first byte decides for nearly every ordinary header, so that most cost one comparison.
    match name.as_bytes().first() {
        Some(b'c') => matches!(name, "connection" | "content-length"),
        Some(b'e') => name == "expect",
        Some(b'f') => name == "forwarded",
        Some(b'h') => matches!(name, "host" | "http2-settings"),
        Some(b'k') => name == "keep-alive",
        Some(b'p') => name == "proxy" || name.starts_with("proxy-"),
        Some(b't') => {
            matches!(
                name,
                "te" | "trailer"
                    | "transfer-encoding"
                    | "traceparent"
                    | "tracestate"
                    | "true-client-ip"
            )
        }
        Some(b'r') => name == "remote-user",
        Some(b'u') => name == "upgrade",
        Some(b'x') => name.strip_prefix("x-").is_some_and(is_extension_of_ours),
        _ => false,
    }
}

/// `name` is what follows `x-`.
fn is_extension_of_ours(name: &str) -> bool {
    const FAMILIES: [&str; 10] = [
        "postern-",
        "forwarded-",
        "original-",
        "rewrite-",
        "accel-",
        "http-",
        "envoy-",
        "middleware-",
        "remote-",
        "ssl-client-",
    ];
    const SINGLE: [&str; 9] = [
        "postern",
        "forwarded",
        "real-ip",
        "request-id",
        "method-override",
        "sendfile",
        "sendfile-type",
        "client-ip",
        "cluster-client-ip",
    ];
    let first = name.as_bytes().first();
    matches!(first, Some(b'p' | b'f' | b'o' | b'r' | b'a' | b'h' | b'e' | b'm' | b's' | b'c'))
        && (FAMILIES.iter().any(|family| name.starts_with(family)) || SINGLE.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_takes_every_sign_for_a_dash_and_borrows_what_needs_none() {
        assert!(matches!(fold("x-request-id"), Cow::Borrowed("x-request-id")));
        assert_eq!(fold("x_request.id~2"), "x-request-id-2");
        assert!(folds_to("x_vendor.key", "x-vendor_key") && !folds_to("x-vendor", "x-vendor-"));
    }

    #[test]
    fn a_method_override_is_known_in_every_spelling_and_is_nobodys_to_set() {
        for name in METHOD_OVERRIDES {
            assert!(is_method_override(name) && is_gateways_own(name), "{name}");
            assert!(is_method_override(&name.replace('-', "_")), "{name}");
        }
        assert!(!is_method_override("x-http-methods") && !is_method_override("method-override"));
    }

    #[test]
    fn what_only_a_gateway_says_is_its_own() {
        for name in [
            "host",
            "te",
            "proxy",
            "proxy-anything",
            "x-forwarded",
            "x-forwarded-user",
            "x-postern",
            "x-real-ip",
            "x-accel-redirect",
            "x-envoy-original-path",
            "x-sendfile",
            "x-original-method",
            "remote-user",
            "x-remote-user",
            "x-ssl-client-s-dn",
            "x-client-ip",
            "true-client-ip",
        ] {
            assert!(is_gateways_own(name), "{name}");
        }
        for name in ["", "x", "x-", "accept", "authorization", "x-api-key", "x-forwardedness"] {
            assert!(!is_gateways_own(name), "{name}");
        }
    }
}
