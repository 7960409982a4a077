//! What is left of limits, for people.

use serde_json::Value;

use crate::cli::output::{Answer, table};

const HEADINGS: [&str; 5] = ["LIMIT", "ALLOWED", "BURST", "LEFT", "ALL OF IT AGAIN"];

/// Of an answer of the admin API.
pub(super) fn shown(found: Value) -> Answer {
    Answer::done(text(&found), found)
}

/// A line for each, the tightest first, and what a reader must know of all of them.
fn text(found: &Value) -> String {
    let items: Vec<&Value> =
        found.get("items").and_then(Value::as_array).into_iter().flatten().collect();
    let is_observed = found.get("mode").and_then(Value::as_str) == Some("observe");
    let mode = if is_observed { "\nlimits only observe: nothing is refused for them" } else { "" };
    if items.is_empty() {
        return format!("no limit holds{mode}");
    }
    let rows = items.into_iter().map(|item| row(item).to_vec());
    let rows: Vec<Vec<String>> =
        [HEADINGS.map(str::to_owned).to_vec()].into_iter().chain(rows).collect();
    table(&rows) + mode
}

fn row(item: &Value) -> [String; 5] {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let number = |name: &str| item.get(name).and_then(Value::as_u64);
    let told = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let again = match (number("full_in_s"), number("resets_in_s")) {
        (Some(0), _) => "now".to_owned(),
        (Some(seconds), _) => format!("in {}", span(seconds)),
        (None, Some(seconds)) => format!("in {}, with the next UTC day", span(seconds)),
        (None, None) => "-".to_owned(),
    };
    [text("limit"), text("allowed"), told(number("burst")), told(number("remaining")), again]
}

/// `42s`, `3min 20s`, `5h 12min`, `2d 3h`: two units are enough.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units.iter().skip(first).take(2) {
        let count = left / length;
        left %= length;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count}{unit}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_limit_has_its_line() {
        let found = json!({ "mode": "enforce", "items": [
            { "limit": "key", "allowed": "600/min", "burst": 100, "remaining": 57, "full_in_s": 5 },
            { "limit": "category:files", "allowed": "60/min", "burst": 60, "remaining": 60, "full_in_s": 0 },
            { "limit": "daily_requests", "allowed": "30000/d", "remaining": 29_000, "resets_in_s": 18_725 },
            { "limit": "concurrent", "allowed": "64 at once", "remaining": 64 },
        ] });
        let told = text(&found);
        let lines: Vec<Vec<&str>> = told
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(lines[0], HEADINGS);
        assert_eq!(lines[1], ["key", "600/min", "100", "57", "in 5s"]);
        assert_eq!(lines[2], ["category:files", "60/min", "60", "60", "now"]);
        assert_eq!(
            lines[3],
            ["daily_requests", "30000/d", "-", "29000", "in 5h 12min, with the next UTC day"]
        );
        assert_eq!(lines[4], ["concurrent", "64 at once", "-", "64", "-"]);
        assert_eq!(lines.len(), 5, "{told}");
    }

    #[test]
    fn no_limits_and_limits_that_only_observe_are_said_to_be_so() {
        assert_eq!(text(&json!({ "mode": "enforce", "items": [] })), "no limit holds");
        let observed = json!({ "mode": "observe", "items": [{ "limit": "key", "allowed": "1/s", "remaining": 1 }] });
        assert!(text(&observed).ends_with("\nlimits only observe: nothing is refused for them"));
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let told = [0, 1, 59, 60, 61, 3600, 3661, 86_399, 90_000, 10_000_000].map(span);
        let wanted = [
            "0s",
            "1s",
            "59s",
            "1min",
            "1min 1s",
            "1h",
            "1h 1min",
            "23h 59min",
            "1d 1h",
            "115d 17h",
        ];
        assert_eq!(told, wanted);
    }
}
