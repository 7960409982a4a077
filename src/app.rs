//! The composition root: where the parts are put together, and the only place that knows them all.
//!
//! A gateway has four moments: it is loaded (files are read), opened (its vault and store are its own, its keys known),
//! bound (sockets listen, nothing is served) and serving, until it is told to stop. A configuration with a fault never
//! gets past the first, and nobody is let in before the keys are known.

use std::fmt;

use crate::config::Fault;

mod concerns;
mod descriptors;
mod drain;
mod limits;
mod node;
mod records;
pub mod reload;
pub mod serve;
pub mod signals;
pub mod sources;
mod watch;
mod workers;

pub use sources::DiskSources;

/// Everything that is wrong with a configuration, a line each: `FILE:LINE:COL: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
