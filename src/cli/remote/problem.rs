//! What the admin API says where it refuses: RFC 9457, told in the words of the command line.

use std::fmt;

use serde_json::Value;

/// A refusal of the admin API.
#[derive(Debug)]
pub(in crate::cli) struct Problem {
    status: u16,
    code: Option<String>,
    says: String,
    /// Field and message, of a 422.
    faults: Vec<(String, String)>,
    /// The lines of an import that cannot be taken; 0 where the whole cannot.
    pub(in crate::cli) lines: Vec<(u64, String)>,
}

impl Problem {
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        let says = text("detail").or_else(|| text("title"));
        let message = |fault: &Value| fault.get("message")?.as_str().map(str::to_owned);
        let of_field =
            |fault: &Value| Some((fault.get("field")?.as_str()?.to_owned(), message(fault)?));
        let of_line = |fault: &Value| Some((fault.get("line")?.as_u64()?, message(fault)?));
        let errors = || document.get("errors").and_then(Value::as_array).into_iter().flatten();
        Self {
            status,
            code: text("code"),
            says: says.unwrap_or_else(|| "the admin listener refused without a word".to_owned()),
            faults: errors().filter_map(of_field).collect(),
            lines: errors().filter_map(of_line).collect(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.as_deref().unwrap_or_default();
        let space = if code.is_empty() { "" } else { " " };
        write!(f, "{} ({}{space}{code})", self.says.trim_end_matches('.'), self.status)?;
        for (field, message) in &self.faults {
            write!(f, "\n  {}: {message}", flag(field))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The flag that fills a field; `permissions.patient` is a part of one.
fn flag(field: &str) -> String {
    let head = field.split(['.', '[']).next().unwrap_or_default();
    let rest = field.strip_prefix(head).unwrap_or_default().trim_start_matches('.');
    match (head, rest) {
        ("permissions", "") => "--permission".to_owned(),
        ("permissions", name) => format!("--permission {name}"),
        ("allowed_ips", _) => "--allow-ip".to_owned(),
        ("limits", "burst") => "--burst".to_owned(),
        ("limits", _) => "--rate".to_owned(),
        ("enabled", _) => "--enable".to_owned(),
        (head, _) => format!("--{}", head.replace('_', "-")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_stands_on_its_line_with_its_flag() {
        let body = br#"{"type":"about:blank","title":"Invalid","status":422,"code":"invalid","detail":"2 fields are not right",
            "errors":[{"field":"permissions.patient","message":"no such access"},{"field":"allowed_ips[1]","message":"no address"},
                      {"field":"expires_at","message":"is over"},{"field":"limits.burst","message":"too small"}]}"#;
        assert_eq!(
            Problem::read(422, body).to_string(),
            "2 fields are not right (422 invalid)\n  --permission patient: no such access\n  --allow-ip: no address\n  \
             --expires-at: is over\n  --burst: too small"
        );
    }

    #[test]
    fn an_answer_that_is_no_problem_is_still_told() {
        let says = Problem::read(502, b"<html>").to_string();
        assert_eq!(says, "the admin listener refused without a word (502)");
    }
}
