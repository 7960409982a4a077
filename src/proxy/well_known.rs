//! `/.well-known/postern`: how to call this gateway, for people and programs that have no key yet, and `whoami` below it,
//! what a key is and what is left of its limits, for those who have one.

use serde_json::{Value, json};

use crate::config::route::GATEWAYS_OWN;
use crate::config::{Config, Credentials, Schemes, Spelling, VendorKeyRule};
use crate::limits::Overview;
use crate::model::{Access, Caller, Catalogue, Method};
use crate::policy::Target;
use crate::registry::View;
use crate::registry::view::Identity;

const WHO_AM_I: &str = "/.well-known/postern/whoami";

/// What of the gateway's own a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Without keys.
    Document,
    /// With keys.
    WhoAmI,
}

impl Own {
    pub(crate) fn asked(method: Method, target: &Target<'_>) -> Option<Self> {
        if !matches!(method, Method::Get | Method::Head) {
            return None;
        }
        match target.path() {
            GATEWAYS_OWN => Some(Self::Document),
            WHO_AM_I => Some(Self::WhoAmI),
            _ => None,
        }
    }
}

impl Own {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Document => GATEWAYS_OWN,
            Self::WhoAmI => WHO_AM_I,
        }
    }
}

/// Whether the gateway answers this itself, and no route does.
pub(crate) fn answers(method: Method, target: &Target<'_>) -> bool {
    Own::asked(method, target).is_some()
}

/// No secrets, nothing of the practices behind it.
pub(crate) fn document(config: &Config) -> String {
    let credentials = &config.credentials;
    let Spelling { subscriber, vendor, username } = &credentials.spelling;
    let Schemes { headers, username_header, oauth2, .. } = credentials.schemes;
    let mut names = serde_json::Map::new();
    if headers || username_header {
        names.insert("subscriber".to_owned(), json!(subscriber));
    }
    if username_header {
        names.insert("username".to_owned(), json!(username));
    }
    if credentials.vendor_key != VendorKeyRule::Off {
        names.insert("vendor".to_owned(), json!(vendor));
    }
    let mut document = json!({
        "name": "postern",
        "schemes": schemes(credentials.schemes),
        "headers": names,
        "vendor_key": match credentials.vendor_key {
            VendorKeyRule::Required => "required",
            VendorKeyRule::Optional => "optional",
            VendorKeyRule::Off => "off",
        },
        "documentation": documentation(credentials),
    });
    if oauth2 && let Value::Object(fields) = &mut document {
        fields.insert("token_endpoint".to_owned(), json!(credentials.token_path));
        fields.insert("revocation_endpoint".to_owned(), json!(credentials.revocation_path()));
    }
    format!("{document}\n")
}

fn schemes(schemes: Schemes) -> Vec<&'static str> {
    let Schemes { headers, bearer, basic, username_header, oauth2 } = schemes;
    let all = [
        (headers, "headers"),
        (bearer, "bearer"),
        (basic, "basic"),
        (username_header, "username_header"),
        (oauth2, "oauth2"),
    ];
    all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, name)| name).collect()
}

fn documentation(credentials: &Credentials) -> String {
    let vendor = match credentials.vendor_key {
        VendorKeyRule::Required => {
            format!(" and your vendor key in {}", credentials.spelling.vendor)
        }
        VendorKeyRule::Optional => {
            format!(", and your vendor key, if you have one, in {}", credentials.spelling.vendor)
        }
        VendorKeyRule::Off => String::new(),
    };
    format!(
        "Send the practice's key {}{vendor}, with every request. Errors are application/problem+json (RFC 9457); their \
         `code` says what to do. What a key may do is said at {WHO_AM_I}.",
        ways(credentials)
    )
}

/// The places where a subscriber key may stand, in words: `in X-Subscriber-Key, or as Authorization: Bearer`.
pub(crate) fn ways(credentials: &Credentials) -> String {
    let Schemes { headers, bearer, basic, username_header, oauth2 } = credentials.schemes;
    let Spelling { subscriber, username, .. } = &credentials.spelling;
    let mut ways = Vec::new();
    if headers {
        ways.push(format!("in {subscriber}"));
    }
    if username_header {
        ways.push(format!("in {subscriber} with its owner's username in {username}"));
    }
    if bearer {
        ways.push("as Authorization: Bearer".to_owned());
    }
    if basic {
        ways.push("as the password of Authorization: Basic, with its owner's username".to_owned());
    }
    if oauth2 {
        let path = &credentials.token_path;
        ways.push(format!("as an access token, issued at {path}, in Authorization: Bearer"));
    }
    ways.join(", or ")
}

/// What the presented keys are, and what is left of their limits.
pub(crate) fn who_am_i(
    config: &Config,
    view: &View,
    caller: &Caller,
    identity: &Identity,
    limits: &Overview,
) -> String {
    let about = view.about(identity.key);
    let api = config.apis.get(caller.api.0).map(|api| api.name.as_str());
    let by_token = identity.token.map(|(_, ends)| ends);
    let expires_at = about.as_ref().and_then(|about| about.expires_at);
    let document = json!({
        "practice": caller.practice,
        "key": caller.key_id,
        "name": about.as_ref().map(|about| about.name.as_str()),
        "owner": caller.owner,
        "vendor": caller.vendor.as_deref(),
        "api": api,
        "scopes": scopes(&config.policy.catalogue, caller),
        "limits": limits.items,
        "limits_mode": limits.mode,
        "expires_at": expires_at,
        "token_expires_at": by_token,
    });
    format!("{document}\n")
}

/// `patient:read`, by name: what may be done, narrowed by the token if it was one. A scope that says no more than its
/// category is left out.
fn scopes(catalogue: &Catalogue, caller: &Caller) -> Vec<String> {
    let granted = |name: &str| catalogue.id(name).map_or(Access::NONE, |id| caller.granted(id));
    let says_more = |name: &&str| {
        let category = name.split_once('.').map_or(Access::NONE, |(category, _)| granted(category));
        !category.covers(granted(name))
    };
    let told = catalogue.names().filter(says_more);
    told.map(|name| format!("{name}:{}", granted(name))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{ApiId, Subscriber};

    #[test]
    fn scopes_are_those_of_the_key_narrowed_by_the_token() {
        let mut catalogue = Catalogue::default();
        let billing = catalogue.add_category("billing", "Billing");
        catalogue.add_scope(billing, "invoices", "Invoices");
        catalogue.add_scope(billing, "claims", "Claims");
        let grants =
            |granted: &[(&'static str, Access)]| catalogue.grants(granted.iter().copied()).unwrap();
        let subscriber = Subscriber {
            practice: "north".into(),
            key_id: "key".into(),
            owner: "dr-lee".into(),
            api: ApiId(0),
            grants: grants(&[
                ("patient", Access::READ_WRITE),
                ("billing", Access::READ),
                ("billing.claims", Access::WRITE_ONLY),
            ]),
            limit: None,
        };
        let mut caller = Caller::new(Arc::new(subscriber), None);
        let all = ["patient:write", "billing:read", "billing.claims:write"];
        assert_eq!(scopes(&catalogue, &caller), all);
        caller.narrowed = Some(grants(&[("patient", Access::READ), ("files", Access::READ)]));
        assert_eq!(scopes(&catalogue, &caller), ["patient:read"]);
    }

    #[test]
    fn the_ways_are_those_that_are_configured() {
        let mut credentials = Credentials::default();
        credentials.spelling.subscriber = "X-Key".into();
        assert_eq!(ways(&credentials), "in X-Key");
        credentials.schemes = Schemes { bearer: true, oauth2: true, ..Schemes::default() };
        assert_eq!(
            ways(&credentials),
            "as Authorization: Bearer, or as an access token, issued at /oauth2/token, in Authorization: Bearer"
        );
    }
}
