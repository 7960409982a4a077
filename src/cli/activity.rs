//! What was asked with a key: a table for people, JSON for programs, CSV for spreadsheets.

use std::borrow::Cow;

use clap::Args;
use serde_json::Value;

use crate::cli::listing;
use crate::cli::output::{Answer, Usage};
use crate::cli::remote::{Listed, Remote};
use crate::cli::url::segment;
use crate::cli::usage::Period;
use crate::history::csv;
use crate::model::AccessRecord;

/// Of which key, and which of its records.
#[derive(Debug, Args)]
pub(super) struct ActivityArgs {
    /// The id of the key
    id: String,
    #[command(flatten)]
    period: Period,
    /// Only with this status, such as 403, or class, such as 4xx
    #[arg(long)]
    status: Option<String>,
    /// Only what needed this category or scope
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Only what this vendor asked
    #[arg(long, value_name = "ID")]
    vendor: Option<String>,
    /// Only what was decided like this
    #[arg(long, value_parser = ["allow", "deny", "observe"])]
    decision: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// How records are written: json as with --json, or csv
    #[arg(long, value_parser = ["json", "csv"])]
    format: Option<String>,
    /// Answer as CSV, for a spreadsheet; the same as `--format csv`
    #[arg(long, conflicts_with = "format")]
    csv: bool,
}

const COLUMNS: [(&str, &str); 9] = [
    ("TIME", "ts"),
    ("METHOD", "method"),
    ("ROUTE", "route"),
    ("STATUS", "status"),
    ("DECISION", "decision"),
    ("CODE", "code"),
    ("VENDOR", "vendor"),
    ("TOOK µs", "duration_us"),
    ("FROM", "ip"),
];

pub(super) fn activity(
    remote: &Remote,
    args: &ActivityArgs,
    is_for_programs: bool,
) -> anyhow::Result<Answer> {
    let format = args.format.as_deref();
    let is_csv = args.csv || format == Some("csv");
    if is_csv && is_for_programs {
        return Err(Usage("CSV or JSON: it can be written in one way only".to_owned()).into());
    }
    let filters = [
        ("status", &args.status),
        ("category", &args.category),
        ("vendor", &args.vendor),
        ("decision", &args.decision),
    ];
    let filters = filters.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)));
    let query: Vec<(&str, &str)> = args.period.pairs().chain(filters).collect();
    let path = format!("/keys/{}/activity", segment(&args.id));
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let listed = remote.list(&path, &query, args.cursor.as_deref(), Some(limit))?;
    let text = is_csv.then(|| sheet(&listed));
    let mut answer = listing::many(listed, &COLUMNS);
    if let Some(text) = text {
        answer.text = text;
    } else if format == Some("json") {
        answer.text = format!("{:#}", answer.json);
    }
    Ok(answer)
}

/// The same as the admin API writes.
fn sheet(listed: &Listed) -> String {
    let mut text = csv::header();
    for item in &listed.items {
        let fields = AccessRecord::FIELDS.into_iter().map(|name| cell(item.get(name), ""));
        let cells: Vec<Cow<'_, str>> = fields.chain([cell(item.get("count"), "1")]).collect();
        csv::line(&mut text, cells.iter().map(|cell| &**cell));
    }
    text
}

fn cell<'v>(value: Option<&'v Value>, absent: &'v str) -> Cow<'v, str> {
    match value {
        None | Some(Value::Null) => absent.into(),
        Some(Value::String(text)) => text.into(),
        Some(other) => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_a_line_of_csv_with_every_field_in_its_place() {
        let item = json!({ "id": "a-1", "status": 403, "upstream_us": null, "user_agent": "=1+1", "ip": "::1" });
        let listed = Listed { items: vec![item, json!({ "count": 9 })], next: None };
        let text = sheet(&listed);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|cells| cells.len() == 24), "{text}");
        let of = |name: &str| lines[0].iter().position(|heading| *heading == name).unwrap();
        for (name, expected) in [
            ("id", "a-1"),
            ("status", "403"),
            ("upstream_us", ""),
            ("user_agent", "'=1+1"),
            ("count", "1"),
        ] {
            assert_eq!(lines[1][of(name)], expected, "{name}");
        }
        assert_eq!(lines[2][of("count")], "9");
    }
}
