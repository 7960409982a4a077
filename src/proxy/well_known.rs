//! `GET /.well-known/postern`: how to call this gateway, for people and programs that have no key yet.

use serde_json::json;

use crate::config::Config;

pub(crate) const PATH: &str = "/.well-known/postern";

/// No secrets, nothing of the practices behind it.
pub(crate) fn document(config: &Config) -> String {
    let subscriber = config.credentials.subscriber_header.as_str();
    let vendor = config.credentials.vendor_header.as_str();
    json!({
        "name": "postern",
        "schemes": ["headers"],
        "headers": { "subscriber": subscriber, "vendor": vendor },
        "documentation": format!(
            "Send the practice's key in {subscriber} and your vendor key in {vendor} with every request. \
             Errors are application/problem+json (RFC 9457); their `code` says what to do."
        ),
    })
    .to_string()
}
