//! `postern serve`: the gateway and its admin listener, until told to stop.

use clap::Args;
use serde_json::Value;

use crate::app::Faults;
use crate::app::serve::{ServeOptions, run};
use crate::cli::output::Answer;
use crate::cli::{ConfigArg, faulty};

/// Run the gateway and the admin listener
#[derive(Debug, Args)]
#[command(
    after_help = "SIGTERM and SIGINT drain: what is in flight is finished, then the exit code is 0.
SIGHUP reloads the configuration, as does saving one of its files.

Example: postern serve --config postern.yaml"
)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn serve(args: ServeArgs) -> anyhow::Result<Answer> {
    run(ServeOptions { config: args.config.config }).map_err(|error| {
        match error.downcast::<Faults>() {
            Ok(faults) => faulty(&faults),
            Err(error) => error,
        }
    })?;
    Ok(Answer::done("", Value::Null))
}
