//! `postern check`: every fault of a configuration at once, or a summary of what it says.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::app::serve::Loaded;
use crate::cli::output::Answer;
use crate::cli::words::count;
use crate::cli::{ConfigArg, Format};
use crate::config::{Config, Fault, RedisLayout, StoreAddress};
use crate::model::UpstreamId;
use crate::policy::half_denied::half_denied;
use crate::telemetry::paint::Paint;

/// Check a configuration: every fault at once, each with file, line, column and remedy
#[derive(Debug, Args)]
#[command(after_help = "Example: postern check --config postern.yaml")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn check(args: &CheckArgs, paint: Paint) -> anyhow::Result<Answer> {
    let path = &args.config.config;
    // As `serve` would, up to the moment where sockets are bound: certificates and keys are tried, too.
    Ok(match Loaded::read(path) {
        Ok(loaded) => {
            let summary = Summary::of(loaded.config());
            Answer::done(summary.text(paint), summary.json())
        }
        Err(faults) => {
            let list: Value = faults.0.iter().map(fault_json).collect();
            let reason = || format!("{} in {}", count(faults.0.len(), "fault"), path.display());
            Answer::done(faults.to_string(), json!({ "ok": false, "faults": list }))
                .refused_if(true, reason)
        }
    })
}

fn fault_json(fault: &Fault) -> Value {
    json!({
        "file": &*fault.place.file,
        "line": fault.place.line,
        "column": fault.place.column,
        "message": fault.message,
        "hint": fault.hint,
    })
}

/// What a configuration without faults says, and what deserves a second look.
struct Summary {
    routes: usize,
    apis: usize,
    upstreams: usize,
    files: Vec<PathBuf>,
    notes: Vec<String>,
}

impl Summary {
    fn of(config: &Config) -> Self {
        Self {
            routes: config.policy.table.rules().len(),
            apis: config.apis.len(),
            upstreams: config.upstreams.len(),
            files: config.files.clone(),
            notes: notes(config),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let apis = count(self.apis, "API");
        let mut lines = vec![format!(
            "{}: {}, {apis}, {}, {} read",
            paint.green("ok"),
            count(self.routes, "route"),
            count(self.upstreams, "upstream"),
            count(self.files.len(), "file"),
        )];
        lines.extend(self.notes.iter().map(|note| format!("{}: {note}", paint.yellow("note"))));
        lines.join("\n")
    }

    fn json(&self) -> Value {
        json!({
            "ok": true,
            "faults": [],
            "routes": self.routes,
            "apis": self.apis,
            "upstreams": self.upstreams,
            "files": self.files.iter().map(|file| file.display().to_string()).collect::<Value>(),
            "notes": self.notes,
        })
    }
}

/// Whether what is sent there leaves this machine.
fn is_far(host: &str) -> bool {
    host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What is allowed and yet seldom meant.
fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    for listener in &config.listen.gateway {
        if listener.tls.is_none() && !listener.address.ip().is_loopback() {
            notes.push(format!(
                "the gateway listens on {} without TLS: keys cross the network readable; add `listen.tls` \
                 unless something in front of it speaks TLS",
                listener.address
            ));
        }
    }
    let admin = config.listen.admin;
    if config.listen.admin_tls.is_none() && !admin.ip().is_loopback() {
        notes.push(format!("the admin listener is on {admin} without TLS; add `listen.admin_tls`"));
    }
    for upstream in &config.upstreams {
        let far = upstream.endpoints.iter().find(|to| !to.https && is_far(&to.host));
        if let Some(endpoint) = far {
            notes.push(format!(
                "upstream `{}` is reached at {} without TLS",
                upstream.name,
                endpoint.authority()
            ));
        }
    }
    for (index, upstream) in config.upstreams.iter().enumerate() {
        if !config.apis.iter().any(|api| api.upstream == UpstreamId(index)) {
            notes.push(format!("no API names the upstream `{}`", upstream.name));
        }
    }
    if config.policy.table.rules().is_empty() {
        notes.push("no route is mapped: every request will be refused".into());
    }
    let half = half_denied(&config.policy.table);
    notes.extend(half.iter().map(ToString::to_string));
    if let StoreAddress::Redis(address) = &config.store
        && !address.tls
        && address.servers.iter().any(|(host, _)| is_far(host))
    {
        let scheme = match address.layout {
            RedisLayout::Single => "rediss",
            RedisLayout::Sentinel(_) => "rediss+sentinel",
            RedisLayout::Cluster => "rediss+cluster",
        };
        notes.push(format!("the store is reached without TLS; write it as {scheme}://"));
    }
    notes
}
