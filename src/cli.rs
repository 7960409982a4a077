//! The command line: what can be asked for, and the exit code of each answer.
//!
//! A command computes an `output::Answer` and prints nothing itself, secrets included: they are in an answer, and so on
//! stdout alone. Exit codes: 0 done, 1 refused (the reason is on
//! stderr), 2 usage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand};

use crate::app::{DiskSources, Faults};
use crate::config::Config;
use crate::telemetry::paint::Paint;

mod activity;
mod admins;
mod alerts;
mod backup;
mod callers;
mod check;
mod demo;
mod diff;
mod explain;
mod export;
mod fields;
mod health;
mod import;
mod keys;
mod limits;
mod listing;
mod local;
mod logs;
mod output;
mod practices;
mod remote;
mod routes;
mod schema;
mod serve;
mod url;
mod usage;
mod vendors;
mod words;

/// An authenticating reverse proxy gateway for practice-management systems.
#[derive(Debug, Parser)]
// Not as it was called: every message names `postern`.
#[command(
    name = "postern",
    bin_name = "postern",
    version,
    propagate_version = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  postern check --config postern.yaml
  postern admins create --config postern.yaml --username ana --role operator
  postern import --config postern.yaml --from practices.jsonl
  postern explain --config postern.yaml GET '/v1/patients/7?include=notes' --key 4fJ2aB9xQ7Lm
  postern diff --config new.yaml --against postern.yaml
  postern routes import openapi.yaml > routes/draft.yaml

Exit codes: 0 done, 1 refused (the reason is on stderr), 2 usage.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Diff(diff::DiffArgs),
    Routes(routes::RoutesArgs),
    Admins(admins::AdminsArgs),
    Keys(keys::KeysArgs),
    Vendors(vendors::VendorsArgs),
    Practices(practices::PracticesArgs),
    Import(import::ImportCommand),
    Export(export::ExportArgs),
    Logs(logs::LogsArgs),
    Backup(backup::BackupArgs),
    Schema(schema::SchemaArgs),
    Health(health::HealthArgs),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArg {
    /// The configuration file; relative paths in it are relative to it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// For whom the answer is.
#[derive(Debug, Args)]
struct Format {
    /// Answer as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let paint = Paint::for_stdout();
    let (json, answer) = match cli.command {
        Command::Serve(args) => (false, serve::serve(args)),
        Command::Demo(args) => (false, demo::demo(&args)),
        Command::Check(args) => (args.format.json, check::check(&args, paint)),
        Command::Explain(args) => (args.format.json, explain::explain(&args, paint)),
        Command::Diff(args) => (args.format.json, diff::diff(&args, paint)),
        Command::Routes(args) => (args.json(), routes::routes(&args, paint)),
        Command::Admins(args) => (args.json, admins::admins(args)),
        Command::Keys(args) => (args.json, keys::keys(args)),
        Command::Vendors(args) => (args.json, vendors::vendors(args)),
        Command::Practices(args) => (args.json, practices::practices(args)),
        Command::Import(args) => (args.format.json, import::import(&args.import)),
        Command::Export(args) => (args.format.json, export::export(&args)),
        Command::Logs(args) => (false, logs::logs(args)),
        Command::Backup(args) => (args.format.json, backup::backup(&args)),
        Command::Schema(args) => (false, schema::schema(&args)),
        Command::Health(args) => (args.format.json, health::health(&args)),
    };
    output::finish(answer, json)
}

/// Shows help or what was wrong with the command line.
pub fn show_usage(usage: &clap::Error) -> ExitCode {
    // Nobody is left to tell if even this cannot be printed.
    let _unprintable = usage.print();
    ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2))
}

/// Loads a configuration that a command needs; its faults are the reason for a refusal.
fn load(path: &Path) -> anyhow::Result<Config> {
    Config::load(path, &DiskSources).map_err(|faults| faulty(&Faults(faults)))
}

/// A refusal with every fault on a line of its own.
fn faulty(faults: &Faults) -> anyhow::Error {
    anyhow!("the configuration is faulty\n{faults}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn it_is_postern_whatever_its_file_is_called() {
        let help = Cli::try_parse_from(["pd", "--help"]).unwrap_err().to_string();
        assert!(help.contains("Usage: postern <"), "{help}");
    }
}
