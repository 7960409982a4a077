//! What this gateway is called among those that share its store.
//!
//! Receipts of revocations name each node, so no two may have one name: the host and the first address that the gateway
//! listens on. It is the same after a restart, and a revocation then waits for nobody who is gone. Where the port is
//! chosen by the system, the number of the process stands in for it.

use std::fs;
use std::process;

use anyhow::Context;

use crate::config::Config;
use crate::model::NodeName;

pub(super) fn name(config: &Config) -> anyhow::Result<NodeName> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let address = config.listen.gateway.first().map(|listener| listener.address);
    let own = match address {
        Some(address) if address.port() != 0 => address.to_string(),
        _ => process::id().to_string(),
    };
    NodeName::parse(&named(&host, &own)).context("this node has no name")
}

fn named(host: &str, own: &str) -> String {
    const LONGEST_HOST: usize = 64;
    let word = |c: char| if c.is_ascii_alphanumeric() || "-.[]".contains(c) { c } else { '.' };
    let host: String = host.trim().chars().take(LONGEST_HOST).map(word).collect();
    let host = if host.is_empty() { "node" } else { &host };
    format!("{host}-{}", own.chars().map(word).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_host_is_called_the_name_is_one() {
        assert_eq!(named("gw-1\n", "10.0.0.1:8080"), "gw-1-10.0.0.1.8080");
        assert_eq!(named("", "[::1]:8080"), "node-[..1].8080");
        for host in ["a b/c:d", "h\u{f6}st", &"x".repeat(300), "\0"] {
            assert!(NodeName::parse(&named(host, "127.0.0.1:1")).is_ok(), "{host}");
        }
    }
}
