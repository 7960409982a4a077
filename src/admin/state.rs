//! What the handlers may reach; built by `app`.

use std::sync::Arc;

use crate::telemetry::{Metrics, Readiness};

/// What the gateway knows of itself.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// Whether it should get requests, and what of its configuration and its upstreams.
    pub readiness: Arc<Readiness>,
    /// What it counted.
    pub metrics: Metrics,
}
