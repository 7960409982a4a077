//! `postern routes list`: every rule, what it needs and where it is written.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::diff::allowances;
use crate::cli::output::{Answer, table};
use crate::cli::words::{methods, shown};
use crate::cli::{ConfigArg, Format, load};
use crate::config::listing::{Row, rows};
use crate::model::Method;
use crate::policy::diff::{Decision, Verdict};

/// List every route: methods, pattern, needs, API, upstream, and where it is written
#[derive(Debug, Args)]
#[command(after_help = "Example: postern routes list --config postern.yaml")]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<Answer> {
    let config = load(&args.config.config)?;
    let rows = rows(&config);
    let lines: Vec<_> = rows.iter().map(cells).collect();
    let text = if lines.is_empty() { "no route is mapped".into() } else { table(&lines) };
    Ok(Answer::done(text, json!({ "routes": rows.iter().map(Row::json).collect::<Value>() })))
}

fn cells(row: &Row<'_>) -> Vec<String> {
    let is_any = row.methods.len() == Method::ALL.len();
    let methods = if is_any { "any".to_owned() } else { methods(&row.methods) };
    let place = &row.rule.place;
    vec![
        methods,
        row.rule.pattern.text.to_string(),
        needs(&row.decision) + &allowances(&row.decision),
        row.api.to_owned(),
        row.upstream.to_owned(),
        format!("{}:{}", place.file, place.line),
    ]
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
