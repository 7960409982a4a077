//! A key as the contract shows it.

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::admin::shape::{Out, Shape};
use crate::model::{KeyLimits, Lifetimes, SubscriberKey, Tally, Timestamp};

static LIMITS: Shape = Shape {
    name: "Limits",
    fields: &[("rate", Out::Text, ""), ("burst", Out::Maybe(&Out::Whole), "")],
};

/// All but the last, which only the answer that makes a key has.
const FIELDS: [(&str, Out, &str); 22] = [
    ("id", Out::Text, ""),
    ("practice", Out::Text, ""),
    ("name", Out::Text, ""),
    ("description", Out::Maybe(&Out::Text), ""),
    ("owner", Out::Text, ""),
    ("created_by", Out::Text, ""),
    ("created_at", Out::Time, ""),
    ("api", Out::Text, ""),
    ("permissions", Out::Map(&Out::Choice(&["none", "read", "write", "write-only"])), ""),
    ("vendor", Out::Maybe(&Out::Text), "Only this vendor may use it."),
    ("preview", Out::Text, "What of the secret may be shown."),
    ("status", Out::Choice(&["active", "expired", "idle_expired", "revoked", "disabled"]), ""),
    (
        "expires_at",
        Out::Maybe(&Out::Time),
        "The first of its ends: the chosen one, that of a rotation's overlap, that of the longest life a key may have.",
    ),
    ("rotate_due", Out::Maybe(&Out::Time), "When people are reminded to rotate it."),
    ("last_used_at", Out::Maybe(&Out::Time), ""),
    (
        "requests_today",
        Out::Maybe(&Out::Whole),
        "Since midnight UTC; null while the store cannot tell.",
    ),
    (
        "error_rate_today",
        Out::Maybe(&Out::Number),
        "Of these, the share that was refused or answered with an error, 0 to 1.",
    ),
    ("replaces", Out::Maybe(&Out::Text), "The key that it was rotated from."),
    ("replaced_by", Out::Maybe(&Out::Text), "The key that it was rotated to."),
    ("allowed_ips", Out::List(&Out::Text), "None means anywhere."),
    ("limits", Out::Maybe(&Out::Of(&LIMITS)), "Its own, in place of the configuration's."),
    ("key", Out::Text, "The secret, this once."),
];

pub(super) static OBJECT: Shape = Shape {
    name: "Key",
    fields: match FIELDS.split_last() {
        Some((_, fields)) => fields,
        None => &[],
    },
};
pub(super) static NEW: Shape = Shape { name: "NewKey", fields: &FIELDS };

pub(super) static SECRET: Shape =
    Shape { name: "Revealed", fields: &[("id", Out::Text, ""), ("key", Out::Text, "The secret.")] };

static NODE: Shape = Shape {
    name: "Applied",
    fields: &[
        ("node", Out::Text, ""),
        ("applied_at", Out::Maybe(&Out::Time), "Null for a node that has not yet answered."),
    ],
};
static REPLICAS: Shape = Shape {
    name: "Replicas",
    fields: &[("connected", Out::Whole, ""), ("confirmed", Out::Whole, "")],
};
pub(super) static RECEIPT: Shape = Shape {
    name: "Receipt",
    fields: &[
        ("revoked_at", Out::Time, ""),
        ("nodes", Out::List(&Out::Of(&NODE)), "When each gateway took it into effect."),
        (
            "replicas",
            Out::Sometimes(&Out::Of(&REPLICAS)),
            "Where the store has replicas: how many have it.",
        ),
    ],
};

pub(super) fn key_object(
    key: &SubscriberKey,
    now: Timestamp,
    last_used: Option<Timestamp>,
    today: Option<&Tally>,
    lifetimes: &Lifetimes,
) -> Value {
    let limits = key
        .limits
        .as_deref()
        .map(|KeyLimits { rate, burst }| json!({ "rate": rate, "burst": burst }));
    json!({
        "id": key.id,
        "practice": key.practice,
        "name": key.name,
        "description": key.description,
        "owner": key.owner,
        "created_by": key.created_by,
        "created_at": key.created_at,
        "api": key.api,
        "permissions": key.permissions,
        "vendor": key.vendor,
        "preview": key.preview,
        "status": key.status(now, last_used, lifetimes),
        "expires_at": key.ends_at(lifetimes),
        "rotate_due": key.rotate_due(lifetimes),
        "last_used_at": last_used,
        "requests_today": today.map(|today| today.requests),
        "error_rate_today": today.map(|today| today.error_rate().unwrap_or(0.0)),
        "replaces": key.replaces,
        "replaced_by": key.replaced_by,
        "allowed_ips": key.allowed_ips.iter().map(as_written).collect::<Vec<_>>(),
        "limits": limits,
    })
}

/// One address is written as one, as people send it.
fn as_written(addresses: &IpNet) -> String {
    if addresses.prefix_len() == addresses.max_prefix_len() {
        addresses.addr().to_string()
    } else {
        addresses.to_string()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Access, KeyDigest, KeyId, PracticeId, Sealed, SecretHash, Username};

    use super::*;

    fn key() -> SubscriberKey {
        SubscriberKey {
            id: KeyId::parse("0123456789ab").unwrap(),
            practice: PracticeId::parse("north").unwrap(),
            name: "Intake".into(),
            description: None,
            owner: Username::parse("lee").unwrap(),
            created_by: Username::parse("root").unwrap(),
            created_at: Timestamp::from_micros(0),
            api: "standard".into(),
            permissions: [("patient", Access::READ)].into_iter().collect(),
            vendor: None,
            expires_at: Some(Timestamp::from_micros(9_000_000)),
            allowed_ips: Box::new([
                "192.0.2.0/24".parse().unwrap(),
                "192.0.2.7/32".parse().unwrap(),
            ]),
            limits: Some(Box::new(KeyLimits { rate: "1/s".into(), burst: None })),
            enabled: true,
            revoked_at: None,
            replaces: None,
            replaced_by: None,
            overlap_ends: Some(Timestamp::from_micros(5_000_000)),
            preview: "pst_sub_0123…".into(),
            digest: KeyDigest([0xAB; 32]),
            hash: SecretHash("$argon2id$hash".into()),
            sealed: Some(Sealed(Box::new([0xCD; 40]))),
        }
    }

    #[test]
    fn a_key_object_has_exactly_the_fields_of_the_contract_and_nothing_secret() {
        let (now, lifetimes) = (Timestamp::from_micros(1), Lifetimes::default());
        let object = key_object(&key(), now, None, None, &lifetimes);
        let fields: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        let contract = "id practice name description owner created_by created_at api permissions \
            vendor preview status expires_at rotate_due last_used_at requests_today \
            error_rate_today replaces replaced_by allowed_ips limits";
        assert_eq!(fields, contract.split_whitespace().collect::<Vec<_>>());
        assert_eq!(OBJECT.fields.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), fields);
        assert_eq!(object["expires_at"], "1970-01-01T00:00:05.000000Z", "the first of its ends");
        assert_eq!(object["allowed_ips"], json!(["192.0.2.0/24", "192.0.2.7"]));
        assert_eq!(object["limits"], json!({ "rate": "1/s", "burst": null }));
        let text = object.to_string();
        for secret in ["argon2", "abab", "cdcd"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(object["permissions"], json!({ "patient": "read" }));
        assert_eq!(object["requests_today"], json!(null), "the store cannot tell");
    }

    #[test]
    fn what_a_key_did_today_is_in_it() {
        let show = |today| {
            let lifetimes = Lifetimes::default();
            let object =
                key_object(&key(), Timestamp::from_micros(1), None, Some(&today), &lifetimes);
            (object["requests_today"].clone(), object["error_rate_today"].clone())
        };
        assert_eq!(show(Tally::default()), (json!(0), json!(0.0)));
        let tally =
            Tally { requests: 8, errors: 1, client_errors: 2, denied: 1, ..Tally::default() };
        assert_eq!(show(tally), (json!(8), json!(0.5)));
    }
}
