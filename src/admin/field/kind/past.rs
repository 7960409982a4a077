//! The kinds of values that ask about the past: moments and days, steps, statuses, decisions. All come out of query
//! strings, and so are texts.

use serde_json::json;

use crate::admin::field::Kind;
use crate::admin::field::kind::{text, wrong};
use crate::history::calendar;
use crate::model::{Decision, Timestamp};
use crate::store::access::{StatusFilter, Step};

/// The most lines that are answered at once as CSV.
pub(crate) const MOST_LINES: usize = 10_000;
/// The longest name of a scope that anybody asks for.
const MAX_SCOPE: usize = 200;

/// A time, or a day, which begins at midnight UTC.
pub(crate) static MOMENT: Kind<Timestamp> = Kind {
    read: |value| {
        let text = text(value)?;
        let read = calendar::day(text).or_else(|| Timestamp::parse(text));
        let expected = "must be a time such as 2026-11-20T08:00:00Z, or a day such as 2026-11-20";
        read.map_or_else(|| wrong(expected), Ok)
    },
    schema: || {
        let written = |format: &str| json!({ "type": "string", "format": format });
        json!({ "anyOf": [written("date-time"), written("date")] })
    },
};

pub(crate) static STEP: Kind<Step> = Kind {
    read: |value| match text(value)? {
        "day" => Ok(Step::Day),
        "hour" => Ok(Step::Hour),
        _ => wrong("must be day or hour"),
    },
    schema: || json!({ "type": "string", "enum": ["day", "hour"], "default": "day" }),
};

/// `403`, or `4xx` for all that begin with 4; 0 where nothing was answered.
pub(crate) static STATUSES: Kind<StatusFilter> = Kind {
    read: |value| {
        let text = text(value)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = || text.parse().ok().filter(|number| matches!(number, 0 | 100..=599));
        let found = match text.strip_suffix("xx") {
            Some(class) if matches!(class, "1" | "2" | "3" | "4" | "5") => {
                class.parse().ok().map(StatusFilter::Class)
            }
            None if digits(text) && matches!(text.len(), 1 | 3) => {
                number().map(StatusFilter::Exactly)
            }
            Some(_) | None => None,
        };
        found.map_or_else(|| wrong("must be a status such as 403, or a class such as 4xx"), Ok)
    },
    schema: || json!({ "type": "string", "pattern": "^(0|[1-5]([0-9][0-9]|xx))$" }),
};

pub(crate) static DECISION: Kind<Decision> = Kind {
    read: |value| {
        let found = Decision::from_name(text(value)?);
        found.map_or_else(|| wrong("must be allow, deny or observe"), Ok)
    },
    schema: || json!({ "type": "string", "enum": Decision::ALL.map(Decision::name) }),
};

/// A category or a scope, whether or not there still is one of that name.
pub(crate) static SCOPE: Kind<String> = Kind {
    read: |value| {
        let text = text(value)?;
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_visible && (1..=MAX_SCOPE).contains(&text.len()) {
            return Ok(text.to_owned());
        }
        wrong("must be a category such as patient, or a scope of one")
    },
    schema: || json!({ "type": "string", "pattern": "^[!-~]{1,200}$" }),
};

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Json,
    Csv,
}

pub(crate) static WRITTEN: Kind<Written> = Kind {
    read: |value| match text(value)? {
        "json" => Ok(Written::Json),
        "csv" => Ok(Written::Csv),
        _ => wrong("must be json or csv"),
    },
    schema: || json!({ "type": "string", "enum": ["json", "csv"] }),
};

pub(crate) static LINES: Kind<usize> = Kind {
    read: |value| match text(value)?.parse() {
        Ok(size) if (1..=MOST_LINES).contains(&size) => Ok(size),
        _ => wrong(format!("must be a whole number from 1 to 200, for CSV to {MOST_LINES}")),
    },
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": MOST_LINES }),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        let read = |text: &str| (MOMENT.read)(&json!(text)).ok().map(|at| at.to_string());
        let midnight = Some("2026-11-20T00:00:00.000000Z".to_owned());
        assert_eq!(read("2026-11-20"), midnight);
        assert_eq!(read("2026-11-20T01:00:00+01:00"), midnight);
        for bad in ["", "today", "2026-11", "2026-11-31", "20261120", "1763625600"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_status_is_one_or_a_class() {
        let read = |text: &str| (STATUSES.read)(&json!(text)).ok();
        assert_eq!(read("403"), Some(StatusFilter::Exactly(403)));
        assert_eq!(read("0"), Some(StatusFilter::Exactly(0)));
        assert_eq!(read("4xx"), Some(StatusFilter::Class(4)));
        for bad in ["", "xx", "0xx", "6xx", "44xx", "4XX", "+40", "99", "600", "0403", "4x", "7"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_schema_of_a_status_agrees_with_its_reader() {
        let statuses = jsonschema::validator_for(&(STATUSES.schema)()).unwrap();
        for text in ["403", "0", "4xx", "", "0xx", "6xx", "600", "0403", "099", "7"] {
            let value = json!(text);
            assert_eq!(statuses.is_valid(&value), (STATUSES.read)(&value).is_ok(), "{text}");
        }
    }
}
