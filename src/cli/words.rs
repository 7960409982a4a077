//! The words and the JSON in which several commands say the same things.

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::model::{Access, Method};
use crate::policy::diff::{Decision, NamedNeed, Verdict};

/// The names of the APIs, by `ApiId`.
pub(super) fn api_names(config: &Config) -> Vec<String> {
    config.apis.iter().map(|api| api.name.clone()).collect()
}

/// `1 route`, `2 routes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

pub(super) fn methods(methods: &[Method]) -> String {
    methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(" ")
}

pub(super) fn method_names(methods: &[Method]) -> Value {
    methods.iter().map(|method| Value::from(method.name())).collect()
}

/// A decision for programs; `routes list` shows rules in the same words.
pub(super) fn decision_json(decision: &Decision) -> Value {
    let (effect, needs, when) = match &decision.verdict {
        Verdict::Unmapped => ("unmapped", &[][..], &[][..]),
        Verdict::Denied => ("deny", &[][..], &[][..]),
        Verdict::Public => ("public", &[][..], &[][..]),
        Verdict::Guarded { needs, when, .. } => ("guarded", &needs[..], &when[..]),
    };
    let condition = |(label, needs): &(String, Vec<_>)| json!({ "if": label.trim(), "needs": needs_json(needs) });
    let api = match &decision.verdict {
        Verdict::Guarded { api, .. } => Some(api),
        Verdict::Unmapped | Verdict::Denied | Verdict::Public => None,
    };
    json!({
        "effect": effect,
        "api": api,
        "needs": needs_json(needs),
        "when": when.iter().map(condition).collect::<Value>(),
        "websocket": decision.websocket,
        "max_body": decision.max_body,
    })
}

/// `{"patient": "read"}`.
pub(super) fn needs_json(needs: &[NamedNeed]) -> Value {
    let entry = |(name, access): &NamedNeed| (name.clone(), Value::from(access.need()));
    Value::Object(needs.iter().map(entry).collect::<Map<_, _>>())
}

/// `patient:read clinical:read`.
pub(super) fn shown(needs: &[NamedNeed]) -> String {
    let one = |(name, access): &NamedNeed| match *access {
        Access::READ_WRITE => format!("{name}:read {name}:write"),
        one => format!("{name}:{}", one.need()),
    };
    needs.iter().map(one).collect::<Vec<_>>().join(" ")
}
