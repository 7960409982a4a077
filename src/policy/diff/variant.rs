//! The requests of one class that conditions tell apart: the bare one, and one for which each condition holds.

use http::{HeaderMap, HeaderValue};

use crate::model::{Method, hex};
use crate::policy::diff::witness::Class;
use crate::policy::judge::{Found, Policy};
use crate::policy::rule::{Condition, Effect, Subject};
use crate::policy::target::Target;

/// One request to judge, and how to show it.
pub(super) struct Variant {
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// `/v1/patients?include=notes`.
    pub(super) pattern: String,
}

/// Needs only add up, so a caller who may do each variant may do them all at once.
pub(super) fn variants(before: &Policy, after: &Policy, class: &Class) -> Vec<Variant> {
    let bare = Variant {
        target: class.path.clone(),
        headers: HeaderMap::new(),
        pattern: class.pattern.clone(),
    };
    let mut labels = Vec::new();
    let mut variants = vec![bare];
    for policy in [before, after] {
        for condition in conditions(policy, class) {
            let label = label(condition);
            if !labels.contains(&label) {
                variants.extend(variant(class, condition, &label));
                labels.push(label);
            }
        }
    }
    variants
}

fn conditions<'p>(policy: &'p Policy, class: &Class) -> Vec<&'p Condition> {
    let Ok(target) = Target::parse(&class.path) else { return Vec::new() };
    let rules = Method::ALL.into_iter().filter_map(|method| {
        match policy.find_as_spelled(&target, method) {
            Found::Rule(rule) => Some(rule),
            Found::NoMethod(_) | Found::Ambiguous | Found::Nothing => None,
        }
    });
    let guards = rules.filter_map(|rule| match &rule.effect {
        Effect::Guarded { when, .. } => Some(when),
        Effect::Public | Effect::Deny => None,
    });
    guards.flat_map(|when| when.iter()).collect()
}

/// A request of the class for which the condition holds; None for a header value that cannot be sent.
fn variant(class: &Class, condition: &Condition, label: &str) -> Option<Variant> {
    let mut variant = Variant {
        target: class.path.clone(),
        headers: HeaderMap::new(),
        pattern: format!("{}{label}", class.pattern),
    };
    let value = condition.contains.as_deref().unwrap_or("1");
    match &condition.subject {
        Subject::Query(name) => {
            variant.target = format!("{}?{}={}", class.path, encoded(name), encoded(value));
        }
        Subject::Header(name) => {
            variant.headers.insert(name.clone(), HeaderValue::from_str(value).ok()?);
        }
    }
    Some(variant)
}

/// `?include=notes`, or ` with x-on-behalf-of`.
pub fn label(condition: &Condition) -> String {
    match (&condition.subject, &condition.contains) {
        (Subject::Query(name), Some(value)) => format!("?{name}={value}"),
        (Subject::Query(name), None) => format!("?{name}"),
        (Subject::Header(name), Some(value)) => format!(" with {name}: {value}"),
        (Subject::Header(name), None) => format!(" with {name}"),
    }
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(hex::percent_encoded(byte).map(char::from));
        }
    }
    encoded
}
