//! `postern logs`: access records, followed as they come or exported from their beginning.
//!
//! An answer here may be longer than memory and may have no end, so it is written as it is found.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::output::{Answer, Unread};

mod export;
mod form;
mod past;
mod selection;
mod tail;
mod unshipped;

/// Follow or export access records
#[derive(Debug, Args)]
#[command(
    after_help = "The admin listener is named by POSTERN_ADMIN_URL and opened by POSTERN_ADMIN_TOKEN; POSTERN_ADMIN_CA names
a file with its CA, where that is not the system's.

Examples:
  postern logs tail --key 4fJ2aB9xQ7Lm
  postern logs tail -n 100 --decision deny --json | jq .code
  postern logs export --config postern.yaml --from 2026-11-01T00:00:00Z > november.jsonl
  postern logs export --status 4xx --format csv > refused.csv
  postern logs export --journal /mnt/rescued/journal"
)]
pub(super) struct LogsArgs {
    #[command(subcommand)]
    command: LogsCommand,
}

#[derive(Debug, Subcommand)]
enum LogsCommand {
    /// Show the latest records, and each further one as it comes
    Tail(tail::TailArgs),
    /// Write all records, the oldest first, a JSON document on each line
    Export(export::ExportArgs),
}

pub(super) fn logs(args: LogsArgs) -> anyhow::Result<Answer> {
    let written = match args.command {
        LogsCommand::Tail(args) => tail::tail(&args),
        LogsCommand::Export(args) => export::export(&args),
    };
    match written {
        Err(error) if !error.is::<Unread>() => Err(error),
        Ok(()) | Err(_) => Ok(Answer::done("", Value::Null)),
    }
}
