//! `postern backup`: a copy of an embedded store, taken beside whoever serves it.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::cli::output::Answer;
use crate::cli::words::count;
use crate::cli::{ConfigArg, Format, load};
use crate::config::StoreAddress;
use crate::store::{Copied, back_up};

/// Copy the embedded store into one file, while the gateway serves
///
/// The file is checked before it gets its name, and nothing is overwritten. The pepper and the sealing key are not in it:
/// keep a copy of `keys.secrets` elsewhere, for without the pepper no key of the backup works. To restore, put the file
/// into an empty directory as postern.db, and let `store` name that directory.
#[derive(Debug, Args)]
#[command(after_help = "Example: postern backup --config postern.yaml --to /backups/2026-11-20.db")]
pub(super) struct BackupArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The file to make; it must not be there yet
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn backup(args: &BackupArgs) -> anyhow::Result<Answer> {
    let config = load(&args.config.config)?;
    let StoreAddress::Embedded(directory) = &config.store else {
        bail!(
            "a Redis store is backed up by Redis' own means: copy its append-only files, or `redis-cli --rdb FILE`"
        );
    };
    let Copied { documents, bytes } = back_up(directory, &args.to)?;
    let (to, secrets) = (args.to.display(), config.keys.secrets.display());
    let documents_found = count(usize::try_from(documents)?, "document");
    let text = format!(
        "{to}: {documents_found}, {bytes} bytes\n\
         The secrets in {secrets} are not in it. Keep a copy of them elsewhere: without the pepper no key works."
    );
    let json = json!({
        "path": args.to,
        "documents": documents,
        "bytes": bytes,
        "secrets": config.keys.secrets,
    });
    Ok(Answer::done(text, json))
}
