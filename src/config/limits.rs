//! `limits`: how often what may be called, each limit optional and off where it is absent.

use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Format, Record, Shape};
use crate::config::value;
use crate::config::yaml::Node;
use crate::config::{LimitMode, Limits, StoreDown};
use crate::model::{Catalogue, RateLimit};

static RATE: Format = Format {
    expected: "a rate such as 600/min",
    check: |text| value::rate(text).map(drop),
    pattern: Some("^[0-9]+/[0-9]*(s|min|h|d)$"),
};

static LIMIT: Record = Record {
    name: "a limit",
    fields: &[
        Field::new("rate", Shape::Format(&RATE), "How many requests in how long.")
            .required("rate: 600/min"),
        Field::new(
            "burst",
            Shape::Count { least: 1, most: 4_294_967_295 },
            "How many at once; where it is left out, as many as the rate has in one of its windows.",
        ),
    ],
};

static QUOTA: Record = Record {
    name: "`daily_quota`",
    fields: &[
        Field::new(
            "requests",
            Shape::Count { least: 1, most: 1_000_000_000_000 },
            "Requests of a key in one UTC day.",
        ),
        Field::new(
            "bytes",
            Shape::Size { least: "1B", most: "1024TiB" },
            "Bytes of bodies, both ways, of a key in one UTC day.",
        ),
    ],
};

pub(super) static LIMITS: Record = Record {
    name: "`limits`",
    fields: &[
        Field::new(
            "mode",
            Shape::Choice { ready: &["enforce", "observe"], later: &[] },
            "Whether limits refuse, or only record what they would have refused.",
        )
        .default("enforce"),
        Field::new(
            "key",
            Shape::Record(&LIMIT),
            "Of each key, unless it has its own; of each source address on public routes.",
        ),
        Field::new("vendor", Shape::Record(&LIMIT), "Of all requests of a vendor."),
        Field::new("practice", Shape::Record(&LIMIT), "Of all keys of a practice together."),
        Field::new(
            "category",
            Shape::FilledMap(&format::SCOPE, &Shape::Record(&LIMIT)),
            "Of each key within a category, or within one scope of it.",
        ),
        Field::new("daily_quota", Shape::Record(&QUOTA), "Of each key in one UTC day."),
        Field::new(
            "failed_auth_per_ip",
            Shape::Record(&LIMIT),
            "Requests without valid keys, of each IPv4 address or IPv6 /64.",
        ),
        Field::new(
            "max_concurrent_per_key",
            Shape::Count { least: 1, most: 1_000_000 },
            "Requests of a key at once.",
        ),
        // Callers who may call should not suffer for a Redis that is restarted.
        Field::new(
            "store_down",
            Shape::Choice { ready: &["local", "deny"], later: &[] },
            "While the shared store is out of reach: each node counts alone, or nothing that has a limit is served.",
        )
        .default("local"),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, view: View<'_>) -> Limits {
    let quota = View::of(view.get("daily_quota"), &QUOTA);
    let count = |view: View<'_>, name: &str| view.get(name).is_some().then(|| view.count(name));
    let mut rate = |name: &str| limit(reader, view.get(name)?);
    Limits {
        key: rate("key"),
        vendor: rate("vendor"),
        practice: rate("practice"),
        failed_auth_per_ip: rate("failed_auth_per_ip"),
        categories: categories(reader, view.get("category")),
        mode: match view.text("mode") {
            Some("observe") => LimitMode::Observe,
            _ => LimitMode::Enforce,
        },
        daily_requests: count(quota, "requests"),
        daily_bytes: quota.get("bytes").map(|_| quota.size("bytes")),
        max_concurrent_per_key: view
            .get("max_concurrent_per_key")
            .map(|_| view.count("max_concurrent_per_key")),
        store_down: match view.text("store_down") {
            Some("deny") => StoreDown::Deny,
            _ => StoreDown::Local,
        },
    }
}

fn categories(reader: &mut Reader<'_>, node: Option<&Node>) -> Vec<(String, RateLimit)> {
    let entries = node.map(Node::entries).unwrap_or_default().iter();
    entries.filter_map(|(name, node)| Some((name.text.clone(), limit(reader, node)?))).collect()
}

fn limit(reader: &mut Reader<'_>, node: &Node) -> Option<RateLimit> {
    let view = View::of(Some(node), &LIMIT);
    let (count, period) = value::rate(view.text("rate")?).ok()?;
    let burst: Option<u64> = view.get("burst").map(|_| view.count("burst"));
    // What is wrong with it by itself was said where it stands.
    if burst.is_some_and(|burst| !(1..=u32::MAX.into()).contains(&burst)) {
        return None;
    }
    match RateLimit::new(count, period, burst) {
        Ok(limit) => Some(limit),
        Err(why) => {
            let message = format!("this limit cannot be counted: {why}");
            let hint = "take a smaller number, or a shorter window";
            reader.fault(Fault::new(node.place.clone(), message).hint(hint));
            None
        }
    }
}

/// A limit of a category that nobody has is a slip of the pen.
pub(super) fn check_names(reader: &mut Reader<'_>, view: View<'_>, catalogue: &Catalogue) {
    let names = view.get("category").map(Node::entries).into_iter().flatten();
    for (name, _) in names.filter(|(name, _)| catalogue.id(&name.text).is_none()) {
        reader.unknown(&name.place, "category or scope", &name.text, catalogue.names());
    }
}

/// What is wrong with the limits of one key, by the field that it is wrong with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongRate {
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

/// Reads what a key has in place of `limits.key`: `600/min`, and the most at once. Everything that is wrong with it is
/// told, by field.
pub(crate) fn read_rate_limit(rate: &str, burst: Option<u32>) -> Result<RateLimit, Vec<WrongRate>> {
    let rate = value::rate(rate).map_err(|wrong| {
        let parts: Vec<String> = [wrong.why, wrong.hint].into_iter().flatten().collect();
        let why = if parts.is_empty() {
            "write it as 600/min or 5/10s".to_owned()
        } else {
            parts.join("; ")
        };
        WrongRate { field: "limits.rate", why: format!("must be a rate such as 600/min: {why}") }
    });
    let burst = match burst {
        Some(0) => {
            let why = "must be from 1 to 4294967295".to_owned();
            Err(WrongRate { field: "limits.burst", why })
        }
        burst => Ok(burst.map(u64::from)),
    };
    let ((count, period), burst) = match (rate, burst) {
        (Ok(rate), Ok(burst)) => (rate, burst),
        (rate, burst) => return Err(rate.err().into_iter().chain(burst.err()).collect()),
    };
    RateLimit::new(count, period, burst).map_err(|why| {
        vec![WrongRate { field: "limits.rate", why: format!("cannot be counted: {why}") }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_keys_say_which_of_their_fields_is_wrong() {
        assert_eq!(read_rate_limit("600/min", Some(100)).unwrap().to_string(), "600/min");
        let wrong = |rate, burst| {
            let wrong = read_rate_limit(rate, burst).unwrap_err();
            wrong.iter().map(|wrong| wrong.field).collect::<Vec<_>>()
        };
        for rate in ["600/minute", "0/min", "99999999999/min", "NaN/min", "-5/min"] {
            assert_eq!(wrong(rate, None), ["limits.rate"], "{rate}");
        }
        assert_eq!(wrong("600/min", Some(0)), ["limits.burst"]);
        assert_eq!(wrong("1/d", Some(4_000_000_000)), ["limits.rate"]);
        assert_eq!(wrong("600/minute", Some(0)), ["limits.rate", "limits.burst"]);
    }
}
