//! Decisions over one immutable snapshot: which rule a request meets, and whether its caller may.
//!
//! Everything below takes values and returns values, so that `serve`, `check`, `explain`, `diff` and the fuzzers run the
//! same code. A request is decided in two steps, because credentials are read between them: [`Policy::find`] says which
//! rule speaks of a target and a method, [`Policy::judge`] says whether a caller meets it.

pub mod condition;
pub mod diff;
mod edges;
pub mod explain;
pub mod half_denied;
pub mod header_name;
pub mod judge;
mod lookalike;
pub mod pattern;
pub mod query;
pub mod rule;
pub mod specificity;
mod spelling;
pub mod table;
pub mod target;

pub use explain::Explanation;
pub use judge::{Admission, Found, Policy};
pub use pattern::Pattern;
pub use rule::{Condition, Effect, Rule, Subject};
pub use table::{Conflict, RouteTable};
pub use target::Target;
