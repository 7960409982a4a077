//! `credentials`: where keys sit in a request.

use http::HeaderName;

use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Format, Record, Shape};
use crate::config::value::Wrong;
use crate::config::yaml::Node;
use crate::config::{Credentials, Spelling};
use crate::policy::header_name;

const ONE_SCHEME: &str = "leave it out: keys come in two headers in this version";

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
            Shape::Choice { ready: &["required"], later: &["optional", "off"] },
            "Whether every request needs a vendor key.",
        )
        .default("required"),
        Field::new(
            "username_header",
            Shape::Format(&HEADER),
            "The header of the owner's username.",
        )
        .later(ONE_SCHEME),
        Field::new("token_path", Shape::Format(&TOKEN_PATH), "Where OAuth2 tokens are issued.")
            .later(ONE_SCHEME),
        Field::new(
            "token_ttl",
            Shape::Duration { least: "1s", most: "30d" },
            "How long a token lives.",
        )
        .later(ONE_SCHEME),
    ],
};

const SCHEME: Shape =
    Shape::Choice { ready: &["headers"], later: &["bearer", "basic", "username_header", "oauth2"] };

static HEADER: Format = Format {
    expected: "the name of a header such as X-Subscriber-Key",
    check: |text| key_header(text).map(drop),
    pattern: Some("^[A-Za-z0-9-]+$"),
};

static TOKEN_PATH: Format = Format {
    expected: "a path such as /oauth2/token",
    check: |text| if text.starts_with('/') { Ok(()) } else { Err(Wrong::default()) },
    pattern: Some("^/"),
};

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
        subscriber_header: header("subscriber_header", "x-subscriber-key"),
        vendor_header: header("vendor_header", "x-vendor-key"),
        spelling: Spelling {
            subscriber: spelled("subscriber_header"),
            vendor: spelled("vendor_header"),
        },
    };
    if credentials.subscriber_header == credentials.vendor_header
        && let Some(node) = view.get("vendor_header").or_else(|| view.get("subscriber_header"))
    {
        let message = "both keys would sit in the same header";
        reader.fault(Fault::new(node.place.clone(), message).hint("give each its own"));
    }
    let schemes = view.items("schemes");
    for (index, item) in schemes.iter().enumerate() {
        let same =
            |other: &&Node| other.scalar().map(|s| &s.text) == item.scalar().map(|s| &s.text);
        if schemes.iter().take(index).any(|other| same(&other)) {
            reader.fault(
                Fault::new(item.place.clone(), "this scheme stands in the list twice")
                    .hint("remove one of the two"),
            );
        }
    }
    credentials
}
