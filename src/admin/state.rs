//! What the handlers may reach; built by `app`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::config::Config;
use crate::history::History;
use crate::limits::Overview;
use crate::model::{KeyId, PracticeId, VendorId};
use crate::registry::{Registry, View};
use crate::telemetry::{Metrics, Readiness};

/// Shows the running configuration together with the view that was compiled for it. `app` gives a closure over the
/// proxy's snapshot: one load, so that the two belong together.
pub type Running = Arc<dyn Fn(&mut dyn FnMut(&Config, &View)) + Send + Sync>;

/// Whose limits are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limited {
    Key(KeyId),
    Vendor(VendorId),
    Practice(PracticeId),
}

/// Says what is left of limits; None only where the gateway is ending.
pub type LimitsSource =
    Arc<dyn Fn(Limited) -> Pin<Box<dyn Future<Output = Option<Overview>> + Send>> + Send + Sync>;

/// What the gateway knows of itself, and what of it may be changed.
#[derive(Clone)]
pub struct AdminState {
    /// Whether it should get requests, and what of its configuration and its upstreams.
    pub readiness: Arc<Readiness>,
    /// What it counted.
    pub metrics: Metrics,
    /// Practices, vendors, keys and administrators.
    pub registry: Arc<Registry>,
    /// Access records and what they add up to.
    pub history: Arc<History>,
    /// For the live route map and for explaining decisions.
    pub running: Running,
    /// What is left of limits.
    pub limits: LimitsSource,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").field("registry", &self.registry).finish_non_exhaustive()
    }
}
