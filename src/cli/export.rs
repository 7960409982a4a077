//! `postern export`: what `import` takes, out of a store, without secrets.
//!
//! It reads beside whoever serves the store. Importing the lines elsewhere makes new keys with the same rights: a key that
//! is revoked or over is left out, because its line would bring it back to life.

use clap::Args;

use crate::cli::local::Local;
use crate::cli::output::{Answer, note};
use crate::cli::{ConfigArg, Format, load, local};
use crate::registry::operation::export;

/// Export practices, users, vendors and keys as JSON lines, without secrets
#[derive(Debug, Args)]
#[command(after_help = "Example: postern export --config postern.yaml > practices.jsonl")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn export(args: &ExportArgs) -> anyhow::Result<Answer> {
    let config = load(&args.config.config)?;
    let lines = match Local::reader(&config)? {
        Some(local) => {
            let registry = local.registry();
            let (now, terms) = (registry.now(), registry.terms());
            registry.read(|records| export::lines(records, &terms, now))
        }
        None => {
            note(&format!("the store {} has nothing in it yet", local::named(&config)));
            Vec::new()
        }
    };
    let documents = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(Answer::lines(lines.join("\n"), documents))
}
