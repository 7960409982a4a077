//! A record as a line: JSON for programs, CSV for spreadsheets, text for people.

use std::borrow::Cow;

use clap::ValueEnum;
use serde_json::Value;

use crate::cli::listing::visible;
use crate::history::csv;
use crate::model::AccessRecord;

/// How a record is written. The names are those of `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A document on each line
    Json,
    /// With a heading, safe to open in a spreadsheet
    Csv,
    #[value(skip)]
    Text,
}

impl Form {
    /// What stands before the first record.
    pub(super) fn heading(self) -> String {
        if self == Self::Csv { csv::header() } else { String::new() }
    }

    /// A line with its end.
    pub(super) fn of_record(self, record: &AccessRecord<'_>) -> anyhow::Result<String> {
        match self {
            Self::Json => Ok(serde_json::to_string(record)? + "\n"),
            Self::Csv => {
                let mut line = String::new();
                csv::record(&mut line, record);
                Ok(line)
            }
            Self::Text => Ok(text(&serde_json::to_value(record)?)),
        }
    }

    /// The same of a record as the admin API gives it.
    pub(super) fn of_document(self, document: &Value) -> String {
        match self {
            Self::Json => format!("{document}\n"),
            Self::Csv => {
                let fields = AccessRecord::FIELDS.iter().map(|field| cell(document, field));
                let count = cell(document, "count");
                let count = if count.is_empty() { Cow::Borrowed("1") } else { count };
                let cells: Vec<_> = fields.chain([count]).collect();
                let mut line = String::new();
                csv::line(&mut line, cells.iter().map(|cell| &**cell));
                line
            }
            Self::Text => text(document),
        }
    }
}

fn cell<'v>(document: &'v Value, field: &str) -> Cow<'v, str> {
    match document.get(field) {
        None | Some(Value::Null) => Cow::Borrowed(""),
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(other) => Cow::Owned(other.to_string()),
    }
}

/// `2026-11-20T08:00:00.000Z  deny  403  GET  /v1/patients  north/4fJ2aB9xQ7Lm  acme  permission_denied  1.2 ms`.
fn text(document: &Value) -> String {
    const TO_MILLIS: usize = "2026-11-20T08:00:00.000".len();
    let field = |name| visible(&cell(document, name));
    let ts = field("ts");
    let ts = ts.get(..TO_MILLIS).map_or_else(|| ts.clone(), |head| format!("{head}Z"));
    let (practice, key) = (field("practice"), field("key"));
    let caller = if key.is_empty() { "-".to_owned() } else { format!("{practice}/{key}") };
    let micros = document.get("duration_us").and_then(Value::as_u64).unwrap_or_default();
    let took = format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
    let times = document.get("count").and_then(Value::as_u64).filter(|count| *count > 1);
    let times = times.map(|count| format!("{count} times")).unwrap_or_default();
    // Aligned as far as lengths are known; the rest is as long as it is.
    let head =
        format!("{ts}  {:7}  {:>3}  {:7}", field("decision"), field("status"), field("method"));
    let rest = [field("path"), caller, field("vendor"), field("code"), times, took];
    let rest: Vec<String> = rest.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{head}  {}\n", rest.join("  "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({ "id": "0000000000c0ffee-1", "ts": "2026-11-20T08:00:00.123456Z", "practice": "north", "key": "4fJ2",
                "vendor": "", "method": "GET", "path": "/v1/a\u{1b}[2J", "decision": "deny",
                "code": "permission_denied", "status": 403, "duration_us": 1234, "upstream_us": null,
                "user_agent": "=cmd,\"x\"" })
    }

    #[test]
    fn a_line_for_people_has_what_matters_and_moves_no_cursor() {
        assert_eq!(
            Form::Text.of_document(&document()),
            "2026-11-20T08:00:00.123Z  deny     403  GET      /v1/a\u{fffd}[2J  north/4fJ2  permission_denied  1.2 ms\n"
        );
        let mut stranger = document();
        stranger["key"] = "".into();
        stranger["count"] = 7.into();
        let line = Form::Text.of_document(&stranger);
        assert!(line.contains("  -  permission_denied  7 times  "), "{line}");
    }

    #[test]
    fn a_row_of_the_api_is_the_row_of_the_store() {
        let row = Form::Csv.of_document(&document());
        assert!(
            row.starts_with("0000000000c0ffee-1,2026-11-20T08:00:00.123456Z,,,north,"),
            "{row}"
        );
        assert!(row.ends_with(",\"'=cmd,\"\"x\"\"\",1\r\n"), "{row}");
        let columns = Form::Csv.heading().split(',').count();
        assert_eq!(columns, AccessRecord::FIELDS.len() + 1);
    }
}
