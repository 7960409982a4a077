//! `postern routes list`: every rule, what it needs and where it is written.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::diff::allowances;
use crate::cli::output::{Answer, table};
use crate::cli::words::{api_names, decision_json, method_names, methods, shown};
use crate::cli::{ConfigArg, Format, load};
use crate::config::Config;
use crate::model::Method;
use crate::policy::Rule;
use crate::policy::diff::{Decision, Verdict, decision};

/// List every route: methods, pattern, needs, API, upstream, and where it is written
#[derive(Debug, Args)]
#[command(after_help = "Example: postern routes list --config postern.yaml")]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Methods of one rule that need the same.
struct Row<'c> {
    rule: &'c Rule,
    methods: Vec<Method>,
    decision: Decision,
    api: &'c str,
    upstream: &'c str,
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<Answer> {
    let config = load(&args.config.config)?;
    let rows = rows(&config);
    let lines: Vec<_> = rows.iter().map(Row::cells).collect();
    let text = if lines.is_empty() { "no route is mapped".into() } else { table(&lines) };
    Ok(Answer::done(text, json!({ "routes": rows.iter().map(Row::json).collect::<Value>() })))
}

fn rows(config: &Config) -> Vec<Row<'_>> {
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
    fn cells(&self) -> Vec<String> {
        let is_any = self.methods.len() == Method::ALL.len();
        let methods = if is_any { "any".to_owned() } else { methods(&self.methods) };
        let place = &self.rule.place;
        vec![
            methods,
            self.rule.pattern.text.to_string(),
            needs(&self.decision) + &allowances(&self.decision),
            self.api.to_owned(),
            self.upstream.to_owned(),
            format!("{}:{}", place.file, place.line),
        ]
    }

    fn json(&self) -> Value {
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

/// `patient:read, ?include=notes clinical:read`.
fn needs(decision: &Decision) -> String {
    match &decision.verdict {
        Verdict::Unmapped | Verdict::Denied => "refused".into(),
        Verdict::Public => "public".into(),
        Verdict::Guarded { needs, when, .. } => {
            let own = std::iter::once(shown(needs));
            let added =
                when.iter().map(|(label, needs)| format!("{} {}", label.trim(), shown(needs)));
            own.chain(added).collect::<Vec<_>>().join(", ")
        }
    }
}
