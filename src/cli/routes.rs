//! `postern routes`: the route map as a list, drafted from an OpenAPI document, or compared with one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::DiskSources;
use crate::cli::Format;
use crate::cli::output::Answer;
use crate::config::Sources;
use crate::config::draft::draft;
use crate::config::openapi::Document;
use crate::telemetry::paint::Paint;

mod coverage;
mod list;

/// List the route map, draft one from an OpenAPI document, or find what one leaves out
#[derive(Debug, Args)]
pub(super) struct RoutesArgs {
    #[command(subcommand)]
    command: RoutesCommand,
}

#[derive(Debug, Subcommand)]
enum RoutesCommand {
    List(list::ListArgs),
    Import(ImportArgs),
    Coverage(coverage::CoverageArgs),
}

/// An OpenAPI document and where its paths begin.
#[derive(Debug, Args)]
struct DocumentArgs {
    /// An OpenAPI 3.0, 3.1 or Swagger 2 document, JSON or YAML
    #[arg(value_name = "OPENAPI")]
    document: PathBuf,
    /// The path in front of the document's paths, in place of its server's
    #[arg(long, value_name = "PATH", value_parser = mount)]
    mount: Option<String>,
}

/// Draft a route map from an OpenAPI document; what words do not settle is drafted as refused
#[derive(Debug, Args)]
#[command(
    after_help = "Example: postern routes import openapi.yaml --mount /v1 > routes/draft.yaml"
)]
struct ImportArgs {
    #[command(flatten)]
    document: DocumentArgs,
    #[command(flatten)]
    format: Format,
}

impl RoutesArgs {
    pub(super) fn json(&self) -> bool {
        match &self.command {
            RoutesCommand::List(args) => args.format.json,
            RoutesCommand::Import(args) => args.format.json,
            RoutesCommand::Coverage(args) => args.format.json,
        }
    }
}

pub(super) fn routes(args: &RoutesArgs, paint: Paint) -> anyhow::Result<Answer> {
    match &args.command {
        RoutesCommand::List(args) => list::list(args),
        RoutesCommand::Import(args) => import(args),
        RoutesCommand::Coverage(args) => coverage::coverage(args, paint),
    }
}

fn import(args: &ImportArgs) -> anyhow::Result<Answer> {
    let document = args.document.read()?;
    let draft = draft(&document);
    let json = json!({
        "routes": draft.routes,
        "unsure": draft.unsure,
        "notes": draft.notes,
        "route_map": draft.text,
    });
    let is_empty = draft.routes == 0;
    // What does not load is not written where a route map is expected.
    let text = if is_empty { String::new() } else { draft.text };
    let reason = || {
        let nothing = format!("{} has nothing to route", args.document.document.display());
        std::iter::once(nothing).chain(draft.notes).collect::<Vec<_>>().join("\n  ")
    };
    Ok(Answer::done(text, json).refused_if(is_empty, reason))
}

impl DocumentArgs {
    fn read(&self) -> anyhow::Result<Document> {
        let Self { document: path, mount } = self;
        let text = read_text(path)?;
        let document = Document::read(&text, mount.as_deref());
        document.map_err(|reason| anyhow!("{} {reason}", path.display()))
    }
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let bytes = DiskSources.read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!("there is no file {}", path.display()),
        ErrorKind::PermissionDenied => anyhow!("cannot read {}: permission denied", path.display()),
        _ => anyhow!("cannot read {}: {error}", path.display()),
    })?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", path.display()))
}

fn mount(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && !text.contains(['?', '#', '{', '*']);
    if is_path { Ok(text.to_owned()) } else { Err("must be a path such as /v1".into()) }
}
