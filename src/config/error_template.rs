//! A JSON document with placeholders, rendering the practice system's own error shape.
//!
//! The document is taken apart once, into text that is ready to send and slots between; rendering only joins them, with
//! every value escaped as JSON. `"{{status}}"` as a whole value gives a number, every other placeholder gives text.

use serde_json::Value;

use crate::config::shape::nearest;

/// What a template may show of a refusal.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub status: u16,
    pub code: &'a str,
    pub title: &'a str,
    pub detail: &'a str,
    pub request_id: &'a str,
}

/// A template without flaws, ready to be rendered.
#[derive(Clone, Debug)]
pub struct ErrorTemplate {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// JSON text as it is sent.
    Text(String),
    /// A value inside a string: escaped, the quotes are in the text around it.
    Slot(Slot),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Status,
    Code,
    Title,
    Detail,
    RequestId,
}

const SLOTS: [(&str, Slot); 5] = [
    ("status", Slot::Status),
    ("code", Slot::Code),
    ("title", Slot::Title),
    ("detail", Slot::Detail),
    ("request_id", Slot::RequestId),
];

/// What is wrong with a template, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub hint: Option<String>,
}

impl ErrorTemplate {
    /// All that is wrong at once.
    pub(super) fn compile(text: &str) -> Result<Self, Vec<Flaw>> {
        let document: Value = serde_json::from_str(text).map_err(|error| {
            // serde_json counts columns from 1, and says 0 where a line was not begun.
            let (line, column) = (error.line().max(1), error.column().max(1));
            // The place is told once, where that of every fault is.
            let at = format!(" at line {} column {}", error.line(), error.column());
            let why = error.to_string().replace(&at, "");
            vec![Flaw {
                line,
                column,
                message: format!("the template is not JSON: {why}"),
                hint: None,
            }]
        })?;
        let mut compiler = Compiler { text, pieces: Vec::new(), flaws: Vec::new() };
        compiler.value(&document);
        if compiler.flaws.is_empty() {
            Ok(Self { pieces: compiler.pieces })
        } else {
            Err(compiler.flaws)
        }
    }

    pub fn render(&self, shown: Shown<'_>) -> String {
        let mut out = String::with_capacity(256);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Slot(Slot::Status) => out.push_str(&shown.status.to_string()),
                Piece::Slot(Slot::Code) => push_escaped(&mut out, shown.code),
                Piece::Slot(Slot::Title) => push_escaped(&mut out, shown.title),
                Piece::Slot(Slot::Detail) => push_escaped(&mut out, shown.detail),
                Piece::Slot(Slot::RequestId) => push_escaped(&mut out, shown.request_id),
            }
        }
        out
    }
}

struct Compiler<'t> {
    text: &'t str,
    pieces: Vec<Piece>,
    flaws: Vec<Flaw>,
}

impl Compiler<'_> {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                self.push("{");
                for (index, (name, value)) in fields.iter().enumerate() {
                    self.push(if index == 0 { "\"" } else { ",\"" });
                    if name.contains("{{") {
                        self.flaw(
                            name,
                            "a name is not a place for a placeholder".to_owned(),
                            Some("put it into the value".to_owned()),
                        );
                    }
                    self.push_json(name);
                    self.push("\":");
                    self.value(value);
                }
                self.push("}");
            }
            Value::Array(items) => {
                self.push("[");
                for (index, item) in items.iter().enumerate() {
                    self.push(if index == 0 { "" } else { "," });
                    self.value(item);
                }
                self.push("]");
            }
            Value::String(text) if text.trim() == "{{status}}" => {
                self.pieces.push(Piece::Slot(Slot::Status))
            }
            Value::String(text) => {
                self.push("\"");
                self.string(text);
                self.push("\"");
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.push(&value.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            self.push_json(before);
            let Some((name, behind)) = after.split_once("}}") else {
                self.flaw(
                    "{{",
                    "`{{` is not closed".to_owned(),
                    Some("write `{{code}}`".to_owned()),
                );
                return;
            };
            match SLOTS.iter().find(|(known, _)| *known == name.trim()) {
                Some((_, slot)) => self.pieces.push(Piece::Slot(*slot)),
                None => {
                    let hint = nearest(name, SLOTS.iter().map(|(known, _)| *known));
                    let known =
                        || "known are status, code, title, detail and request_id".to_owned();
                    self.flaw(
                        &format!("{{{{{name}}}}}"),
                        format!("unknown placeholder `{}`", name.escape_debug()),
                        Some(hint.unwrap_or_else(known)),
                    );
                }
            }
            rest = behind;
        }
        self.push_json(rest);
    }

    fn push(&mut self, text: &str) {
        if let Some(Piece::Text(last)) = self.pieces.last_mut() {
            last.push_str(text);
        } else {
            self.pieces.push(Piece::Text(text.to_owned()));
        }
    }

    fn push_json(&mut self, text: &str) {
        let mut escaped = String::new();
        push_escaped(&mut escaped, text);
        self.push(&escaped);
    }

    /// Notes what is wrong with a part, where its text first stands.
    fn flaw(&mut self, part: &str, message: String, hint: Option<String>) {
        let before = self.text.split_once(part).map_or("", |(before, _)| before);
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
        self.flaws.push(Flaw { line, column, message, hint });
    }
}

/// Appends a text as it stands inside a JSON string.
fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: Shown<'static> = Shown {
        status: 403,
        code: "route_unmapped",
        title: "Not \"mapped\"",
        detail: "a\\b\n\u{1}é",
        request_id: "00ff",
    };

    fn rendered(template: &str) -> Value {
        serde_json::from_str(&ErrorTemplate::compile(template).unwrap().render(SHOWN)).unwrap()
    }

    #[test]
    fn a_whole_status_is_a_number_and_everything_else_is_text() {
        let value = rendered(
            r#"{"error":{"status":"{{status}}","code":"{{code}}","text":"HTTP {{status}}: {{ title }}"},"request_id":"{{request_id}}"}"#,
        );
        let expected = serde_json::json!({
            "error": {"status": 403, "code": "route_unmapped", "text": "HTTP 403: Not \"mapped\""},
            "request_id": "00ff",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn what_is_shown_cannot_leave_its_string() {
        assert_eq!(
            rendered(r#"["{{title}}", "{{detail}}", 1.5, null, true, "quo\"te\u0000"]"#),
            serde_json::json!([SHOWN.title, SHOWN.detail, 1.5, null, true, "quo\"te\u{0}"])
        );
        assert_eq!(rendered(r#""{{detail}}{{detail}}""#), format!("{0}{0}", SHOWN.detail));
    }

    #[test]
    fn a_faulty_template_says_where_and_what_to_write() {
        let flaws = ErrorTemplate::compile(
            "{\n  \"a\": \"{{titel}}\",\n  \"b\": \"{{stack}}\", \"{{code}}\": \"{{code\"}",
        )
        .unwrap_err();
        let said: Vec<_> = flaws
            .iter()
            .map(|flaw| (flaw.line, flaw.column, flaw.hint.as_deref().unwrap()))
            .collect();
        assert_eq!(said[0], (2, 9, "did you mean `title`?"));
        assert_eq!(said[1], (3, 9, "known are status, code, title, detail and request_id"));
        assert_eq!(said[2].2, "put it into the value");
        assert_eq!(said[3].2, "write `{{code}}`");
        assert!(ErrorTemplate::compile("{").unwrap_err()[0].message.contains("not JSON"));
    }
}
