//! What the handlers may reach; built by `app`.

use std::sync::Arc;

use crate::telemetry::{Metrics, Readiness};

#[derive(Clone, Debug)]
pub struct AdminState {
    pub readiness: Arc<Readiness>,
    pub metrics: Metrics,
}
