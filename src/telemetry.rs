//! What the gateway says of itself: logs, metrics, readiness.
//!
//! The data plane writes here and knows nobody who reads; the admin listener reads here and knows nobody who writes.

pub mod clock;
pub mod logging;
pub mod metrics;
pub(crate) mod paint;
pub mod readiness;

pub use metrics::Metrics;
pub use readiness::{EndpointHealth, Readiness};
