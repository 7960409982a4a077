//! `postern routes coverage`: which operations of an OpenAPI document no rule speaks of, or not for every value of their
//! parameters, and which rules serve none.

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

/// Find operations of an OpenAPI document that no route speaks of, or not for every value; exit 1 while there is one
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

const UUID: &str = "00000000-0000-4000-8000-000000000000";

/// How the rules of a configuration and the operations of a document meet.
struct Coverage<'a> {
    unmapped: Vec<&'a Operation>,
    /// Operations whose parameters may have values that no rule speaks of, with a rule that takes the others.
    partly: Vec<(&'a Operation, &'a Rule)>,
    /// Rules that let somebody through, in an API that the document speaks of, and that no operation meets.
    unused: Vec<&'a Rule>,
    operations: usize,
}

pub(super) fn coverage(args: &CoverageArgs, paint: Paint) -> anyhow::Result<Answer> {
    let config = load(&args.config.config)?;
    let document = args.document.read()?;
    let coverage = Coverage::of(&config, &document.operations);
    let (unmapped, partly) = (coverage.unmapped.len(), coverage.partly.len());
    let mut json = coverage.json();
    if let Value::Object(fields) = &mut json {
        fields.insert("notes".into(), document.notes.clone().into());
    }
    let notes = document.notes.iter().map(|note| format!("{}: {note}", paint.yellow("note")));
    let text = std::iter::once(coverage.text(paint)).chain(notes).collect::<Vec<_>>().join("\n");
    let reason = || match (unmapped, partly) {
        (_, 0) => format!("{} unmapped", count(unmapped, "operation")),
        (0, _) => format!("{} mapped in part", count(partly, "operation")),
        _ => format!("{} unmapped, {partly} mapped in part", count(unmapped, "operation")),
    };
    Ok(Answer::done(text, json).refused_if(unmapped + partly > 0, reason))
}

impl<'a> Coverage<'a> {
    fn of(config: &'a Config, operations: &'a [Operation]) -> Self {
        let mut used: BTreeSet<&Place> = BTreeSet::new();
        let (mut unmapped, mut partly) = (Vec::new(), Vec::new());
        for operation in operations {
            let meeting = Meeting::of(&config.policy, operation);
            match meeting.rules().next() {
                None => unmapped.push(operation),
                Some(rule) if meeting.any_word.is_none() => partly.push((operation, rule)),
                Some(_) => {}
            }
            used.extend(meeting.rules().map(|rule| &rule.place));
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
        Self { unmapped, partly, unused, operations: operations.len() }
    }

    fn text(&self, paint: Paint) -> String {
        let mapped = self.operations - self.unmapped.len() - self.partly.len();
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
        if !self.partly.is_empty() {
            parts.push(paint.red("mapped for some values alone, refused for all others:"));
            let row = |(operation, rule): &(&Operation, &Rule)| {
                vec![
                    format!("  {}", operation.method),
                    operation.path.clone(),
                    format!("only {}", rule.pattern.text),
                    format!("{}:{}", rule.place.file, rule.place.line),
                ]
            };
            parts.push(table(&self.partly.iter().map(row).collect::<Vec<_>>()));
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
        let operation = |operation: &Operation| {
            json!({
                "method": operation.method.name(),
                "path": operation.path,
                "summary": operation.summary,
            })
        };
        let rule = |rule: &Rule| {
            let place = &rule.place;
            json!({ "file": &*place.file, "line": place.line, "pattern": &*rule.pattern.text })
        };
        let partly = |(mapped, only): &(&Operation, &Rule)| {
            let mut entry = operation(mapped);
            if let Value::Object(fields) = &mut entry {
                fields.insert("only".into(), rule(only));
            }
            entry
        };
        json!({
            "operations": self.operations,
            "unmapped": self.unmapped.iter().map(|unmapped| operation(unmapped)).collect::<Value>(),
            "partly_mapped": self.partly.iter().map(partly).collect::<Value>(),
            "unused_rules": self.unused.iter().map(|unused| rule(unused)).collect::<Value>(),
        })
    }
}

/// The rules that speak of an operation. Most documents call every id a string, so a parameter without a kind is tried
/// as a number and a UUID, too; but only a rule that takes any word maps the operation as it is documented.
struct Meeting<'p> {
    any_word: Option<&'p Rule>,
    number_or_uuid: [Option<&'p Rule>; 2],
}

impl<'p> Meeting<'p> {
    fn of(policy: &'p Policy, operation: &Operation) -> Self {
        let rule = |filler| {
            let path = example(operation, filler);
            let target = Target::parse(&path).ok()?;
            match policy.find(&target, operation.method) {
                Found::Rule(rule) => Some(rule),
                Found::NoMethod(_) | Found::Ambiguous | Found::Nothing => None,
            }
        };
        Self { any_word: rule("any-word"), number_or_uuid: ["1", UUID].map(rule) }
    }

    fn rules(&self) -> impl Iterator<Item = &'p Rule> {
        self.any_word.into_iter().chain(self.number_or_uuid.into_iter().flatten())
    }
}

/// A path as a caller would send it.
fn example(operation: &Operation, filler: &str) -> String {
    let mut path = String::new();
    for part in &operation.segments {
        path.push('/');
        path.push_str(match part {
            Part::Literal(text) => text,
            Part::Parameter { kind: ParameterKind::Integer, .. } => "1",
            Part::Parameter { kind: ParameterKind::Uuid, .. } => UUID,
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
