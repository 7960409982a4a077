//! Objects of the admin API for people: a table of many, or one with a line for each field.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::output::{Answer, table};
use crate::cli::remote::Listed;

/// How much of a list.
#[derive(Debug, Args)]
pub(super) struct Part {
    /// At most so many; without it, all
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Where an earlier, limited list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Part {
    pub(super) fn limit(&self) -> Option<usize> {
        self.limit.and_then(|limit| usize::try_from(limit).ok())
    }

    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

/// A table with these columns: a heading and the field.
pub(super) fn many(listed: Listed, columns: &[(&str, &str)]) -> Answer {
    let Listed { items, next } = listed;
    let mut rows = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect()];
    rows.extend(
        items.iter().map(|item| {
            columns.iter().map(|(_, field)| shown(item.get(field))).collect::<Vec<_>>()
        }),
    );
    let mut text = if items.is_empty() { "none".to_owned() } else { table(&rows) };
    if let Some(next) = &next {
        text += &format!("\nthere are more: --cursor {next}");
    }
    Answer::done(text, json!({ "items": items, "next": next }))
}

/// A line for each field that says something.
pub(super) fn one(object: Value) -> Answer {
    let rows: Vec<Vec<String>> = object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !is_nothing(value))
        .map(|(name, value)| vec![name.replace('_', " "), shown_as(name, value)])
        .collect();
    Answer::done(table(&rows), object)
}

/// One with a secret in it.
pub(super) fn one_with_secret(object: Value) -> Answer {
    let mut answer = one(object).shown_once();
    answer.text += "\n\nthe secret is shown here once: keep it now";
    answer
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Parts of a whole are percents to people.
fn shown_as(name: &str, value: &Value) -> String {
    match value.as_f64() {
        Some(part) if name.starts_with("error_rate") => format!("{:.1} %", part * 100.0),
        _ => shown(Some(value)),
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => visible(text),
        Some(Value::Bool(is)) => if *is { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| shown(Some(item))).collect::<Vec<_>>().join(", ")
        }
        Some(Value::Object(fields)) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}:{}", visible(name), shown(Some(value)))
            };
            fields.iter().map(field).collect::<Vec<_>>().join(" ")
        }
        Some(number) => number.to_string(),
    }
}

/// What somebody wrote into a name must not move a terminal's cursor.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_headings_and_say_where_they_go_on() {
        let items = vec![json!({ "id": "a", "on": true }), json!({ "id": "longer", "on": null })];
        let answer = many(Listed { items, next: Some("c7".into()) }, &[("ID", "id"), ("ON", "on")]);
        assert_eq!(answer.text, "ID      ON\na       yes\nlonger  -\nthere are more: --cursor c7");
        assert_eq!(answer.json["next"], "c7");
        let none = many(Listed { items: Vec::new(), next: None }, &[("ID", "id")]);
        assert_eq!((none.text.as_str(), none.json), ("none", json!({ "items": [], "next": null })));
    }

    #[test]
    fn a_rate_of_errors_is_a_percentage() {
        let object = json!({ "error_rate_today": 0.6153846153846154, "requests_today": 13 });
        let text = one(object).text;
        assert_eq!(text, "error rate today  61.5 %\nrequests today    13");
    }

    #[test]
    fn an_object_shows_what_it_has_and_moves_no_cursor() {
        let object = json!({ "name": "a\u{1b}[2J", "vendor": null, "allowed_ips": [], "permissions": { "patient": "read" } });
        assert_eq!(one(object).text, "name         a\u{fffd}[2J\npermissions  patient:read");
    }
}
