//! The data plane: a thread a core, each with its own listeners, connections and pools; nothing shared that is written.
//!
//! A connection is accepted (`listener`), given a seat (`seats`), its bytes are watched (`guard`, `pulse`), its requests
//! are screened and judged (`head`, `handle`) and forwarded (`forward`, `upstream`) or refused (`respond`).

pub mod body;
mod certificate;
mod client_address;
mod connection;
pub(crate) mod cors;
mod discretion;
pub(crate) mod facts;
pub mod forward;
mod guard;
mod handle;
pub(crate) mod head;
pub(crate) mod limiting;
mod listener;
mod open;
mod pem;
mod precedence;
mod pulse;
pub(crate) mod recording;
mod region;
pub mod respond;
mod seats;
mod session;
pub mod snapshot;
mod sniff;
#[cfg(feature = "instructions")]
pub mod stages;
mod strangers;
pub(crate) mod tls;
pub(crate) mod token_endpoint;
pub mod upstream;
pub mod websocket;
pub(crate) mod well_known;
pub mod worker;

pub use limiting::LimitsOfNode;
pub use snapshot::{Setup, Snapshot};
pub use worker::{Keys, Sockets, Worker};
