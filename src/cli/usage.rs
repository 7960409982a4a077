//! What a key or a practice asked, by day or by hour, with a picture of it.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::output::{Answer, table};
use crate::cli::remote::Remote;
use crate::cli::url::segment;

/// Of which time, and how fine.
#[derive(Debug, Args)]
pub(super) struct UsageArgs {
    /// Its id
    id: String,
    #[command(flatten)]
    period: Period,
    /// By day, which is usual, or by hour
    #[arg(long)]
    step: Option<Step>,
}

#[derive(Debug, Args)]
pub(super) struct Period {
    /// From this time or day on, such as 2026-11-20T08:00:00Z or 2026-11-20
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time or day
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Day,
    Hour,
}

impl Period {
    /// As the API takes them.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("from", &self.from), ("to", &self.to)]
            .into_iter()
            .filter_map(|(name, text)| text.as_deref().map(|text| (name, text)))
    }
}

/// `of` is `keys` or `practices`.
pub(super) fn usage(remote: &Remote, of: &str, args: &UsageArgs) -> anyhow::Result<Answer> {
    let step = args.step.map(|step| match step {
        Step::Day => ("step", "day"),
        Step::Hour => ("step", "hour"),
    });
    let pairs = args.period.pairs().chain(step);
    let pairs: Vec<String> =
        pairs.map(|(name, text)| format!("{name}={}", segment(text))).collect();
    let path = format!("/{of}/{}/usage?{}", segment(&args.id), pairs.join("&"));
    let found = remote.get(&path)?;
    let is_hourly = args.step == Some(Step::Hour);
    let text = none(&found, is_hourly, args.period.to.is_some());
    Ok(Answer::done(text.unwrap_or_else(|| pictured(&found, is_hourly)), found))
}

/// What there is to say where nothing was asked at all.
fn none(found: &Value, is_hourly: bool, has_end: bool) -> Option<String> {
    if found.get("total")?.get("requests")?.as_u64()? > 0 {
        return None;
    }
    let spans = found.get("items")?.as_array()?;
    let (first, last) = (start(spans.first()?, is_hourly), start(spans.last()?, is_hourly));
    Some(if has_end {
        format!("no requests from {first} to {last}")
    } else {
        format!("no requests since {first}")
    })
}

/// As far as it says anything.
fn start(span: &Value, is_hourly: bool) -> String {
    let start = span.get("start").and_then(Value::as_str).unwrap_or_default();
    let start: String = start.chars().take(if is_hourly { 16 } else { 10 }).collect();
    start.replace('T', " ")
}

const HEADINGS: [&str; 8] =
    ["START", "REQUESTS", "ERRORS", "CLIENT ERRORS", "DENIED", "P50 MS", "P95 MS", "BYTES OUT"];
const FIELDS: [&str; 7] =
    ["requests", "errors", "client_errors", "denied", "p50_ms", "p95_ms", "bytes_out"];
/// The longest bar.
const WIDTH: u64 = 24;

/// A line for each span, with a bar for its requests, and one for all.
fn pictured(found: &Value, is_hourly: bool) -> String {
    let spans: Vec<&Value> =
        found.get("items").and_then(Value::as_array).into_iter().flatten().collect();
    let requests = |span: &Value| span.get("requests").and_then(Value::as_u64).unwrap_or(0);
    let most = spans.iter().map(|span| requests(span)).max().unwrap_or(0);
    let mut rows: Vec<Vec<String>> = vec![HEADINGS.map(str::to_owned).to_vec()];
    for span in &spans {
        let mut row = vec![start(span, is_hourly)];
        row.extend(cells(span));
        row.push(bar(requests(span), most));
        rows.push(row);
    }
    if let Some(total) = found.get("total") {
        rows.push([vec!["all".to_owned()], cells(total).collect()].concat());
    }
    table(&rows)
}

fn cells(span: &Value) -> impl Iterator<Item = String> {
    FIELDS.into_iter().map(|name| match span.get(name) {
        Some(Value::Number(number)) => match number.as_u64() {
            Some(whole) => whole.to_string(),
            None => format!("{:.1}", number.as_f64().unwrap_or_default()),
        },
        Some(_) | None => "-".to_owned(),
    })
}

/// In proportion to the longest; whatever is not nothing is seen.
fn bar(count: u64, most: u64) -> String {
    let length = (u128::from(count) * u128::from(WIDTH)).div_ceil(u128::from(most.max(1)));
    "█".repeat(usize::try_from(length).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_span_has_its_line_and_its_bar() {
        let span = |start: &str, requests: u64, p50: Value| {
            json!({ "start": start, "requests": requests, "errors": 1, "client_errors": 0, "denied": 0,
                    "error_rate": 0.1, "p50_ms": p50, "p95_ms": null, "bytes_in": 0, "bytes_out": 7 })
        };
        let found = json!({
            "items": [span("2026-11-19T00:00:00.000000Z", 1, json!(12.25)), span("2026-11-20T00:00:00.000000Z", 48, json!(null))],
            "total": span("", 49, json!(3.0)),
        });
        let text = pictured(&found, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[1].starts_with("2026-11-19  1 ") && lines[1].ends_with("  █"), "{text}");
        assert!(lines[1].contains("12.2"), "{text}");
        assert!(lines[2].ends_with(&"█".repeat(24)), "{text}");
        assert!(lines[3].starts_with("all ") && lines[3].contains("49"), "{text}");
        assert!(pictured(&found, true).contains("2026-11-20 00:00"), "with its hour");
        assert_eq!(none(&found, false, false), None);
        assert_eq!(bar(0, 0), "");
        assert_eq!(bar(u64::MAX, u64::MAX).chars().count(), 24);
    }

    #[test]
    fn no_requests_at_all_are_one_line() {
        let found = json!({
            "items": [{ "start": "2026-11-19T00:00:00.000000Z" }, { "start": "2026-11-20T00:00:00.000000Z" }],
            "total": { "requests": 0 },
        });
        let text = |is_hourly, has_end| none(&found, is_hourly, has_end).unwrap();
        assert_eq!(text(false, false), "no requests since 2026-11-19");
        assert_eq!(text(false, true), "no requests from 2026-11-19 to 2026-11-20");
        assert_eq!(text(true, false), "no requests since 2026-11-19 00:00");
    }
}
