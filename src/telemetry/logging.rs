//! The process log on stderr: for people on a terminal, JSON lines elsewhere.
//!
//! `POSTERN_LOG` chooses the level (`error warn info debug trace`, or directives such as `postern::proxy=debug`). Only
//! Postern's own events are ever written: the libraries below trace whole headers at their finest level, and a header
//! may be a key.

use std::io::{self, IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that chooses the level.
pub const LEVEL_VARIABLE: &str = "POSTERN_LOG";

/// Starts the log, with `default` where `POSTERN_LOG` says nothing. Only the first call of a process has an effect.
pub fn init(default: &str) {
    let asked = std::env::var(LEVEL_VARIABLE).ok().filter(|text| !text.is_empty());
    let (filter, fault) = match EnvFilter::try_new(asked.as_deref().unwrap_or(default)) {
        Ok(filter) => (filter, None),
        Err(fault) => (EnvFilter::new(default), Some(fault)),
    };
    let lines = if stderr().is_terminal() {
        tracing_subscriber::fmt::layer().with_writer(stderr as fn() -> io::Stderr).boxed()
    } else {
        tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(stderr as fn() -> io::Stderr)
            .boxed()
    };
    let ours = filter_fn(|metadata| metadata.target().starts_with("postern"));
    let started =
        tracing_subscriber::registry().with(filter).with(lines.with_filter(ours)).try_init();
    if let (Ok(()), Some(fault)) = (started, fault) {
        tracing::warn!(%fault, using = default, "{LEVEL_VARIABLE} cannot be read");
    }
}
