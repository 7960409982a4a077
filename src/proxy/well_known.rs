//! `GET /.well-known/postern`: how to call this gateway, for people and programs that have no key yet.

use serde_json::json;

use crate::config::route::GATEWAYS_OWN;
use crate::config::{Config, Spelling};
use crate::model::Method;
use crate::policy::Target;

/// Whether the document answers this request.
pub(crate) fn answers(method: Method, target: &Target<'_>) -> bool {
    matches!(method, Method::Get | Method::Head) && target.path() == GATEWAYS_OWN
}

/// No secrets, nothing of the practices behind it.
pub(crate) fn document(config: &Config) -> String {
    let Spelling { subscriber, vendor } = &config.credentials.spelling;
    let document = json!({
        "name": "postern",
        "schemes": ["headers"],
        "headers": { "subscriber": subscriber, "vendor": vendor },
        "documentation": format!(
            "Send the practice's key in {subscriber} and your vendor key in {vendor} with every request. \
             Errors are application/problem+json (RFC 9457); their `code` says what to do."
        ),
    });
    format!("{document}\n")
}
