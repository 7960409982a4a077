//! The one integration binary: the real `postern`, driven over real sockets and judged from outside.
//!
//! Every module is one behaviour; `support` starts gateways, records upstreams and speaks raw bytes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "test code: a panic is the report"
)]

mod support;

mod admin;
mod cli;
mod credentials;
mod demo;
mod drain;
mod errors;
mod examples;
mod forwarding;
mod headers;
mod http2;
mod http2_windows;
mod limits;
mod methods;
mod oracle;
mod reload;
mod routing;
mod seats;
mod smuggling;
mod stalled;
mod targets;
mod tidy;
mod timeouts;
mod tls;
mod uploads;
mod upstream_faults;
mod upstream_http2;
mod websocket;
