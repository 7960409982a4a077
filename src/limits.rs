//! How often what may be called, and what is left: the limits of requests that were found to be allowed.
//!
//! One request is held against all its limits at once (its key's, its vendor's, its practice's, those of the categories it
//! touches, the day's quotas, how many run), and takes from all of them or from none: a refusal costs nothing. What is
//! counted lies in [`Limiter`], shared by all workers and kept through reloads; what it is held against is a [`Plan`], one
//! for each configuration. Where nodes share a Redis they count there together ([`shared`]), and what this node knows of
//! it is what it goes on with while Redis is away.
//!
//! The arithmetic is GCRA, as `governor` has it: [`bucket`] says how.

pub mod bucket;
pub mod limiter;
pub mod plan;
mod rows;
pub mod shared;
mod sources;
pub mod standing;
pub mod told;

pub use limiter::{Charge, Limiter, Spent, Verdict};
pub use plan::Plan;
pub use standing::{Standing, Standings};
pub use told::Overview;
