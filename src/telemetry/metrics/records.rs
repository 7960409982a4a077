//! What is told of access records: how many were begun, how many wait, whether they reach the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::telemetry::metrics::{count, gauge};

/// The journal and the shipper at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordFigures {
    pub begun: u64,
    pub completed: u64,
    pub shipped: u64,
    /// Complete, and not in the store yet.
    pub waiting: u64,
    /// For how long the oldest of them has been.
    pub oldest_waiting: Option<Duration>,
    /// Of whatever had no place: those that were refused for it, and those that were served without a record.
    pub without_a_place: u64,
    pub disk_used: u64,
    pub disk_max: u64,
    pub is_full: bool,
    pub is_failing: bool,
    pub is_shipping_failing: bool,
    pub rewinds: u64,
    pub gone: u64,
    pub held_back: u64,
}

pub type RecordSource = Arc<dyn Fn() -> RecordFigures + Send + Sync>;

/// `unrecorded` is what the workers served without a record.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    figures: &RecordFigures,
    unrecorded: u64,
) -> fmt::Result {
    let counters = [
        ("records_begun", "Access records begun", figures.begun),
        ("records_completed", "Access records completed", figures.completed),
        ("records_shipped", "Access records that the store confirmed", figures.shipped),
        (
            "records_refused",
            "Requests refused because no record of them could be begun",
            figures.without_a_place.saturating_sub(unrecorded),
        ),
        (
            "records_unrecorded",
            "Requests served although no record of them could be begun (log.on_failure: serve)",
            unrecorded,
        ),
        (
            "records_gone",
            "Access records that the store lacks and the journal has no more",
            figures.gone,
        ),
        (
            "shipping_rewinds",
            "Times that the store came back with fewer access records than it had confirmed",
            figures.rewinds,
        ),
    ];
    for (name, help, value) in counters {
        count(encoder.encode_descriptor(name, help, None, MetricType::Counter)?, value)?;
    }
    let gauges = [
        ("records_waiting", "Access records that are not in the store yet", None, figures.waiting),
        (
            "records_held_back",
            "Records older than log.retention that a consumer group has not confirmed",
            None,
            figures.held_back,
        ),
        ("journal_disk", "What the journal takes", Some(Unit::Bytes), figures.disk_used),
        ("journal_disk_max", "What the journal may take", Some(Unit::Bytes), figures.disk_max),
        ("journal_full", "Whether no access record can be begun", None, u64::from(figures.is_full)),
        (
            "journal_failing",
            "Whether the journal could not be forced to disk the last time",
            None,
            u64::from(figures.is_failing),
        ),
        (
            "shipping_failing",
            "Whether the store takes no access records",
            None,
            u64::from(figures.is_shipping_failing),
        ),
    ];
    for (name, help, unit, value) in gauges {
        gauge(encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?, value)?;
    }
    let help = "For how long the oldest access record has been waiting for the store";
    let unit = Unit::Seconds;
    let oldest = encoder.encode_descriptor(
        "records_oldest_waiting",
        help,
        Some(&unit),
        MetricType::Gauge,
    )?;
    ConstGauge::new(figures.oldest_waiting.unwrap_or_default().as_secs_f64()).encode(oldest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn records_are_told_where_there_is_a_journal() {
        let metrics = Metrics::default();
        assert!(!metrics.render().contains("postern_records"));
        let figures = RecordFigures {
            begun: 11,
            completed: 10,
            shipped: 7,
            waiting: 3,
            oldest_waiting: Some(Duration::from_millis(1500)),
            without_a_place: 6,
            disk_used: 64,
            disk_max: 1024,
            is_full: true,
            is_failing: false,
            is_shipping_failing: true,
            rewinds: 1,
            gone: 2,
            held_back: 5,
        };
        metrics.records(Arc::new(move || figures));
        metrics.worker().unrecorded(1);
        metrics.worker().unrecorded(1);
        let text = metrics.render();
        for line in [
            "postern_records_begun_total 11",
            "postern_records_completed_total 10",
            "postern_records_shipped_total 7",
            "postern_records_waiting 3",
            "postern_records_oldest_waiting_seconds 1.5",
            "postern_records_refused_total 4",
            "postern_records_unrecorded_total 2",
            "postern_journal_disk_bytes 64",
            "postern_journal_disk_max_bytes 1024",
            "postern_journal_full 1",
            "postern_journal_failing 0",
            "postern_shipping_failing 1",
            "postern_shipping_rewinds_total 1",
            "postern_records_gone_total 2",
            "postern_records_held_back 5",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }
}
