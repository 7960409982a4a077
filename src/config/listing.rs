//! The route map as rows, and the JSON in which commands and the admin API show rules and decisions.

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::model::Method;
use crate::policy::Rule;
use crate::policy::diff::{Decision, NamedNeed, Verdict, decision};

/// Methods of one rule that need the same.
#[derive(Debug)]
pub struct Row<'c> {
    pub rule: &'c Rule,
    pub methods: Vec<Method>,
    pub decision: Decision,
    pub api: &'c str,
    pub upstream: &'c str,
}

/// In the order of the files.
pub fn rows(config: &Config) -> Vec<Row<'_>> {
    let names = api_names(config);
    let mut rules: Vec<&Rule> = config.policy.table.rules().iter().collect();
    rules.sort_by(|one, other| one.place.cmp(&other.place));
    let mut rows: Vec<Row<'_>> = Vec::new();
    for rule in rules {
        let api = config.apis.get(rule.api.0);
        let upstream = api.and_then(|api| config.upstreams.get(api.upstream.0));
        let mut of_rule: Vec<Row<'_>> = Vec::new();
        for method in rule.methods.iter() {
            let decision = decision(rule, method, &config.policy.catalogue, &names);
            match of_rule.iter_mut().find(|row| row.decision == decision) {
                Some(row) => row.methods.push(method),
                None => of_rule.push(Row {
                    rule,
                    methods: vec![method],
                    decision,
                    api: api.map_or("", |api| &api.name),
                    upstream: upstream.map_or("", |upstream| &upstream.name),
                }),
            }
        }
        rows.append(&mut of_rule);
    }
    rows
}

impl Row<'_> {
    pub fn json(&self) -> Value {
        let mut row = Map::new();
        row.insert("methods".into(), method_names(&self.methods));
        row.insert("pattern".into(), Value::from(&*self.rule.pattern.text));
        if let Value::Object(decision) = decision_json(&self.decision) {
            row.extend(decision);
        }
        row.insert("api".into(), Value::from(self.api));
        row.insert("upstream".into(), Value::from(self.upstream));
        row.insert("file".into(), Value::from(&*self.rule.place.file));
        row.insert("line".into(), Value::from(self.rule.place.line));
        Value::Object(row)
    }
}

/// The names of the APIs, by `ApiId`.
pub fn api_names(config: &Config) -> Vec<String> {
    config.apis.iter().map(|api| api.name.clone()).collect()
}

pub fn method_names(methods: &[Method]) -> Value {
    methods.iter().map(|method| Value::from(method.name())).collect()
}

/// A decision for programs; `routes list` shows rules in the same words.
pub fn decision_json(decision: &Decision) -> Value {
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
        "cost": decision.cost,
    })
}

/// `{"patient": "read"}`.
pub fn needs_json(needs: &[NamedNeed]) -> Value {
    let entry = |(name, access): &NamedNeed| (name.clone(), Value::from(access.need()));
    Value::Object(needs.iter().map(entry).collect::<Map<_, _>>())
}
