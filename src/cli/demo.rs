//! `postern demo`: the gateway in front of a sample practice system, with the curl lines to try.

use std::net::SocketAddr;

use clap::Args;
use serde_json::Value;

use crate::cli::output::Answer;
use crate::demo::{DemoOptions, run};

/// Run a sample practice system with the gateway in front of it, ready to be tried with curl
#[derive(Debug, Args)]
#[command(after_help = "Example: postern demo")]
pub(super) struct DemoArgs {
    /// Where integrations call
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    gateway: SocketAddr,
    /// Where the admin listener is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
}

pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<Answer> {
    run(DemoOptions { gateway: args.gateway, admin: args.admin })?;
    Ok(Answer::done("", Value::Null))
}
