//! `postern health`: the container's own healthcheck, one GET with a deadline.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::cli::Format;
use crate::cli::output::Answer;
use crate::cli::url::Endpoint;

mod tls;

/// Ask a running gateway whether it is well; exit 0 if it answers 200
#[derive(Debug, Args)]
#[command(after_help = "Example: HEALTHCHECK CMD [\"postern\", \"health\"]")]
pub(super) struct HealthArgs {
    /// What to ask: an http or https address of the admin listener; its certificate is not checked
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081/healthz", value_parser = Endpoint::parse)]
    url: Endpoint,
    /// How long to wait for each step, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn health(args: &HealthArgs) -> anyhow::Result<Answer> {
    let url = &args.url;
    let status = ask(url, Duration::from_secs(args.timeout))
        .with_context(|| format!("no answer from {url}"))?;
    let ok = status == 200;
    let text = if ok { "healthy".to_owned() } else { String::new() };
    let answer = Answer::done(text, json!({ "ok": ok, "status": status }));
    Ok(answer.refused_if(!ok, || format!("{url} answered {status}")))
}

/// The status of the answer.
fn ask(url: &Endpoint, timeout: Duration) -> anyhow::Result<u16> {
    let stream = connect(&url.authority, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    if url.https { status(url, tls::over(stream, url.host())?) } else { status(url, stream) }
}

/// To the first address of the host that takes us: `localhost` has two, and a listener often one.
fn connect(authority: &str, timeout: Duration) -> anyhow::Result<TcpStream> {
    let mut failure = None;
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.context("the host has no address")?.into())
}

fn status(url: &Endpoint, mut stream: impl Read + Write) -> anyhow::Result<u16> {
    let Endpoint { authority, path, .. } = url;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // `HTTP/1.1 200` is all that matters.
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..));
    let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let Some(status) = status else { bail!("the answer is not HTTP") };
    Ok(status)
}
