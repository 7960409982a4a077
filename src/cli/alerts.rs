//! What the admins of a practice should look at, and taking note of it.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::listing::{self, visible};
use crate::cli::output::{Answer, table};
use crate::cli::remote::{Listed, Remote};
use crate::cli::url::segment;

/// Of which practice.
#[derive(Debug, Args)]
pub(super) struct AlertsArgs {
    /// The id of the practice
    id: String,
    /// Take note of this alert, so that nobody has to look at it again
    #[arg(long, value_name = "ALERT")]
    acknowledge: Option<String>,
}

pub(super) fn alerts(remote: &Remote, args: &AlertsArgs) -> anyhow::Result<Answer> {
    let path = format!("/practices/{}/alerts", segment(&args.id));
    if let Some(alert) = &args.acknowledge {
        let path = format!("{path}/{}/acknowledge", segment(alert));
        return Ok(listing::one(remote.post(&path, &json!({}))?));
    }
    let Listed { mut items, next } = remote.list(&path, &[], None, None)?;
    // They come key by key; people want the worst first.
    items.sort_by_key(rank);
    Ok(Answer::done(shown(&items), json!({ "items": items, "next": next })))
}

fn text<'v>(item: &'v Value, name: &str) -> &'v str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn rank(item: &Value) -> (bool, u8) {
    let severity = match text(item, "severity") {
        "critical" => 0,
        "warning" => 1,
        _ => 2,
    };
    (item.get("acknowledged").is_some_and(Value::is_object), severity)
}

fn shown(items: &[Value]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let mut rows =
        vec![["SEVERITY", "ALERT", "KEY", "NOTED BY", "WHAT"].map(str::to_owned).to_vec()];
    rows.extend(items.iter().map(|item| {
        let by = item.get("acknowledged").map_or("", |noted| text(noted, "by"));
        let by = if by.is_empty() { "-" } else { by };
        let cells = [
            text(item, "severity"),
            text(item, "id"),
            text(item, "key_name"),
            by,
            text(item, "sentence"),
        ];
        cells.map(visible).to_vec()
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_that_nobody_has_seen_comes_first() {
        let alert = |id: &str, severity: &str, noted: Value| json!({ "id": id, "severity": severity, "key_name": "Book\u{1b}ings", "sentence": "It is so.", "acknowledged": noted });
        let mut items = vec![
            alert("a", "critical", json!({ "by": "lee", "at": "" })),
            alert("b", "info", json!(null)),
            alert("c", "critical", json!(null)),
            alert("d", "warning", json!(null)),
        ];
        items.sort_by_key(rank);
        let text = shown(&items);
        let first: Vec<&str> =
            text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(first, ["c", "d", "b", "a"], "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("  lee  "), "{text}");
        assert_eq!(shown(&[]), "none");
    }
}
