//! The kinds of values that requests are made of.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::admin::field::{Kind, Wrong};
use crate::model::{
    Access, KeyId, KeyLimits, Misnamed, PracticeId, Timestamp, Username, VendorId, VendorStatus,
};
use crate::vault::key;

pub(crate) mod past;

/// A part of a key's permissions as people write it.
pub(crate) type Grant = (String, Access);

const MAX_NAME: usize = 200;
const MAX_NOTE: usize = 2000;
/// More than any catalogue or firewall that somebody keeps by hand.
const MAX_ITEMS: usize = 1000;
/// The longest overlap of a rotation.
const MAX_OVERLAP: Duration = Duration::from_secs(366 * 24 * 3600);

fn wrong<T>(message: impl Into<String>) -> Result<T, Wrong> {
    Err(vec![(String::new(), message.into())])
}

fn text(value: &Value) -> Result<&str, Wrong> {
    match value {
        Value::String(text) => Ok(text),
        _ => wrong("must be a text"),
    }
}

/// A line for people: something visible in it, and nothing that drives a terminal.
pub(crate) static NAME: Kind<String> = Kind {
    read: |value| {
        let text = text(value)?;
        if text.trim().is_empty() {
            return wrong("must not be empty");
        }
        line(text, MAX_NAME)
    },
    schema: || json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME }),
};

/// What people search for; may be empty.
pub(crate) static WORDS: Kind<String> = Kind {
    read: |value| line(text(value)?, MAX_NAME),
    schema: || json!({ "type": "string", "maxLength": MAX_NAME }),
};

fn line(text: &str, most: usize) -> Result<String, Wrong> {
    if text.chars().count() > most {
        return wrong(format!("must have at most {most} characters"));
    }
    if text.chars().any(char::is_control) {
        return wrong("must have no control characters");
    }
    Ok(text.to_owned())
}

/// Lines for people.
pub(crate) static NOTE: Kind<String> = Kind {
    read: |value| {
        let text = text(value)?;
        if text.chars().count() > MAX_NOTE {
            return wrong(format!("must have at most {MAX_NOTE} characters"));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) {
            return wrong("must have no control characters but line breaks and tabs");
        }
        Ok(text.to_owned())
    },
    schema: || json!({ "type": "string", "maxLength": MAX_NOTE }),
};

pub(crate) static FLAG: Kind<bool> = Kind {
    read: |value| value.as_bool().map_or_else(|| wrong("must be true or false"), Ok),
    schema: || json!({ "type": "boolean" }),
};

fn named<T>(value: &Value, parse: fn(&str) -> Result<T, Misnamed>) -> Result<T, Wrong> {
    parse(text(value)?).or_else(|expected| wrong(format!("must be {expected}")))
}

fn slug() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$" })
}

pub(crate) static PRACTICE: Kind<PracticeId> =
    Kind { read: |value| named(value, PracticeId::parse), schema: slug };

pub(crate) static VENDOR: Kind<VendorId> =
    Kind { read: |value| named(value, VendorId::parse), schema: slug };

pub(crate) static USERNAME: Kind<Username> = Kind {
    read: |value| {
        if key::is_in(text(value)?) {
            return wrong("holds a key; keys do not belong in text");
        }
        named(value, Username::parse)
    },
    schema: || json!({ "type": "string", "pattern": "^[!-.0-9;-~]{1,128}$" }),
};

pub(crate) static KEY: Kind<KeyId> = Kind {
    read: |value| named(value, KeyId::parse),
    schema: || json!({ "type": "string", "pattern": "^[0-9A-Za-z]{12}$" }),
};

/// Any offset in; what is kept and shown is UTC.
pub(crate) static TIME: Kind<Timestamp> = Kind {
    read: |value| {
        let read = Timestamp::parse(text(value)?);
        read.map_or_else(|| wrong("must be a time such as 2026-11-20T08:00:00Z"), Ok)
    },
    schema: || json!({ "type": "string", "format": "date-time" }),
};

pub(crate) static STATUS: Kind<VendorStatus> = Kind {
    read: |value| match text(value)? {
        "pending" => Ok(VendorStatus::Pending),
        "approved" => Ok(VendorStatus::Approved),
        "suspended" => Ok(VendorStatus::Suspended),
        _ => wrong("must be pending, approved or suspended"),
    },
    schema: || json!({ "type": "string", "enum": ["pending", "approved", "suspended"] }),
};

/// The name of a role; its practice is a field of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoleName {
    Operator,
    PracticeAdmin,
    Auditor,
}

pub(crate) static ROLE: Kind<RoleName> = Kind {
    read: |value| match text(value)? {
        "operator" => Ok(RoleName::Operator),
        "practice-admin" => Ok(RoleName::PracticeAdmin),
        "auditor" => Ok(RoleName::Auditor),
        _ => wrong("must be operator, practice-admin or auditor"),
    },
    schema: || json!({ "type": "string", "enum": ["operator", "practice-admin", "auditor"] }),
};

/// Whether the categories exist is the registry's to say.
pub(crate) static PERMISSIONS: Kind<Vec<Grant>> = Kind {
    read: |value| {
        let Some(map) = value.as_object() else {
            return wrong("must be an object such as {\"patient\":\"read\"}");
        };
        if map.len() > MAX_ITEMS {
            return wrong(format!("must have at most {MAX_ITEMS} entries"));
        }
        let read = map.iter().map(|(name, access)| {
            let access = access.as_str().and_then(Access::from_permission);
            access.map(|access| (name.clone(), access)).ok_or_else(|| {
                let shown: String = name.chars().take(64).collect();
                (format!(".{shown}"), "must be none, read, write or write-only".to_owned())
            })
        });
        gathered(read)
    },
    schema: || {
        let access = json!({ "type": "string", "enum": ["none", "read", "write", "write-only"] });
        json!({ "type": "object", "additionalProperties": access, "maxProperties": MAX_ITEMS })
    },
};

/// A lone address is a network of one.
pub(crate) static NETWORKS: Kind<Vec<IpNet>> = Kind {
    read: |value| {
        let Some(list) = value.as_array() else {
            return wrong("must be a list of addresses and networks");
        };
        if list.len() > MAX_ITEMS {
            return wrong(format!("must have at most {MAX_ITEMS} entries"));
        }
        let read = list.iter().enumerate().map(|(index, item)| {
            let expected = "must be an address or a network such as 192.0.2.0/24";
            item.as_str().and_then(network).ok_or((format!("[{index}]"), expected.to_owned()))
        });
        gathered(read)
    },
    schema: || json!({ "type": "array", "items": { "type": "string" }, "maxItems": MAX_ITEMS }),
};

fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().map(|network| network.trunc()).or_else(address)
}

fn gathered<T>(items: impl Iterator<Item = Result<T, (String, String)>>) -> Result<Vec<T>, Wrong> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Ok(item) => good.push(item),
            Err(fault) => bad.push(fault),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

/// `{"rate":"600/min","burst":100}`
pub(crate) static LIMITS: Kind<KeyLimits> = Kind {
    read: |value| {
        let Some(map) = value.as_object() else {
            return wrong("must be an object such as {\"rate\":\"600/min\",\"burst\":100}");
        };
        let mut faults = Vec::new();
        let rate = map.get("rate").and_then(Value::as_str).filter(|rate| is_rate(rate));
        if rate.is_none() {
            faults.push((".rate".to_owned(), "must be a rate such as 600/min".to_owned()));
        }
        let burst = map.get("burst").filter(|burst| !burst.is_null());
        let count = burst.and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok());
        if burst.is_some() && count.is_none_or(|count| count == 0) {
            faults.push((".burst".to_owned(), "must be a whole number of at least 1".to_owned()));
        }
        for name in map.keys().filter(|name| !["rate", "burst"].contains(&name.as_str())) {
            let shown: String = name.chars().take(64).collect();
            faults.push((format!(".{shown}"), "is unknown here; there are rate, burst".to_owned()));
        }
        match rate {
            Some(rate) if faults.is_empty() => Ok(KeyLimits { rate: rate.into(), burst: count }),
            _ => Err(faults),
        }
    },
    schema: || {
        let burst = json!({ "type": ["integer", "null"], "minimum": 1, "maximum": u32::MAX });
        json!({
            "type": "object",
            "properties": { "rate": { "type": "string", "pattern": RATE }, "burst": burst },
            "required": ["rate"],
            "additionalProperties": false,
        })
    },
};

const RATE: &str = "^[1-9][0-9]{0,9}/([1-9][0-9]{0,5})?(s|min|h|d)$";

/// `600/min`, `5/10s`: as the configuration writes rates, and as [`RATE`] has it.
fn is_rate(text: &str) -> bool {
    let Some((count, window)) = text.split_once('/') else { return false };
    let units = window.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = window.strip_prefix(units).unwrap_or_default();
    let is_count = |digits: &str, most| {
        (1..=most).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let has_window = units.is_empty() || is_count(units, 6);
    is_count(count, 10) && has_window && ["s", "min", "h", "d"].contains(&unit)
}

/// `250ms 30s 5m 2h 14d`
pub(crate) static OVERLAP: Kind<Duration> = Kind {
    read: |value| match duration(text(value)?) {
        Some(span) if span <= MAX_OVERLAP => Ok(span),
        Some(_) => wrong("must be at most 366d"),
        None => wrong("must be a duration such as 24h"),
    },
    schema: || json!({ "type": "string", "pattern": "^(0|[1-9][0-9]{0,8})(ms|s|m|h|d)$" }),
};

fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let millis = match text.strip_prefix(digits)? {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=9).contains(&digits.len())
        && (digits == "0" || !digits.starts_with('0'));
    let count: u64 = is_number.then(|| digits.parse().ok())??;
    count.checked_mul(millis).map(Duration::from_millis)
}

/// The items of one page, from a query string.
pub(crate) static PAGE_SIZE: Kind<usize> = Kind {
    read: |value| match text(value)?.parse() {
        Ok(size @ 1..=200) => Ok(size),
        _ => wrong("must be a whole number from 1 to 200"),
    },
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 }),
};

/// Where the page before ended; opaque to callers.
pub(crate) static CURSOR: Kind<String> = Kind {
    read: |value| {
        let bytes = URL_SAFE_NO_PAD.decode(text(value)?).ok();
        let last = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        last.filter(|last| !last.is_empty())
            .map_or_else(|| wrong("must be the `next` of the page before"), Ok)
    },
    schema: || json!({ "type": "string", "description": "The `next` of the page before." }),
};

pub(crate) fn cursor(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

/// A request's method or target, to be judged as it is.
pub(crate) static VERBATIM: Kind<String> =
    Kind { read: |value| Ok(text(value)?.to_owned()), schema: || json!({ "type": "string" }) };
