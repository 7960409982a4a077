//! `postern keys`: subscriber keys, over the admin API; and revoking one where there is nobody to ask.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::activity::{self, ActivityArgs};
use crate::cli::fields::{Fields, permission};
use crate::cli::import::{self, ImportArgs};
use crate::cli::limits;
use crate::cli::listing::{self, Part};
use crate::cli::load;
use crate::cli::local::Local;
use crate::cli::output::{self, Answer, Usage, table};
use crate::cli::remote::{Listed, Remote};
use crate::cli::url::segment;
use crate::cli::usage::{self, UsageArgs};
use crate::model::KeyId;

/// Manage subscriber keys through the admin API
#[derive(Debug, Args)]
#[command(
    after_help = "The admin listener is named by POSTERN_ADMIN_URL and opened by POSTERN_ADMIN_TOKEN; POSTERN_ADMIN_CA names
a file with its CA, where that is not the system's.

Examples:
  postern keys list --practice north
  postern keys create --practice north --name Website --owner dr-lee --permission patient=read,appointment=write
  postern keys rotate 4fJ2aB9xQ7Lm --overlap 24h
  postern keys revoke 4fJ2aB9xQ7Lm
  postern keys usage 4fJ2aB9xQ7Lm --from 2026-11-01 --step day
  postern keys limits 4fJ2aB9xQ7Lm
  postern keys activity 4fJ2aB9xQ7Lm --status 4xx --csv > refused.csv"
)]
pub(super) struct KeysArgs {
    /// Answer as JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Keys of one practice, or of all that you may see
    List(ListArgs),
    /// Make a key; its secret is shown once
    Create(Box<CreateArgs>),
    /// Everything about a key but its secret
    Show(IdArg),
    /// Change a key; it holds from the next request on
    Edit(Box<EditArgs>),
    /// Make its successor, shown once; the old one ends after the overlap
    Rotate(RotateArgs),
    /// Revoke a key for good
    Revoke(RevokeArgs),
    /// Show the secret again, where `keys.reveal` is `always`; the view is audited
    Reveal(IdArg),
    /// How much was asked with a key, and how it went, by day or by hour
    Usage(UsageArgs),
    /// What is left of every limit that holds for a key
    Limits(IdArg),
    /// What was asked with a key, newest first
    Activity(ActivityArgs),
    /// The same as `postern import`
    Import(ImportArgs),
}

#[derive(Debug, Args)]
struct IdArg {
    /// The id of the key
    id: String,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Of this practice alone
    #[arg(long, value_name = "ID")]
    practice: Option<String>,
    #[command(flatten)]
    part: Part,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Whose data it reaches
    #[arg(long, value_name = "ID")]
    practice: String,
    #[arg(long)]
    name: String,
    /// The staff user that it belongs to
    #[arg(long, value_name = "USERNAME")]
    owner: String,
    /// The API that it is for, where there are several
    #[arg(long)]
    api: Option<String>,
    #[command(flatten)]
    rules: Rules,
}

#[derive(Debug, Args)]
struct EditArgs {
    #[command(flatten)]
    id: IdArg,
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    rules: Rules,
    /// Empty a field; may be given again
    #[arg(long, value_name = "FIELD", value_parser = ["description", "vendor", "expires-at", "allowed-ips", "limits"])]
    clear: Vec<String>,
    /// Let it be used again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Refuse it until it is enabled again
    #[arg(long)]
    disable: bool,
}

/// What a key may do.
#[derive(Debug, Args)]
struct Rules {
    #[arg(long)]
    description: Option<String>,
    /// `patient=read`, `billing.invoices=write`; with commas or again for more. All of them together
    #[arg(long = "permission", value_name = "NAME=ACCESS", value_delimiter = ',', value_parser = permission)]
    permissions: Vec<(String, String)>,
    /// Only this vendor may use it
    #[arg(long, value_name = "ID")]
    vendor: Option<String>,
    /// Its end, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// An address or a network that it may come from; with commas or again for more
    #[arg(long = "allow-ip", value_name = "NETWORK", value_delimiter = ',')]
    allowed_ips: Vec<String>,
    /// How many requests, such as 600/min
    #[arg(long)]
    rate: Option<String>,
    /// How many of them at once
    #[arg(long, requires = "rate")]
    burst: Option<u32>,
}

#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    id: IdArg,
    /// How long both work, such as 24h, which is usual
    #[arg(long, value_name = "DURATION")]
    overlap: Option<String>,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    #[command(flatten)]
    id: IdArg,
    /// Change the store of this configuration itself, where no gateway can be asked
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Rules {
    fn into(self, fields: Fields) -> Fields {
        fields
            .with("description", self.description)
            .with_permissions(&self.permissions)
            .with("vendor", self.vendor)
            .with("expires_at", self.expires_at)
            .with_all("allowed_ips", &self.allowed_ips)
            .with_limits(self.rate.as_deref(), self.burst)
    }
}

const COLUMNS: [(&str, &str); 8] = [
    ("ID", "id"),
    ("PRACTICE", "practice"),
    ("NAME", "name"),
    ("OWNER", "owner"),
    ("API", "api"),
    ("STATUS", "status"),
    ("VENDOR", "vendor"),
    ("LAST USED", "last_used_at"),
];

pub(super) fn keys(args: KeysArgs) -> anyhow::Result<Answer> {
    let is_for_programs = args.json;
    let command = match args.command {
        // The two that need no gateway.
        KeysCommand::Import(args) => return import::import(&args),
        KeysCommand::Revoke(RevokeArgs { id, config: Some(config) }) => {
            return revoke_here(&id.id, &config);
        }
        command => command,
    };
    let remote = Remote::from_environment()?;
    let path = |id: &IdArg| format!("/keys/{}", segment(&id.id));
    match command {
        KeysCommand::List(args) => list(&remote, &args, is_for_programs),
        KeysCommand::Create(args) => {
            let CreateArgs { practice, name, owner, api, rules } = *args;
            let fields = Fields::new().with("name", Some(name)).with("owner", Some(owner));
            let document = rules.into(fields.with("api", api)).object();
            let made =
                remote.post(&format!("/practices/{}/keys", segment(&practice)), &document)?;
            Ok(listing::one_with_secret(made))
        }
        KeysCommand::Show(id) => Ok(listing::one(remote.get(&path(&id))?)),
        KeysCommand::Edit(args) => {
            let EditArgs { id, name, rules, clear, enable, disable } = *args;
            let fields = rules.into(Fields::new().with("name", name));
            let fields = fields.cleared(&clear).with_switch("enabled", enable, disable);
            let document = fields.some().ok_or_else(nothing_to_change)?;
            Ok(listing::one(remote.patch(&path(&id), &document)?))
        }
        KeysCommand::Rotate(RotateArgs { id, overlap }) => {
            let document = Fields::new().with("overlap", overlap).object();
            let made = remote.post(&format!("{}/rotate", path(&id)), &document)?;
            Ok(listing::one_with_secret(made))
        }
        KeysCommand::Revoke(RevokeArgs { id, .. }) => {
            Ok(receipt(&id.id, remote.delete(&path(&id))?))
        }
        KeysCommand::Reveal(id) => {
            Ok(listing::one(remote.post(&format!("{}/reveal", path(&id)), &json!({}))?))
        }
        KeysCommand::Usage(args) => usage::usage(&remote, "keys", &args),
        KeysCommand::Limits(id) => Ok(limits::shown(remote.get(&format!("{}/limits", path(&id)))?)),
        KeysCommand::Activity(args) => activity::activity(&remote, &args, is_for_programs),
        KeysCommand::Import(args) => import::import(&args),
    }
}

pub(super) fn nothing_to_change() -> Usage {
    Usage("nothing to change: give at least one field; --help names them".to_owned())
}

fn list(remote: &Remote, args: &ListArgs, is_for_programs: bool) -> anyhow::Result<Answer> {
    let (cursor, limit) = (args.part.cursor(), args.part.limit());
    if let Some(practice) = &args.practice {
        return Ok(listing::many(of_practice(remote, practice, cursor, limit)?, &COLUMNS));
    }
    if cursor.is_some() {
        return Err(Usage("--cursor goes on in the list of one --practice".to_owned()).into());
    }
    let (items, is_cut) = of_all(remote, limit)?;
    if is_cut && !is_for_programs {
        output::note("there are more; raise --limit");
    }
    let mut answer = listing::many(Listed { items, next: None }, &COLUMNS);
    // No cursor goes on in the lists of several practices.
    if let Value::Object(fields) = &mut answer.json {
        fields.insert("truncated".to_owned(), is_cut.into());
    }
    Ok(answer)
}

fn of_practice(
    remote: &Remote,
    practice: &str,
    cursor: Option<&str>,
    limit: Option<usize>,
) -> anyhow::Result<Listed> {
    remote.list(&format!("/practices/{}/keys", segment(practice)), &[], cursor, limit)
}

/// Keys of all practices, and whether there are more: one beyond the limit is asked for to know.
fn of_all(remote: &Remote, limit: Option<usize>) -> anyhow::Result<(Vec<Value>, bool)> {
    let mut keys = Vec::new();
    for practice in remote.list("/practices", &[], None, None)?.items {
        let id = practice.get("id").and_then(Value::as_str).unwrap_or_default();
        let left = limit.map(|limit| limit.saturating_add(1).saturating_sub(keys.len()));
        keys.extend(of_practice(remote, id, None, left)?.items);
        if let Some(limit) = limit.filter(|limit| keys.len() > *limit) {
            keys.truncate(limit);
            return Ok((keys, true));
        }
    }
    Ok((keys, false))
}

/// In the store itself: for the day when a key has leaked and the gateway is down.
fn revoke_here(id: &str, config: &std::path::Path) -> anyhow::Result<Answer> {
    let key =
        KeyId::parse(id).map_err(|expected| anyhow!("`{id}` is no id of a key: {expected}"))?;
    let local = Local::sole(&load(config)?, &format!("postern keys revoke {key}"))?;
    Ok(receipt(id, serde_json::to_value(local.revoke_key(key)?)?))
}

/// Since when, and which gateways have said that they know.
fn receipt(id: &str, receipt: Value) -> Answer {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let at = text(receipt.get("revoked_at")).unwrap_or_default();
    let mut rows = vec![vec![format!("{id} is revoked"), at]];
    for node in receipt.get("nodes").and_then(Value::as_array).into_iter().flatten() {
        let name = text(node.get("node")).unwrap_or_default();
        let applied = text(node.get("applied_at"));
        rows.push(vec![
            format!("  {name}"),
            applied.unwrap_or_else(|| "has not said so yet".to_owned()),
        ]);
    }
    let mut text = table(&rows);
    if let Some(replicas) = receipt.get("replicas").filter(|replicas| !replicas.is_null()) {
        let count = |name| replicas.get(name).and_then(Value::as_u64).unwrap_or_default();
        text += &format!("\n  {} of {} replicas have it", count("confirmed"), count("connected"));
    }
    Answer::done(text, receipt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_says_who_knows_and_how_many_replicas_have_it() {
        let nodes = json!([
            { "node": "gw-1", "applied_at": "T1" }, { "node": "gw-22", "applied_at": null },
        ]);
        let of = |replicas: Value| {
            receipt("K1", json!({ "revoked_at": "T0", "nodes": nodes, "replicas": replicas })).text
        };
        let lines = "K1 is revoked  T0\n  gw-1         T1\n  gw-22        has not said so yet";
        assert_eq!(of(Value::Null), lines);
        let behind = of(json!({ "connected": 1, "confirmed": 0 }));
        assert_eq!(behind, format!("{lines}\n  0 of 1 replicas have it"));
    }
}
