//! `postern import`: many things at once from lines of JSON, all or nothing.
//!
//! In a store that nobody serves it is done here; where POSTERN_ADMIN_URL names an admin listener, that one does it. Keys
//! that were made on the way are in the answer, once.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Map, Value};

use crate::cli::local::Local;
use crate::cli::output::{Answer, Progress, Usage, table};
use crate::cli::remote::{self, Problem, Remote};
use crate::cli::words::count;
use crate::cli::{Format, load};
use crate::model::PlainKey;
use crate::registry::operation::import::{Import, Imported, LineFault};

/// Import practices, users, vendors, vendor keys and subscriber keys: all or nothing
#[derive(Debug, Args)]
#[command(after_help = "One JSON object a line:
  {\"kind\":\"practice\",\"id\":\"north\",\"name\":\"North Clinic\",\"api_access\":true}
  {\"kind\":\"user\",\"practice\":\"north\",\"username\":\"dr-lee\",\"name\":\"Dr Lee\"}
  {\"kind\":\"vendor\",\"id\":\"acme\",\"name\":\"Acme\",\"status\":\"approved\"}
  {\"kind\":\"vendor_key\",\"vendor\":\"acme\",\"key\":\"…\",\"random\":true}
  {\"kind\":\"key\",\"practice\":\"north\",\"name\":\"Website\",\"owner\":\"dr-lee\",\"api\":\"standard\",\"permissions\":{\"patient\":\"read\"}}

`key` is one that was issued elsewhere, `random` says that a machine made it; without it, one is made and shown.
With POSTERN_ADMIN_URL and POSTERN_ADMIN_TOKEN, a gateway that runs takes the lines.

Example: postern import --config postern.yaml --from practices.jsonl")]
pub(super) struct ImportCommand {
    #[command(flatten)]
    pub(super) import: ImportArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The configuration whose store takes the lines, where no gateway has it open
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The lines
    #[arg(long, value_name = "FILE.jsonl")]
    from: PathBuf,
}

pub(super) fn import(args: &ImportArgs) -> anyhow::Result<Answer> {
    let shown = args.from.display();
    let read = || fs::read(&args.from).with_context(|| format!("cannot read {shown}"));
    let made = if remote::is_named() {
        there(&args.from, &read()?)?
    } else if let Some(config) = &args.config {
        here(config, &args.from, &read()?)?
    } else {
        let why = "say where: --config FILE for a store that no gateway has open, or POSTERN_ADMIN_URL and \
                   POSTERN_ADMIN_TOKEN for a gateway that runs";
        return Err(Usage(why.to_owned()).into());
    };
    let has_secret = made.iter().any(|line| line.get("key").is_some());
    let answer = Answer::lines(summary(&made), made);
    Ok(if has_secret { answer.shown_once() } else { answer })
}

fn here(config: &Path, from: &Path, text: &[u8]) -> anyhow::Result<Vec<Value>> {
    let instead = format!("postern import --from {}", from.display());
    let local = Local::sole(&load(config)?, &instead)?;
    let mut progress = Progress::of("keys hashed");
    let terms = local.registry().terms();
    let read = Import::read(text, &terms, local.vault(), &mut |done, all| progress.tell(done, all));
    drop(progress);
    let import = read.map_err(|faults| faulty(from, &faults))?;
    let made = local.execute(import)?.map_err(|faults| faulty(from, &faults))?;
    let written = written(text);
    let here = |made: &Imported| {
        let id = made.key_id.map_or_else(|| made.id.clone(), |id| id.to_string());
        let key = made.plain.as_ref().map(PlainKey::reveal);
        told(made.kind, &id, key, made.line.checked_sub(1).and_then(|line| written.get(line)))
    };
    Ok(made.iter().map(here).collect())
}

fn written(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b'\n').collect()
}

/// What was made of a line, in the words of that line.
fn told(kind: &str, id: &str, key: Option<&str>, line: Option<&&[u8]>) -> Value {
    let written: Value =
        line.and_then(|line| serde_json::from_slice(line).ok()).unwrap_or_default();
    let mut told = Map::new();
    told.insert("kind".to_owned(), kind.into());
    told.insert("id".to_owned(), id.into());
    for field in ["practice", "vendor", "username", "name"] {
        if let Some(value) = written.get(field) {
            told.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(key) = key {
        told.insert("key".to_owned(), key.into());
    }
    Value::Object(told)
}

fn faulty(from: &Path, faults: &[LineFault]) -> anyhow::Error {
    refusal(from, faults.iter().map(|fault| (fault.line, fault.message.as_str())))
}

/// Every faulty line, as a compiler names it.
fn refusal<'a>(
    from: &Path,
    faults: impl Iterator<Item = (impl Display, &'a str)>,
) -> anyhow::Error {
    let from = from.display();
    let lines: Vec<String> =
        faults.map(|(line, message)| format!("{from}:{line}: {message}")).collect();
    let many = count(lines.len(), "fault");
    anyhow!("{many}, and nothing was written\n{}", lines.join("\n"))
}

fn there(from: &Path, text: &[u8]) -> anyhow::Result<Vec<Value>> {
    let remote = Remote::from_environment()?;
    let answer = remote.import(text.to_vec()).map_err(|error| {
        match error.downcast_ref::<Problem>().map(|problem| &problem.lines) {
            Some(lines) if !lines.is_empty() => {
                refusal(from, lines.iter().map(|(line, message)| (line, message.as_str())))
            }
            _ => error,
        }
    })?;
    let Some(Value::Array(made)) = answer.get("imported") else {
        return Err(anyhow!("the gateway took the lines and did not say what it made of them"));
    };
    let written = written(text);
    let there = |made: &Value| {
        let text = |field: &str| made.get(field).and_then(Value::as_str);
        let line = made.get("line").and_then(Value::as_u64)?.checked_sub(1)?;
        let line = usize::try_from(line).ok().and_then(|line| written.get(line));
        Some(told(text("kind")?, text("key_id").or(text("id"))?, text("key"), line))
    };
    Ok(made.iter().filter_map(there).collect())
}

/// How many of each, and every key that was made on the way.
fn summary(made: &[Value]) -> String {
    let text = |line: &Value, field: &str| {
        line.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let kinds = [
        ("practice", "practice"),
        ("user", "user"),
        ("vendor", "vendor"),
        ("vendor_key", "vendor key"),
        ("key", "key"),
    ];
    let counts = kinds.iter().filter_map(|(kind, noun)| {
        let number = made.iter().filter(|line| text(line, "kind") == *kind).count();
        (number > 0).then(|| count(number, noun))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    let mut said = if counts.is_empty() {
        "nothing to import".to_owned()
    } else {
        format!("imported {counts}")
    };
    let minted = made.iter().filter(|line| line.get("key").is_some());
    let rows: Vec<Vec<String>> = minted
        .map(|line| {
            let whose = if text(line, "kind") == "key" { "name" } else { "vendor" };
            vec![text(line, "id"), text(line, whose), text(line, "key")]
        })
        .collect();
    if !rows.is_empty() {
        said +=
            &format!("\n\nkeys that were made, shown here once: keep them now\n{}", table(&rows));
    }
    said
}
