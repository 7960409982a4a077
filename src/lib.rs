//! Postern, an authenticating reverse proxy gateway for practice-management systems.
//!
//! The modules in reading order, each allowed to name only those above it (`tests/it/tidy.rs` holds them to it):
//!
//! - [`model`]: values and their laws.
//! - [`policy`]: decisions over one immutable snapshot. Pure: no I/O, no clock, no async.
//! - [`config`]: YAML text to a [`config::Config`] with its [`policy::Policy`]. Pure: files come through a trait.
//! - [`telemetry`]: logging, metrics, readiness.
//! - `exclusive`: a directory that one process has at a time.
//! - [`journal`]: where access records wait until the store has them.
//! - [`vault`]: secrets: made, hashed, sealed; the two files that are not in the store.
//! - [`store`]: where the registry and the past are kept: embedded or Redis.
//! - [`registry`]: practices, vendors, keys and administrators as this node knows them.
//! - [`history`]: access records shipped, looked up, counted, watched.
//! - [`limits`]: how often what may be called, and what is left.
//! - [`auth`]: who is calling, from the credentials of a request.
//! - [`proxy`]: the data plane, a thread a core.
//! - [`admin`]: the control plane's listener. The proxy does not know it exists.
//! - [`app`]: the composition root: serve, reload, drain.
//! - [`demo`]: a sample practice system with the gateway in front of it.
//! - [`cli`]: the command line.

pub mod model;

pub mod policy;

pub mod config;

pub mod telemetry;

mod exclusive;

pub mod journal;

pub mod vault;

pub mod store;

pub mod registry;

pub mod history;

pub mod limits;

pub mod auth;

pub mod proxy;

pub mod admin;

pub mod app;

pub mod demo;

pub mod cli;
