//! `static_keys`: keys written into the configuration, until the registry has them. For `demo` and tests.

use std::collections::HashMap;

use crate::config::StaticKey;
use crate::config::api::Mounted;
use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Format, Record, Shape, nearest};
use crate::config::value::Wrong;
use crate::config::yaml::{Key, Node};
use crate::model::{Access, ApiId, Catalogue, Place, PlainKey};

pub(super) static STATIC_KEY: Record = Record {
    name: "a static key",
    fields: &[
        Field::new(
            "kind",
            Shape::Choice { ready: &["vendor", "subscriber"], later: &[] },
            "vendor or subscriber.",
        )
        .required("kind: subscriber"),
        Field::new("key", Shape::Private(&KEY), "The key as its holder sends it.")
            .required("key: \"${env:STATIC_KEY}\""),
        Field::new(
            "vendor",
            Shape::Format(&format::LABEL),
            "Whose key it is; for a subscriber key, the only vendor that may use it.",
        ),
        Field::new("id", Shape::Format(&format::LABEL), "The public id of a subscriber key."),
        Field::new("practice", Shape::Format(&format::LABEL), "The practice of a subscriber key."),
        Field::new(
            "owner",
            Shape::Format(&format::LABEL),
            "The staff user that a subscriber key belongs to.",
        ),
        Field::new(
            "api",
            Shape::Format(&format::NAME),
            "The one API that a subscriber key is for.",
        ),
        Field::new("permissions", PERMISSIONS, "Categories and scopes, each with its access."),
    ],
};

const PERMISSIONS: Shape = Shape::Map(
    &SCOPE,
    &Shape::Choice { ready: &["none", "read", "write", "write-only"], later: &[] },
);

/// Whether it exists is found against the catalogue.
pub(super) static SCOPE: Format = Format {
    expected: "a category or a scope",
    check: |text| if text.is_empty() { Err(Wrong::default()) } else { Ok(()) },
    pattern: None,
};

static KEY: Format = Format {
    expected: "a key of printable characters without spaces",
    check: |text| {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(())
        } else {
            Err(Wrong::default())
        }
    },
    pattern: None,
};

const OF_A_SUBSCRIBER: [&str; 5] = ["id", "practice", "owner", "api", "permissions"];

pub(super) fn read(
    reader: &mut Reader<'_>,
    items: &[Node],
    apis: &[Mounted<'_>],
    catalogue: &Catalogue,
) -> Vec<StaticKey> {
    let vendors: Vec<&str> = items
        .iter()
        .map(|item| View::of(Some(item), &STATIC_KEY))
        .filter(|view| view.text("kind") == Some("vendor"))
        .filter_map(|view| view.text("vendor"))
        .collect();
    let mut keys: HashMap<&str, &Place> = HashMap::new();
    let mut ids: HashMap<&str, &Place> = HashMap::new();
    let mut read = Vec::new();
    for item in items {
        let view = View::of(Some(item), &STATIC_KEY);
        for (field, seen) in [("key", &mut keys), ("id", &mut ids)] {
            let Some((node, text)) =
                view.get(field).and_then(|node| Some((node, node.scalar()?.text.as_str())))
            else {
                continue;
            };
            if text.is_empty() {
                continue;
            }
            if let Some(first) = seen.insert(text, &node.place) {
                let message = format!("the same `{field}` stands on line {}", first.line);
                reader.fault(Fault::new(node.place.clone(), message).hint("each key is its own"));
            }
        }
        match view.text("kind") {
            Some("vendor") => read.extend(vendor(reader, item, view)),
            Some("subscriber") => {
                read.extend(subscriber(reader, item, view, apis, catalogue, &vendors))
            }
            _ => {}
        }
    }
    read
}

fn vendor(reader: &mut Reader<'_>, item: &Node, view: View<'_>) -> Option<StaticKey> {
    require(reader, item, view, &["vendor"]);
    for (key, _) in OF_A_SUBSCRIBER.iter().filter_map(|field| item.entry(field)) {
        let message = format!("`{}` is not for a vendor key", key.text);
        reader.fault(
            Fault::new(key.place.clone(), message)
                .hint("leave it out, or write `kind: subscriber`"),
        );
    }
    Some(StaticKey::Vendor { vendor: view.text("vendor")?.to_owned(), key: plain_key(view)? })
}

fn subscriber(
    reader: &mut Reader<'_>,
    item: &Node,
    view: View<'_>,
    apis: &[Mounted<'_>],
    catalogue: &Catalogue,
    vendors: &[&str],
) -> Option<StaticKey> {
    require(reader, item, view, &OF_A_SUBSCRIBER);
    if let (Some(node), Some(vendor)) = (view.get("vendor"), view.text("vendor"))
        && !vendors.contains(&vendor)
    {
        unknown(reader, &node.place, "vendor with a key", vendor, vendors.iter().copied());
    }
    let api = view.text("api").and_then(|name| {
        let position = apis.iter().position(|mounted| mounted.api.name == name);
        if let (None, Some(node)) = (position, view.get("api")) {
            unknown(
                reader,
                &node.place,
                "API",
                name,
                apis.iter().map(|mounted| mounted.api.name.as_str()),
            );
        }
        position
    });
    let entries = view.get("permissions").map(Node::entries).unwrap_or_default();
    let permissions: Vec<_> =
        entries.iter().filter_map(|entry| permission(reader, entry, catalogue)).collect();
    Some(StaticKey::Subscriber {
        id: view.text("id")?.to_owned(),
        practice: view.text("practice")?.to_owned(),
        owner: view.text("owner")?.to_owned(),
        api: ApiId(api?),
        permissions,
        vendor: view.text("vendor").map(str::to_owned),
        key: plain_key(view)?,
    })
}

fn permission(
    reader: &mut Reader<'_>,
    (name, node): &(Key, Node),
    catalogue: &Catalogue,
) -> Option<(String, Access)> {
    if catalogue.id(&name.text).is_none() && !name.text.is_empty() {
        unknown(reader, &name.place, "category or scope", &name.text, catalogue.names());
    }
    Some((name.text.clone(), Access::from_permission(&node.scalar()?.text)?))
}

fn require(reader: &mut Reader<'_>, item: &Node, view: View<'_>, fields: &[&str]) {
    let kind = view.text("kind").unwrap_or_default();
    for field in fields.iter().filter(|field| item.entry(field).is_none()) {
        reader.fault(
            Fault::new(item.place.clone(), format!("a {kind} key has no `{field}`")).hint("add it"),
        );
    }
}

fn plain_key(view: View<'_>) -> Option<PlainKey> {
    view.text("key").map(|text| PlainKey::new(text.to_owned()))
}

/// Notes that there is no such thing, and names the nearest.
pub(super) fn unknown<'w>(
    reader: &mut Reader<'_>,
    place: &Place,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'w str>,
) {
    // What could not be put in was said where it is named.
    if name.is_empty() {
        return;
    }
    let known: Vec<&str> = known.collect();
    let hint = nearest(name, known.iter().copied()).unwrap_or_else(|| match known.as_slice() {
        [] => "there is none yet".to_owned(),
        known if known.len() <= 12 => format!("known are {}", known.join(", ")),
        _ => "add it, or name one that exists".to_owned(),
    });
    reader.fault(
        Fault::new(place.clone(), format!("there is no {what} `{}`", name.escape_debug()))
            .hint(hint),
    );
}
