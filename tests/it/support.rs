//! What every suite needs: a running gateway, a recording upstream, raw bytes in between.
//!
//! ```text
//! let upstream = Upstream::ok();
//! let gateway = Gateway::over(&upstream).start();
//! gateway.refuses(&upstream, b"GET //x HTTP/1.1\r\n…", 400, "ambiguous_path");
//! ```

pub(crate) mod admin;
pub(crate) mod disk;
pub(crate) mod fixture;
pub(crate) mod gateway;
pub(crate) mod http2;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod nodes;
pub(crate) mod program;
pub(crate) mod records;
pub(crate) mod redis;
pub(crate) mod setup;
pub(crate) mod template;
pub(crate) mod tls;
pub(crate) mod tunnel;
pub(crate) mod upstream;
pub(crate) mod wire;

use std::io::Write;
use std::time::{Duration, Instant};

pub(crate) use fixture::{key, request, vendor_key};
pub(crate) use gateway::Gateway;
pub(crate) use upstream::{Then, Upstream};
pub(crate) use wire::{Answer, Wire};

/// How long anything may take before a test calls it a hang. The machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Polls until the condition holds; panics with its name when it never does.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A measurement for whoever asked for it; seen with `--nocapture`.
pub(crate) fn say(line: &str) {
    drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
}
