//! Every metric of the process, and the only file with metric names.
//!
//! Each worker writes its own [`WorkerCells`]; they are summed when somebody reads. All label sets are bounded: statuses,
//! decisions and codes come from fixed lists, endpoints from the configuration.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::telemetry::readiness::HealthSource;

mod cells;
mod records;

pub use cells::WorkerCells;
pub use records::{RecordFigures, RecordSource};

/// How an attempt to take a new configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    Applied,
    Rejected,
}

impl ReloadOutcome {
    const ALL: [Self; 2] = [Self::Applied, Self::Rejected];

    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
        }
    }
}

/// What is told of the registry and of those who ask it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistryFigures {
    pub position: u64,
    pub staleness_seconds: u64,
    pub argon2_runs: u64,
}

pub type FiguresSource = Arc<dyn Fn() -> RegistryFigures + Send + Sync>;

/// What is counted of one process.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<State>);

#[derive(Default)]
struct State {
    /// Guards the list alone, held for a push or a copy: workers write to their cells without it.
    workers: Mutex<Vec<Arc<WorkerCells>>>,
    reloads: [AtomicU64; ReloadOutcome::ALL.len()],
    generation: AtomicU64,
    started: AtomicU64,
    upstreams: Mutex<Option<HealthSource>>,
    registry: Mutex<Option<FiguresSource>>,
    records: Mutex<Option<RecordSource>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Metrics {
    /// The content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The cells of one more worker.
    pub fn worker(&self) -> Arc<WorkerCells> {
        let cells = Arc::new(WorkerCells::default());
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&cells));
        cells
    }

    pub fn reload(&self, outcome: ReloadOutcome) {
        if let Some(cell) = self.0.reloads.get(outcome as usize) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The configuration that runs, counted from 1.
    pub fn generation(&self, generation: u64) {
        self.0.generation.store(generation, Ordering::Relaxed);
    }

    pub fn started(&self, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.0.started.store(seconds, Ordering::Relaxed);
    }

    /// Where the health of the upstreams is asked at each reading.
    pub fn upstreams(&self, source: HealthSource) {
        *self.0.upstreams.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Where the figures of the registry are asked at each reading.
    pub fn registry(&self, source: FiguresSource) {
        *self.0.registry.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Where the figures of access records are asked at each reading.
    pub fn records(&self, source: RecordSource) {
        *self.0.records.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Whether every worker counts limits together with the other nodes.
    pub fn are_limits_shared(&self) -> bool {
        cells::are_limits_shared(&self.0.workers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The OpenMetrics text of everything, which Prometheus reads.
    pub fn render(&self) -> String {
        let mut registry = Registry::with_prefix("postern");
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::with_capacity(4096);
        // Writing to a String cannot fail; a collector that did would leave a text without its `# EOF`.
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            tracing::error!(%error, "the metrics could not be written");
        }
        text
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let workers = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let totals = cells::Totals::of(&workers);
        encode_traffic(&mut encoder, &totals)?;
        encode_limits(&mut encoder, &totals)?;
        let figures = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(ask) = figures {
            encode_registry(&mut encoder, ask())?;
        }
        let figures = self.0.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(ask) = figures {
            records::encode(&mut encoder, &ask(), totals.unrecorded)?;
        }
        self.encode_process(&mut encoder)
    }
}

impl Metrics {
    fn encode_process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Attempts to take a new configuration, by outcome";
        let mut reloads =
            encoder.encode_descriptor("config_reloads", help, None, MetricType::Counter)?;
        for (outcome, cell) in ReloadOutcome::ALL.iter().zip(&self.0.reloads) {
            let labels = [("outcome", outcome.name())];
            count(reloads.encode_family(&labels)?, cell.load(Ordering::Relaxed))?;
        }

        let help = "The configuration that runs, counted from 1";
        let generation = self.0.generation.load(Ordering::Relaxed);
        gauge(
            encoder.encode_descriptor("config_generation", help, None, MetricType::Gauge)?,
            generation,
        )?;

        let help = "Whether an upstream endpoint is taken for healthy";
        let mut health =
            encoder.encode_descriptor("upstream_healthy", help, None, MetricType::Gauge)?;
        let source = self.0.upstreams.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for endpoint in source.map(|ask| ask()).unwrap_or_default() {
            let labels = [("upstream", endpoint.upstream), ("endpoint", endpoint.url)];
            gauge(health.encode_family(&labels)?, u64::from(endpoint.healthy))?;
        }

        let help = "When the process started, as a Unix time";
        let started = self.0.started.load(Ordering::Relaxed);
        let unit = Unit::Seconds;
        let gauge_of_start =
            encoder.encode_descriptor("start_time", help, Some(&unit), MetricType::Gauge)?;
        gauge(gauge_of_start, started)?;

        let help = "The version that runs";
        let mut build = encoder.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
        gauge(build.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?, 1)
    }
}

fn encode_traffic(encoder: &mut DescriptorEncoder<'_>, totals: &cells::Totals) -> fmt::Result {
    let help = "Requests answered, by decision and status";
    let mut requests = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for (decision, status, answered) in totals.requests() {
        let labels = [("decision", decision), ("status", status.as_str())];
        count(requests.encode_family(&labels)?, answered)?;
    }

    let help = "Requests that ended in an error of the gateway's own, by its code";
    let mut refusals = encoder.encode_descriptor("refusals", help, None, MetricType::Counter)?;
    for (code, refused) in totals.refusals() {
        count(refusals.encode_family(&[("code", code)])?, refused)?;
    }

    let help = "Connections of callers that are open";
    let open = totals.connections_opened.saturating_sub(totals.connections_closed);
    gauge(encoder.encode_descriptor("connections_open", help, None, MetricType::Gauge)?, open)?;

    let help = "Connections of callers that were opened";
    let opened = encoder.encode_descriptor("connections", help, None, MetricType::Counter)?;
    count(opened, totals.connections_opened)
}

fn encode_limits(encoder: &mut DescriptorEncoder<'_>, totals: &cells::Totals) -> fmt::Result {
    let help = "Requests that a limit refused, by the limit";
    let mut limited =
        encoder.encode_descriptor("limit_refusals", help, None, MetricType::Counter)?;
    for (limit, refused) in totals.limited() {
        count(limited.encode_family(&[("limit", limit)])?, refused)?;
    }

    let help = "Requests that a limit would have refused, had it not been set to observe";
    let mut observed =
        encoder.encode_descriptor("limit_observed", help, None, MetricType::Counter)?;
    for (limit, seen) in totals.observed() {
        count(observed.encode_family(&[("limit", limit)])?, seen)?;
    }

    let help = "Whether all workers count limits together with other nodes; \
                0 where no store is shared, or while it is out of reach";
    let shared = encoder.encode_descriptor("limits_shared", help, None, MetricType::Gauge)?;
    gauge(shared, totals.are_limits_shared.into())?;

    let help = "Requests whose limits should have been shared, and were decided by this node alone";
    let alone =
        encoder.encode_descriptor("limits_decided_alone", help, None, MetricType::Counter)?;
    count(alone, totals.limits_alone)
}

fn encode_registry(encoder: &mut DescriptorEncoder<'_>, figures: RegistryFigures) -> fmt::Result {
    let help = "Changes of the registry that this node has applied";
    let position = encoder.encode_descriptor("registry_position", help, None, MetricType::Gauge)?;
    gauge(position, figures.position)?;

    let help = "For how long the store has been out of reach";
    let unit = Unit::Seconds;
    let staleness =
        encoder.encode_descriptor("registry_staleness", help, Some(&unit), MetricType::Gauge)?;
    gauge(staleness, figures.staleness_seconds)?;

    let help = "Runs of argon2 for presented keys: one for each key that is used, and process";
    let runs = encoder.encode_descriptor("argon2_runs", help, None, MetricType::Counter)?;
    count(runs, figures.argon2_runs)
}

fn count(encoder: MetricEncoder<'_>, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder)
}

fn gauge(encoder: MetricEncoder<'_>, value: u64) -> fmt::Result {
    ConstGauge::new(value).encode(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LimitKind, Overrun, Refusal};
    use crate::telemetry::readiness::EndpointHealth;

    #[test]
    fn cells_of_all_workers_are_summed() {
        let metrics = Metrics::default();
        let (first, second) = (metrics.worker(), metrics.worker());
        first.connection_opened();
        second.connection_opened();
        second.connection_closed();
        first.request(200, "");
        second.request(200, "");
        second.request(403, "permission_denied");
        second.request(502, "upstream_unreachable");
        let text = metrics.render();
        for line in [
            r#"postern_requests_total{decision="allow",status="200"} 2"#,
            r#"postern_requests_total{decision="deny",status="403"} 1"#,
            r#"postern_requests_total{decision="allow",status="502"} 1"#,
            r#"postern_refusals_total{code="permission_denied"} 1"#,
            r#"postern_refusals_total{code="upstream_unreachable"} 1"#,
            r#"postern_refusals_total{code="route_unmapped"} 0"#,
            "postern_connections_total 2",
            "postern_connections_open 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn reloads_and_upstreams_are_told() {
        let metrics = Metrics::default();
        metrics.generation(3);
        metrics.reload(ReloadOutcome::Applied);
        metrics.reload(ReloadOutcome::Rejected);
        metrics.reload(ReloadOutcome::Rejected);
        metrics.upstreams(Arc::new(|| {
            vec![EndpointHealth {
                upstream: "practice".into(),
                url: "http://127.0.0.1:9000".into(),
                healthy: false,
            }]
        }));
        let text = metrics.render();
        for line in [
            r#"postern_config_reloads_total{outcome="applied"} 1"#,
            r#"postern_config_reloads_total{outcome="rejected"} 2"#,
            "postern_config_generation 3",
            r#"postern_upstream_healthy{upstream="practice",endpoint="http://127.0.0.1:9000"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn limits_are_told_by_name_and_shared_only_where_every_worker_shares() {
        let metrics = Metrics::default();
        assert!(!metrics.are_limits_shared(), "nobody serves");
        let (first, second) = (metrics.worker(), metrics.worker());
        let over = |kind| {
            Refusal::RateLimited(Box::new(Overrun {
                kind,
                limit: "category:files".into(),
                allowed: "1/s".into(),
                burst: None,
                cost: 1,
                wait: None,
            }))
        };
        first.limit_refused(&over(LimitKind::Category(3)));
        second.limit_refused(&over(LimitKind::Category(0)));
        second.limit_refused(&Refusal::LimitsUnavailable);
        second.limit_observed(&over(LimitKind::FailedAuth));
        first.limits_alone();
        first.limits_shared(true);
        assert!(!metrics.are_limits_shared(), "one of two");
        let has = |line: &str| metrics.render().lines().any(|found| found == line);
        assert!(has(r#"postern_limit_refusals_total{limit="category"} 2"#), "{}", metrics.render());
        assert!(has(r#"postern_limit_refusals_total{limit="key"} 0"#));
        assert!(has(r#"postern_limit_observed_total{limit="failed_auth"} 1"#));
        assert!(has("postern_limits_decided_alone_total 1") && has("postern_limits_shared 0"));
        second.limits_shared(true);
        assert!(metrics.are_limits_shared() && has("postern_limits_shared 1"));
    }

    #[test]
    fn the_registry_is_told_where_there_is_one() {
        let metrics = Metrics::default();
        assert!(!metrics.render().contains("postern_registry_position"));
        let figures = RegistryFigures { position: 7, staleness_seconds: 2, argon2_runs: 5 };
        metrics.registry(Arc::new(move || figures));
        let text = metrics.render();
        for line in [
            "postern_registry_position 7",
            "postern_registry_staleness_seconds 2",
            "postern_argon2_runs_total 5",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }
}
