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

/// Whether access records can be kept, and whether they get away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalStatus {
    pub status: Writing,
    /// Records that are not in the store yet.
    pub waiting: u64,
    pub oldest_waiting_seconds: u64,
    pub disk_used: u64,
    pub disk_max: u64,
    pub shipping: Shipping,
    /// Whether nothing is served while no record can be kept.
    #[serde(skip)]
    pub is_required: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Writing {
    #[default]
    Writing,
    /// No record can be begun: `log.max_disk` or the disk is at its end.
    Full,
    /// The disk does not do what it is told.
    Failing,
}

/// Whether the store takes records. Where it does not they wait, and the gateway serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Shipping {
    #[default]
    Current,
    Failing {
        seconds: u64,
        error: String,
    },
}

impl JournalStatus {
    /// Whether requests are refused for want of a record.
    fn refuses(&self) -> bool {
        self.is_required && self.status != Writing::Writing
    }
}

/// How limits are counted, where gateways share a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LimitsStatus {
    /// All of this gateway's workers count in the store; else it counts alone, or refuses: `limits.store_down`.
    pub shared: bool,
}

/// What stores say endangers what they keep. It stops nothing: people are to see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreStatus {
    /// In sentences that say what to do.
    pub concerns: Vec<String>,
}

/// One answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub status: &'static str,
    pub draining: bool,
    pub config: ConfigStatus,
    pub registry: RegistryStatus,
    pub journal: JournalStatus,
    pub store: StoreStatus,
    /// None where no store is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsStatus>,
    pub upstreams: Vec<EndpointHealth>,
    pub gateway: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

impl Report {
    pub fn is_ready(&self) -> bool {
        !self.draining && self.registry.status == Freshness::Current && !self.journal.refuses()
    }
}

/// Where the health of the upstreams is asked: `app` gives a closure over the running snapshot.
pub type HealthSource = Arc<dyn Fn() -> Vec<EndpointHealth> + Send + Sync>;

/// Where the standing of the registry is asked.
pub type RegistrySource = Arc<dyn Fn() -> RegistryStatus + Send + Sync>;

/// Where the standing of the journal is asked.
pub type JournalSource = Arc<dyn Fn() -> JournalStatus + Send + Sync>;

/// Where it is asked what stores are concerned about.
pub type StoreSource = Arc<dyn Fn() -> StoreStatus + Send + Sync>;

/// Where it is asked whether limits are shared.
pub type LimitsSource = Arc<dyn Fn() -> Option<LimitsStatus> + Send + Sync>;

/// The live state behind [`Report`].
pub struct Readiness {
    draining: AtomicBool,
    config: ArcSwap<ConfigStatus>,
    addresses: ArcSwap<Addresses>,
    upstreams: HealthSource,
    registry: RegistrySource,
    journal: JournalSource,
    store: StoreSource,
    limits: LimitsSource,
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
    pub fn new(
        generation: u64,
        upstreams: HealthSource,
        registry: RegistrySource,
        journal: JournalSource,
        store: StoreSource,
        limits: LimitsSource,
    ) -> Self {
        Self {
            draining: AtomicBool::new(false),
            config: ArcSwap::from_pointee(ConfigStatus::Current { generation }),
            addresses: ArcSwap::default(),
            upstreams,
            registry,
            journal,
            store,
            limits,
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
        let (registry, journal) = ((self.registry)(), (self.journal)());
        let addresses = self.addresses.load();
        let status = match (draining, registry.status) {
            (true, _) => "draining",
            (false, Freshness::Stale) => "stale",
            (false, Freshness::Current) if journal.refuses() => "log_unavailable",
            (false, Freshness::Current) => "ready",
        };
        Report {
            status,
            draining,
            config: ConfigStatus::clone(&self.config.load()),
            registry,
            journal,
            store: (self.store)(),
            limits: (self.limits)(),
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
        with(status, writing())
    }

    fn writing() -> JournalStatus {
        JournalStatus {
            status: Writing::Writing,
            waiting: 3,
            oldest_waiting_seconds: 2,
            disk_used: 10,
            disk_max: 100,
            shipping: Shipping::Current,
            is_required: true,
        }
    }

    fn with(status: Freshness, journal: JournalStatus) -> Readiness {
        sharing(status, journal, None)
    }

    fn sharing(
        status: Freshness,
        journal: JournalStatus,
        limits: Option<LimitsStatus>,
    ) -> Readiness {
        let health = EndpointHealth {
            upstream: "practice".into(),
            url: "http://127.0.0.1:9000".into(),
            healthy: true,
        };
        let registry = RegistryStatus { status, position: 7, staleness_seconds: 0 };
        let upstreams: HealthSource = Arc::new(move || vec![health.clone()]);
        let journal: JournalSource = Arc::new(move || journal.clone());
        let store: StoreSource =
            Arc::new(|| StoreStatus { concerns: vec!["it forgets".to_owned()] });
        let registry = Arc::new(move || registry);
        Readiness::new(1, upstreams, registry, journal, store, Arc::new(move || limits))
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

    #[test]
    fn a_gateway_that_refuses_for_want_of_records_is_not_ready() {
        for status in [Writing::Full, Writing::Failing] {
            let report = with(Freshness::Current, JournalStatus { status, ..writing() }).report();
            assert!(!report.is_ready());
            assert_eq!(report.status, "log_unavailable");
            let serving = JournalStatus { status, is_required: false, ..writing() };
            assert!(with(Freshness::Current, serving).report().is_ready());
        }
    }

    #[test]
    fn a_store_that_takes_no_records_is_told_and_stops_nothing() {
        let shipping = Shipping::Failing { seconds: 7, error: "it is away".into() };
        let report = with(Freshness::Current, JournalStatus { shipping, ..writing() }).report();
        assert!(report.is_ready());
        assert_eq!(
            serde_json::to_value(&report.journal).unwrap(),
            serde_json::json!({
                "status": "writing", "waiting": 3, "oldest_waiting_seconds": 2,
                "disk_used": 10, "disk_max": 100,
                "shipping": { "status": "failing", "seconds": 7, "error": "it is away" },
            })
        );
    }

    #[test]
    fn what_a_store_is_concerned_about_is_told_and_stops_nothing() {
        let report = readiness().report();
        assert!(report.is_ready());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["store"], serde_json::json!({ "concerns": ["it forgets"] }));
    }

    #[test]
    fn limits_are_told_where_they_are_shared_and_stop_nothing() {
        let told = |limits| {
            let report = sharing(Freshness::Current, writing(), limits).report();
            assert!(report.is_ready());
            serde_json::to_value(&report).unwrap().get("limits").cloned()
        };
        assert_eq!(told(None), None);
        for shared in [true, false] {
            let wanted = serde_json::json!({ "shared": shared });
            assert_eq!(told(Some(LimitsStatus { shared })), Some(wanted));
        }
    }
}
