//! Whether the gateway can take requests, and why: what `/readyz` says.
//!
//! Written by `app` as things happen, read by the admin listener at any time. A rejected reload is told here and changes
//! nothing else: the configuration before it still runs, so the gateway stays ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use serde::Serialize;

/// The health of one upstream endpoint, as `/readyz` and `/metrics` tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointHealth {
    pub upstream: String,
    pub url: String,
    pub healthy: bool,
}

/// How the last attempt to take a configuration ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum ConfigStatus {
    /// What is on the disk is what runs.
    Current { generation: u64 },
    /// What is on the disk was refused; `generation` still runs.
    Rejected { generation: u64, error: String },
}

/// What is known of keys, and whether that is new enough to serve by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RegistryStatus {
    pub status: Freshness,
    /// How many changes the node has applied.
    pub position: u64,
    /// For how long the store has been out of reach, in whole seconds.
    pub staleness_seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    Current,
    /// The store was out of reach for longer than `proxy.max_staleness`.
    Stale,
}

/// One answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub status: &'static str,
    pub draining: bool,
    pub config: ConfigStatus,
    pub registry: RegistryStatus,
    pub upstreams: Vec<EndpointHealth>,
    pub gateway: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

impl Report {
    pub fn is_ready(&self) -> bool {
        !self.draining && self.registry.status == Freshness::Current
    }
}

/// Where the health of the upstreams is asked: `app` gives a closure over the running snapshot.
pub type HealthSource = Arc<dyn Fn() -> Vec<EndpointHealth> + Send + Sync>;

/// Where the standing of the registry is asked.
pub type RegistrySource = Arc<dyn Fn() -> RegistryStatus + Send + Sync>;

/// The live state behind [`Report`].
pub struct Readiness {
    draining: AtomicBool,
    config: ArcSwap<ConfigStatus>,
    addresses: ArcSwap<Addresses>,
    upstreams: HealthSource,
    registry: RegistrySource,
}

#[derive(Clone, Debug, Default)]
struct Addresses {
    gateway: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readiness").field("report", &self.report()).finish()
    }
}

impl Readiness {
    pub fn new(generation: u64, upstreams: HealthSource, registry: RegistrySource) -> Self {
        Self {
            draining: AtomicBool::new(false),
            config: ArcSwap::from_pointee(ConfigStatus::Current { generation }),
            addresses: ArcSwap::default(),
            upstreams,
            registry,
        }
    }

    /// Says where the listeners really are, which matters where the configuration asks for port 0.
    pub fn listening(&self, gateway: Vec<SocketAddr>, admin: SocketAddr) {
        self.addresses.store(Arc::new(Addresses { gateway, admin: Some(admin) }));
    }

    /// From here on the gateway takes no new work.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub fn config(&self, status: ConfigStatus) {
        self.config.store(Arc::new(status));
    }

    pub fn report(&self) -> Report {
        let draining = self.draining.load(Ordering::Acquire);
        let registry = (self.registry)();
        let addresses = self.addresses.load();
        let status = match (draining, registry.status) {
            (true, _) => "draining",
            (false, Freshness::Stale) => "stale",
            (false, Freshness::Current) => "ready",
        };
        Report {
            status,
            draining,
            config: ConfigStatus::clone(&self.config.load()),
            registry,
            upstreams: (self.upstreams)(),
            gateway: addresses.gateway.clone(),
            admin: addresses.admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness() -> Readiness {
        knowing(Freshness::Current)
    }

    fn knowing(status: Freshness) -> Readiness {
        let health = EndpointHealth {
            upstream: "practice".into(),
            url: "http://127.0.0.1:9000".into(),
            healthy: true,
        };
        let registry = RegistryStatus { status, position: 7, staleness_seconds: 0 };
        Readiness::new(1, Arc::new(move || vec![health.clone()]), Arc::new(move || registry))
    }

    #[test]
    fn a_rejected_configuration_is_told_and_leaves_the_gateway_ready() {
        let readiness = readiness();
        let error = "postern.yaml:3:1: unknown field".to_owned();
        readiness.config(ConfigStatus::Rejected { generation: 1, error });
        let report = readiness.report();
        assert!(report.is_ready());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["config"],
            serde_json::json!({
                "status": "rejected", "generation": 1, "error": "postern.yaml:3:1: unknown field",
            })
        );
        assert_eq!(json["upstreams"][0]["healthy"], true);
    }

    #[test]
    fn a_draining_gateway_is_not_ready() {
        let readiness = readiness();
        readiness.begin_drain();
        assert!(!readiness.report().is_ready());
        assert_eq!(readiness.report().status, "draining");
    }

    #[test]
    fn a_gateway_that_does_not_know_its_keys_is_not_ready() {
        let report = knowing(Freshness::Stale).report();
        assert!(!report.is_ready());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["status"], &json["registry"]["status"]),
            (&"stale".into(), &"stale".into())
        );
        assert_eq!(json["registry"]["position"], 7);
    }
}
