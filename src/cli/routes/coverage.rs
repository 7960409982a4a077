//! `postern routes coverage`: which operations of an OpenAPI document no rule speaks of, and which rules serve none.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::output::{Answer, table};
use crate::cli::routes::DocumentArgs;
use crate::cli::words::count;
use crate::cli::{ConfigArg, Format, load};
use crate::config::Config;
use crate::config::openapi::{Operation, ParameterKind, Part};
use crate::model::Place;
use crate::policy::judge::Found;
use crate::policy::{Effect, Policy, Rule, Target};
use crate::telemetry::paint::Paint;

/// Find operations of an OpenAPI document that no route speaks of; exit 1 while there is one
#[derive(Debug, Args)]
#[command(after_help = "Example: postern routes coverage openapi.yaml --config postern.yaml")]
pub(super) struct CoverageArgs {
    #[command(flatten)]
    document: DocumentArgs,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    pub(super) format: Format,
}

/// How the rules of a configuration and the operations of a document meet.
struct Coverage<'a> {
    unmapped: Vec<&'a Operation>,
    /// Rules that let somebody through, in an API that the document speaks of, and that no operation meets.
    unused: Vec<&'a Rule>,
    operations: usize,
}

pub(super) fn coverage(args: &CoverageArgs, paint: Paint) -> anyhow::Result<Answer> {
    let config = load(&args.config.config)?;
    let document = args.document.read()?;
    let coverage = Coverage::of(&config, &document.operations);
    let unmapped = coverage.unmapped.len();
    let mut json = coverage.json();
    if let Value::Object(fields) = &mut json {
        fields.insert("notes".into(), document.notes.clone().into());
    }
    let notes = document.notes.iter().map(|note| format!("{}: {note}", paint.yellow("note")));
    let text = std::iter::once(coverage.text(paint)).chain(notes).collect::<Vec<_>>().join("\n");
    let reason = || format!("{} unmapped", count(unmapped, "operation"));
    Ok(Answer::done(text, json).refused_if(unmapped > 0, reason))
}

impl<'a> Coverage<'a> {
    fn of(config: &'a Config, operations: &'a [Operation]) -> Self {
        let mut used: BTreeSet<&Place> = BTreeSet::new();
        let mut unmapped = Vec::new();
        for operation in operations {
            let rules = rules_met(&config.policy, operation);
            if rules.is_empty() {
                unmapped.push(operation);
            }
            used.extend(rules.iter().map(|rule| &rule.place));
        }
        let mut unused: Vec<_> = config
            .policy
            .table
            .rules()
            .iter()
            .filter(|rule| !matches!(rule.effect, Effect::Deny) && !used.contains(&rule.place))
            .filter(|rule| {
                let mount = config.apis.get(rule.api.0).map_or("/", |api| &api.mount);
                operations.iter().any(|operation| is_under(&operation.path, mount))
            })
            .collect();
        unused.sort_by(|one, other| one.place.cmp(&other.place));
        Self { unmapped, unused, operations: operations.len() }
    }

    fn text(&self, paint: Paint) -> String {
        let mapped = self.operations - self.unmapped.len();
        let mut parts = vec![format!("{mapped} of {} mapped", count(self.operations, "operation"))];
        if !self.unmapped.is_empty() {
            parts.push(paint.red("unmapped, and so refused:"));
            let row = |operation: &&Operation| {
                vec![
                    format!("  {}", operation.method),
                    operation.path.clone(),
                    operation.summary.clone(),
                ]
            };
            parts.push(table(&self.unmapped.iter().map(row).collect::<Vec<_>>()));
        }
        if !self.unused.is_empty() {
            parts.push(paint.yellow("rules that no operation of the document meets:"));
            let row = |rule: &&Rule| {
                let place = format!("{}:{}", rule.place.file, rule.place.line);
                vec![format!("  {}", rule.pattern.text), place]
            };
            parts.push(table(&self.unused.iter().map(row).collect::<Vec<_>>()));
        }
        parts.join("\n")
    }

    fn json(&self) -> Value {
        let operation = |operation: &&Operation| {
            json!({
                "method": operation.method.name(),
                "path": operation.path,
                "summary": operation.summary,
            })
        };
        let rule = |rule: &&Rule| {
            let place = &rule.place;
            json!({ "file": &*place.file, "line": place.line, "pattern": &*rule.pattern.text })
        };
        json!({
            "operations": self.operations,
            "unmapped": self.unmapped.iter().map(operation).collect::<Value>(),
            "unused_rules": self.unused.iter().map(rule).collect::<Value>(),
        })
    }
}

/// The rules that speak of an operation, for whatever values its parameters take. Most documents call every id a
/// string, so a parameter without a kind is tried as a word, a number and a UUID.
fn rules_met<'p>(policy: &'p Policy, operation: &Operation) -> Vec<&'p Rule> {
    let mut rules = Vec::new();
    for filler in ["x", "1", "00000000-0000-4000-8000-000000000000"] {
        let path = example(operation, filler);
        let Ok(target) = Target::parse(&path) else { continue };
        if let Found::Rule(rule) = policy.find(&target, operation.method) {
            rules.push(rule);
        }
    }
    rules
}

/// A path as a caller would send it.
fn example(operation: &Operation, filler: &str) -> String {
    let mut path = String::new();
    for part in &operation.segments {
        path.push('/');
        path.push_str(match part {
            Part::Literal(text) => text,
            Part::Parameter { kind: ParameterKind::Integer, .. } => "1",
            Part::Parameter { kind: ParameterKind::Uuid, .. } => {
                "00000000-0000-4000-8000-000000000000"
            }
            Part::Parameter { kind: ParameterKind::Other, .. } | Part::Mixed(_) => filler,
        });
    }
    path
}

/// Whether a path lies under a mount, by whole segments.
fn is_under(path: &str, mount: &str) -> bool {
    let rest = path.strip_prefix(mount.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
