//! The document of a refusal: RFC 9457, with what this gateway adds.
//!
//! Written field by field: nearly all of it is text that needs no escaping, which a general serialiser would look for in
//! every byte, and where a limit is over such answers are most of the work.

use std::time::Duration;

use crate::model::{Overrun, Refusal};

/// What is the same in every refusal of a kind, and the id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem<'a> {
    pub(super) status: u16,
    pub(super) title: &'a str,
    pub(super) detail: &'a str,
    pub(super) request_id: &'a str,
}

impl Problem<'_> {
    pub(super) fn document(&self, refusal: &Refusal) -> Vec<u8> {
        let code = refusal.code();
        let mut object = Object::begin();
        object.texts("type", &["urn:postern:error:", code]);
        object.text("title", self.title);
        object.number("status", self.status.into());
        object.text("detail", self.detail);
        object.text("code", code);
        object.text("request_id", self.request_id);
        if let Refusal::PermissionDenied(lack) = refusal {
            object.text("category", &lack.category);
            object.text("needed", lack.needed.need());
            object.text("granted", lack.granted.permission());
        }
        if let Some(over) = refusal.overrun() {
            object.over(over);
        }
        object.end()
    }
}

/// A JSON object that is being written.
struct Object(Vec<u8>);

impl Object {
    fn begin() -> Self {
        let mut bytes = Vec::with_capacity(640);
        bytes.push(b'{');
        Self(bytes)
    }

    /// Which limit refused, and when it will not.
    fn over(&mut self, over: &Overrun) {
        let millis = |wait: Duration| u64::try_from(wait.as_nanos().div_ceil(1_000_000)).ok();
        self.text("limit", &over.limit);
        self.text("allowed", &over.allowed);
        self.number_if("burst", over.burst.map(u64::from));
        // What this request takes, where that is more than one.
        self.number_if("cost", (over.cost > 1).then_some(over.cost.into()));
        // Whole seconds, as in the header, and to the millisecond.
        self.number_if("retry_after", over.retry_after());
        self.number_if("retry_after_ms", over.wait.and_then(millis));
        // As draft-ietf-httpapi-ratelimit-headers names it.
        self.name("violated-policies");
        self.0.push(b'[');
        self.string(&[&over.limit]);
        self.0.push(b']');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.texts(name, &[value]);
    }

    fn texts(&mut self, name: &str, parts: &[&str]) {
        self.name(name);
        self.string(parts);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn number_if(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// Names are ours: none needs escaping.
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(if self.0.len() > 1 { b",\"" } else { b"\"" });
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Parts that make up one string.
    fn string(&mut self, parts: &[&str]) {
        self.0.push(b'"');
        for part in parts {
            if is_plain(part.as_bytes()) {
                self.0.extend_from_slice(part.as_bytes());
            } else {
                let escaped = serde_json::to_string(part).unwrap_or_default();
                let inner = escaped.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                self.0.extend_from_slice(inner.unwrap_or_default().as_bytes());
            }
        }
        self.0.push(b'"');
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

fn is_plain(text: &[u8]) -> bool {
    // Without a way out in between, so that many bytes are looked at in one step.
    text.iter().fold(true, |so_far, byte| so_far & (*byte >= 0x20) & !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_text_has_in_it_the_document_says_it() {
        let detail = "\"\\\u{8}\n\u{1f}\u{7f}é…/<";
        let problem = Problem { status: 403, title: "plain", detail, request_id: "\"" };
        let document = problem.document(&Refusal::RouteUnmapped);
        let read: serde_json::Value = serde_json::from_slice(&document).unwrap();
        let expected = serde_json::json!({
            "type": "urn:postern:error:route_unmapped",
            "title": "plain",
            "status": 403,
            "detail": detail,
            "code": "route_unmapped",
            "request_id": "\"",
        });
        assert_eq!(read, expected);
        assert!(document.ends_with(b"}\n"));
    }
}
