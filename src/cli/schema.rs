//! `postern schema`: the JSON Schema of the configuration or of a route map, for editors.

use clap::Args;

use crate::cli::output::Answer;
use crate::config::schema as schemas;

/// Print the JSON Schema of the configuration, for editors
#[derive(Debug, Args)]
#[command(after_help = "Example: postern schema > postern.schema.json, then in the YAML file:\n  \
    # yaml-language-server: $schema=postern.schema.json")]
pub(super) struct SchemaArgs {
    /// The schema of a route map instead
    #[arg(long)]
    route_map: bool,
}

pub(super) fn schema(args: &SchemaArgs) -> anyhow::Result<Answer> {
    let document = if args.route_map { schemas::route_map() } else { schemas::document() };
    Ok(Answer::done(format!("{document:#}"), document))
}
