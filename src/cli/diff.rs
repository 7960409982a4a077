//! `postern diff`: what a new configuration changes in effect, before it is served.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::callers::Callers;
use crate::cli::output::{Answer, table};
use crate::cli::words::{count, methods, shown};
use crate::cli::{ConfigArg, Format, load};
use crate::config::Config;
use crate::config::listing::{api_names, decision_json, method_names};
use crate::policy::diff::{
    Decision, Difference, Direction, HolderChange, OperationChange, Reach, Side, Verdict, compare,
};
use crate::telemetry::paint::Paint;

mod settings;

/// Show what a new configuration changes in effect: which keys and vendors gain or lose what
#[derive(Debug, Args)]
#[command(after_help = "Example: postern diff --config new.yaml --against postern.yaml

  +  more is let through than before
  -  less is let through than before
  ~  something else is needed")]
pub(super) struct DiffArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The configuration to compare with
    #[arg(long, value_name = "OLD")]
    against: PathBuf,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn diff(args: &DiffArgs, paint: Paint) -> anyhow::Result<Answer> {
    let (before, after) = (load(&args.against)?, load(&args.config.config)?);
    let callers = (Callers::of(&before)?, Callers::of(&after)?);
    let mut difference = difference((&before, &callers.0), (&after, &callers.1));
    // What is opened is what a reader must not overlook.
    difference.operations.sort_by_key(|change| match change.direction {
        Direction::Wider => 0,
        Direction::Other => 1,
        Direction::Narrower => 2,
    });
    let settings = settings::changes(&before, &after);
    let is_same = difference.is_empty() && settings.is_empty();
    let mut text =
        if is_same { "no change in effect".into() } else { text(&difference, &settings, paint) };
    if let Some(absence) = callers.1.absence() {
        text += &format!("\n{}: {absence}", paint.yellow("note"));
    }
    Ok(Answer::done(text, document(&difference, &settings)))
}

fn difference((before, old): (&Config, &Callers), (after, new): (&Config, &Callers)) -> Difference {
    let apis = (api_names(before), api_names(after));
    let holders = (old.holders(), new.holders());
    let before = Side { policy: &before.policy, apis: &apis.0, holders: &holders.0 };
    let after = Side { policy: &after.policy, apis: &apis.1, holders: &holders.1 };
    compare(before, after)
}

fn text(difference: &Difference, settings: &[settings::Change], paint: Paint) -> String {
    let mut parts = Vec::new();
    if !difference.operations.is_empty() {
        let many = count(difference.operations.len(), "decision");
        parts.push(paint.bold(&format!("{many} changed")));
        let rows: Vec<_> = difference.operations.iter().map(operation_row).collect();
        let lines = table(&rows);
        let directions = difference.operations.iter().map(|change| change.direction);
        parts.extend(lines.lines().zip(directions).map(|(line, direction)| match direction {
            Direction::Wider => paint.green(line),
            Direction::Narrower => paint.red(line),
            Direction::Other => paint.yellow(line),
        }));
    }
    if !difference.holders.is_empty() {
        let many = count(difference.holders.len(), "caller");
        parts.push(paint.bold(&format!("what {many} may reach changed")));
    }
    for change in &difference.holders {
        parts.push(paint.bold(&change.holder));
        parts.extend(change.gains.iter().map(|reach| paint.green(&reach_line("+", reach))));
        parts.extend(change.loses.iter().map(|reach| paint.red(&reach_line("-", reach))));
    }
    if !settings.is_empty() {
        parts.push(paint.bold(&format!("{} changed", count(settings.len(), "setting"))));
        parts.extend(settings.iter().map(|change| format!("~ {change}")));
    }
    parts.join("\n")
}

fn operation_row(change: &OperationChange) -> Vec<String> {
    let sign = sign(change.direction);
    let (before, after) = (decision_text(&change.before), decision_text(&change.after));
    let says = format!("now {after} (before: {before})");
    vec![format!("{sign} {}", methods(&change.methods)), change.pattern.clone(), says]
}

fn sign(direction: Direction) -> &'static str {
    match direction {
        Direction::Wider => "+",
        Direction::Narrower => "-",
        Direction::Other => "~",
    }
}

fn reach_line(sign: &str, reach: &Reach) -> String {
    format!("{sign} {}  {}", methods(&reach.methods), reach.pattern)
}

/// `needs patient:read on standard`, `public`, `refused`.
fn decision_text(decision: &Decision) -> String {
    let text = match &decision.verdict {
        Verdict::Unmapped => "refused: unmapped".to_owned(),
        Verdict::Denied => "refused".to_owned(),
        Verdict::Public => "public".to_owned(),
        Verdict::Guarded { api, needs, when } => {
            let mut text = format!("needs {} of {api}", shown(needs));
            for (label, added) in when {
                text += &format!(", and {} {}", shown(added), if_label(label));
            }
            text
        }
    };
    text + &allowances(decision)
}

/// What a decision says beside who gets through: `, may upgrade to a WebSocket, body up to 10 bytes, cost 5`.
pub(super) fn allowances(decision: &Decision) -> String {
    let upgrade = if decision.websocket { ", may upgrade to a WebSocket" } else { "" };
    let limit = decision.max_body.map(|limit| format!(", body up to {limit} bytes"));
    format!("{upgrade}{}{}", limit.unwrap_or_default(), cost(decision.cost))
}

/// Where it is not what every request costs.
pub(super) fn cost(cost: NonZeroU32) -> String {
    if cost == NonZeroU32::MIN { String::new() } else { format!(", cost {cost}") }
}

fn if_label(label: &str) -> String {
    format!("for {}", label.trim())
}

fn document(difference: &Difference, settings: &[settings::Change]) -> Value {
    let holder = |change: &HolderChange| {
        json!({
            "holder": change.holder,
            "gains": change.gains.iter().map(reach_json).collect::<Value>(),
            "loses": change.loses.iter().map(reach_json).collect::<Value>(),
        })
    };
    json!({
        "changed": !(difference.is_empty() && settings.is_empty()),
        "operations": difference.operations.iter().map(operation_json).collect::<Value>(),
        "holders": difference.holders.iter().map(holder).collect::<Value>(),
        "settings": settings.iter().map(settings::Change::json).collect::<Value>(),
    })
}

fn operation_json(change: &OperationChange) -> Value {
    let direction = match change.direction {
        Direction::Wider => "wider",
        Direction::Narrower => "narrower",
        Direction::Other => "other",
    };
    json!({
        "direction": direction,
        "methods": method_names(&change.methods),
        "pattern": change.pattern,
        "before": decision_json(&change.before),
        "after": decision_json(&change.after),
    })
}

fn reach_json(reach: &Reach) -> Value {
    json!({ "methods": method_names(&reach.methods), "pattern": reach.pattern })
}
