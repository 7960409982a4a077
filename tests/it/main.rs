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

mod access_ends;
mod access_privacy;
mod access_records;
mod admin;
mod admin_api;
mod admin_generated;
mod admin_matrix;
mod cli;
mod crash_matrix;
mod credentials;
mod demo;
mod dozing;
mod drain;
mod durability;
mod errors;
mod examples;
mod forwarding;
mod full_disk;
mod headers;
mod history_api;
mod http2;
mod http2_windows;
mod keys_cli;
mod last_use;
mod limits;
mod logs_cli;
mod methods;
mod oauth2;
mod oracle;
mod rate_limits;
mod rate_limits_changed;
mod rate_limits_daily;
mod rate_limits_of_many;
mod redis_records;
mod redis_store;
mod regions;
mod release_profile;
mod reload;
mod revocation;
mod routing;
mod schemes;
mod seats;
mod secrets;
mod shared_limits;
mod smuggling;
mod stalled;
mod standing;
mod stranger_floods;
mod targets;
mod tidy;
mod timeouts;
mod tls;
mod two_nodes;
mod uploads;
mod upstream_faults;
mod upstream_http2;
mod websocket;
mod whoami;
