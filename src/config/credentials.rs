//! `credentials`: where keys sit in a request.

use http::HeaderName;

use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::route::GATEWAYS_OWN;
use crate::config::shape::{Field, Format, Record, Shape, Trail};
use crate::config::value::Wrong;
use crate::config::yaml::Node;
use crate::config::{Credentials, Schemes, Spelling, VendorKeyRule};
use crate::policy::header_name;
use crate::policy::pattern::{Pattern, Segment};

pub(super) static CREDENTIALS: Record = Record {
    name: "`credentials`",
    fields: &[
        Field::new(
            "schemes",
            Shape::List { of: &SCHEME, may_be_empty: false },
            "How keys are presented.",
        )
        .default("[headers]"),
        Field::new(
            "subscriber_header",
            Shape::Format(&HEADER),
            "The header of the subscriber key.",
        )
        .default("X-Subscriber-Key"),
        Field::new("vendor_header", Shape::Format(&HEADER), "The header of the vendor key.")
            .default("X-Vendor-Key"),
        Field::new(
            "vendor_key",
            Shape::Choice { ready: &["required", "optional", "off"], later: &[] },
            "Whether every request needs a vendor key.",
        )
        .default("required"),
        Field::new(
            "username_header",
            Shape::Format(&HEADER),
            "The header of the owner's username, for the username_header scheme.",
        )
        .default("X-Username"),
        Field::new("token_path", Shape::Format(&TOKEN_PATH), "Where OAuth2 tokens are issued.")
            .default(TOKENS),
        // Revoking a key ends its tokens at once, so this only bounds how long a stolen one is of use.
        Field::new(
            "token_ttl",
            Shape::Duration { least: "1s", most: "30d" },
            "How long an OAuth2 token lives.",
        )
        .default(TTL),
    ],
};

const TOKENS: &str = "/oauth2/token";
const TTL: &str = "1h";

const SCHEME: Shape = Shape::Choice {
    ready: &["headers", "bearer", "basic", "username_header", "oauth2"],
    later: &[],
};

static HEADER: Format = Format {
    expected: "the name of a header such as X-Subscriber-Key",
    check: |text| key_header(text).map(drop),
    pattern: Some("^[A-Za-z0-9-]+$"),
};

static TOKEN_PATH: Format = Format {
    expected: "a path such as /oauth2/token",
    check: token_path,
    pattern: Some("^/[A-Za-z0-9._~%!$&'()*+,=:@/-]*[^/]$"),
};

fn token_path(text: &str) -> Result<(), Wrong> {
    if !text.starts_with('/') {
        return Err(Wrong::default().hint(format!("did you mean /{text}?")));
    }
    let pattern = Pattern::parse(text).map_err(Wrong::because)?;
    let literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
    if pattern.rest || text.ends_with('/') || !pattern.segments.iter().all(literal) {
        return Err(Wrong::because("it has plain segments alone, and no slash at its end"));
    }
    if text.starts_with(GATEWAYS_OWN) {
        return Err(Wrong::because("the gateway itself answers there").hint("take another path"));
    }
    if text.rsplit('/').next() == Some("revoke") {
        return Err(Wrong::because(format!("tokens are given back at {text}"))
            .hint("take another path, such as /oauth2/token"));
    }
    Ok(())
}

/// A header that has no other meaning to anybody on the way.
fn key_header(text: &str) -> Result<HeaderName, Wrong> {
    const SPOKEN_FOR: [&str; 16] = [
        "age",
        "allow",
        "authorization",
        "cache-control",
        "cookie",
        "date",
        "etag",
        "from",
        "link",
        "location",
        "origin",
        "pragma",
        "range",
        "referer",
        "user-agent",
        "vary",
    ];
    const FAMILIES: [&str; 7] =
        ["accept", "access-control-", "content-", "if-", "sec-", "set-cookie", "www-"];
    let name = format::header_name(text)?;
    let taken = SPOKEN_FOR.contains(&name.as_str())
        || FAMILIES.iter().any(|family| name.as_str().starts_with(family));
    if taken || header_name::is_gateways_own(name.as_str()) {
        return Err(Wrong::because("this header has a meaning of its own")
            .hint("take one such as X-Subscriber-Key"));
    }
    Ok(name)
}

pub(super) fn read(reader: &mut Reader<'_>, view: View<'_>) -> Credentials {
    let header = |field: &str, otherwise: &'static str| {
        let name = view.text(field).and_then(|text| key_header(text).ok());
        name.unwrap_or(HeaderName::from_static(otherwise))
    };
    let spelled = |field| view.text(field).unwrap_or_default().to_owned();
    let credentials = Credentials {
        schemes: schemes(reader, view.items("schemes")),
        subscriber_header: header("subscriber_header", "x-subscriber-key"),
        vendor_header: header("vendor_header", "x-vendor-key"),
        username_header: header("username_header", "x-username"),
        vendor_key: match view.text("vendor_key") {
            Some("off") => VendorKeyRule::Off,
            Some("optional") => VendorKeyRule::Optional,
            _ => VendorKeyRule::Required,
        },
        token_path: view.text("token_path").unwrap_or(TOKENS).to_owned(),
        token_ttl: view.duration("token_ttl"),
        spelling: Spelling {
            subscriber: spelled("subscriber_header"),
            vendor: spelled("vendor_header"),
            username: spelled("username_header"),
        },
    };
    refuse_shared_headers(reader, view, &credentials);
    refuse_idle(reader, view, credentials.schemes);
    credentials
}

/// Two things in one header could not be told apart.
fn refuse_shared_headers(reader: &mut Reader<'_>, view: View<'_>, of: &Credentials) {
    let named = [
        ("subscriber_header", &of.subscriber_header),
        ("vendor_header", &of.vendor_header),
        ("username_header", &of.username_header),
    ];
    for (index, (field, name)) in named.iter().enumerate() {
        let same = |(_, other): &&(&str, &HeaderName)| {
            header_name::folds_to(name.as_str(), other.as_str())
        };
        let Some((other, _)) = named.iter().take(index).find(same) else { continue };
        // One of the two is written: the defaults differ.
        if let Some(node) = view.get(field).or_else(|| view.get(other)) {
            let message = format!("`{other}` and `{field}` are the same header");
            reader.fault(Fault::new(node.place.clone(), message).hint("give each its own"));
        }
    }
}

/// What only one scheme uses says nothing without it. The defaults may stand there: they are in every example; and what
/// is faulty was said to be, with another remedy.
fn refuse_idle(reader: &mut Reader<'_>, view: View<'_>, schemes: Schemes) {
    let fields = [
        ("token_path", TOKENS, "oauth2", schemes.oauth2),
        ("token_ttl", TTL, "oauth2", schemes.oauth2),
        ("username_header", "X-Username", "username_header", schemes.username_header),
    ];
    for (field, default, scheme, has_effect) in fields {
        let node = view.get(field).filter(|_| !has_effect && view.text(field) != Some(default));
        if let Some(node) = node.filter(|node| !is_faulty(field, node)) {
            let message =
                format!("`credentials.{field}` has no effect without the scheme {scheme}");
            let hint = format!("add {scheme} to `schemes`, or leave it out");
            reader.fault(Fault::new(node.place.clone(), message).hint(hint));
        }
    }
}

fn is_faulty(field: &str, node: &Node) -> bool {
    let mut faults = Vec::new();
    if let Some(field) = CREDENTIALS.field(field) {
        field.shape.check(node, &Trail::ROOT, &mut faults);
    }
    !faults.is_empty()
}

fn schemes(reader: &mut Reader<'_>, items: &[Node]) -> Schemes {
    let mut schemes = Schemes::default();
    for item in items {
        let scheme = match item.scalar().map(|scalar| scalar.text.as_str()) {
            Some("headers") => &mut schemes.headers,
            Some("bearer") => &mut schemes.bearer,
            Some("basic") => &mut schemes.basic,
            Some("username_header") => &mut schemes.username_header,
            Some("oauth2") => &mut schemes.oauth2,
            _ => continue,
        };
        if std::mem::replace(scheme, true) {
            reader.fault(
                Fault::new(item.place.clone(), "this scheme stands in the list twice")
                    .hint("remove one of the two"),
            );
        }
    }
    if schemes == Schemes::default() { Credentials::default().schemes } else { schemes }
}
