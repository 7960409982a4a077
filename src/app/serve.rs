//! `postern serve`: the three moments, one after the other.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::SystemTime;

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch as channel};
use tokio::task::{JoinSet, LocalSet};

use crate::admin::listener::AdminTls;
use crate::admin::{self, AdminState};
use crate::app::Faults;
use crate::app::reload::{Outcome, Reloader};
use crate::app::signals::{Hangup, Reload, Stop};
use crate::app::watch::{self, Watched};
use crate::app::workers::Workers;
use crate::app::{descriptors, drain};
use crate::config::Config;
use crate::proxy::worker::Sockets;
use crate::proxy::{Snapshot, upstream};
use crate::telemetry::readiness::HealthSource;
use crate::telemetry::{EndpointHealth, Metrics, Readiness, logging};

/// What `postern serve` is told.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The main file of the configuration.
    pub config: PathBuf,
}

/// Serves until told to stop. A configuration with faults is an error that holds [`Faults`], before anything is bound.
pub fn run(options: ServeOptions) -> anyhow::Result<()> {
    let ServeOptions { config } = options;
    logging::init("info");
    let announce = |addresses: &Addresses| {
        tracing::info!(gateway = %addresses.gateway(), admin = %addresses.admin, "listening");
        let (gateway, admin) = (addresses.gateway(), addresses.admin);
        // For people and scripts; a closed stdout is no reason not to serve. The log on stderr has it, too.
        let _unread = writeln!(std::io::stdout(), "listening gateway={gateway} admin={admin}");
    };
    Loaded::read(&config)?.bind()?.serve(Hangup::Reloads, announce, |_logged| {})
}

/// A configuration without faults, and nothing bound yet.
#[derive(Debug)]
pub struct Loaded {
    path: PathBuf,
    snapshot: Snapshot,
    watched: Watched,
}

impl Loaded {
    /// Reads the configuration and every file it names, certificates included.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let (config, watched) = watch::load(path);
        let snapshot = Snapshot::build(config?, None).map_err(Faults)?;
        Ok(Self { path: path.to_owned(), snapshot, watched })
    }

    /// What was loaded.
    pub fn config(&self) -> &Config {
        &self.snapshot.config
    }

    /// Takes every address, and serves nobody yet.
    pub fn bind(self) -> anyhow::Result<Bound> {
        let config = &self.snapshot.config;
        let sockets = Sockets::bind(&self.snapshot, worker_count(config))?;
        let admin = bind_admin(config.listen.admin)?;
        let addresses = Addresses {
            gateway: sockets.first().map(Sockets::addresses).unwrap_or_default(),
            admin: admin.local_addr()?,
        };
        Ok(Bound { loaded: self, sockets, admin, addresses })
    }
}

/// One a core, unless the configuration says how many.
fn worker_count(config: &Config) -> usize {
    config.proxy.workers.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get))
}

fn bind_admin(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address} (listen.admin)"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Where the gateway really listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// In the order of the configuration.
    pub gateway: Vec<SocketAddr>,
    /// Of the admin listener.
    pub admin: SocketAddr,
}

impl Addresses {
    /// The gateway's addresses in one word, with commas.
    pub fn gateway(&self) -> String {
        self.gateway.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
    }
}

/// A gateway whose addresses are taken.
#[derive(Debug)]
pub struct Bound {
    loaded: Loaded,
    sockets: Vec<Sockets>,
    admin: TcpListener,
    addresses: Addresses,
}

impl Bound {
    /// Where it will serve.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Serves on the worker threads, and keeps the rest on this one, until SIGTERM or SIGINT, or SIGHUP where that ends.
    /// `announce` is called as soon as requests are taken, `reloaded` after each attempt to take a new configuration.
    pub fn serve(
        self,
        hangup: Hangup,
        announce: impl FnOnce(&Addresses),
        reloaded: impl Fn(&Outcome) + 'static,
    ) -> anyhow::Result<()> {
        let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let running = self.control(hangup, announce, Box::new(reloaded));
        let ended = LocalSet::new().block_on(&control, running);
        // A reload that hangs on a dead file system must not keep the process.
        control.shutdown_background();
        ended
    }

    async fn control(
        self,
        hangup: Hangup,
        announce: impl FnOnce(&Addresses),
        reloaded: Box<dyn Fn(&Outcome)>,
    ) -> anyhow::Result<()> {
        let Self { loaded: Loaded { path, snapshot, watched }, sockets, admin, addresses } = self;
        let mut stop = Stop::install(hangup)?;
        let mut reload = Reload::install(hangup)?;
        descriptors::warn_if_scarce(snapshot.config.proxy.max_connections);

        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let (metrics, readiness) = observed(&snapshot);
        readiness.listening(addresses.gateway.clone(), addresses.admin);

        let (begin_drain, draining) = channel::channel(false);
        let mut workers = Workers::start(sockets, &snapshot, &metrics, &draining)?;
        let state = AdminState { readiness: Arc::clone(&readiness), metrics: metrics.clone() };
        let admin = tokio::net::TcpListener::from_std(admin)?;
        let mut endless = JoinSet::new();
        let (running, router) = (Arc::clone(&snapshot), admin::router(state));
        let admin_tls: AdminTls = Box::new(move || running.load().admin_tls.clone());
        endless.spawn_local(admin::listener::serve(admin, admin_tls, router));
        endless.spawn_local(upstream::probe(Arc::clone(&snapshot)));
        let asked = Arc::new(Notify::new());
        let reloader = Reloader {
            path,
            snapshot: Arc::clone(&snapshot),
            readiness: Arc::clone(&readiness),
            metrics,
            watched,
            reloaded,
        };
        endless.spawn_local(reloader.run(Arc::clone(&asked)));
        announce(&addresses);

        loop {
            tokio::select! {
                () = stop.asked() => break,
                () = reload.asked() => asked.notify_one(),
                Some(end) = workers.next_end() => {
                    end?;
                    bail!("a worker ended without being asked to");
                }
                Some(end) = endless.join_next() => {
                    end.context("a task of the control thread broke off")?;
                    bail!("a task of the control thread ended without being asked to");
                }
            }
        }
        let limit = snapshot.load().config.proxy.drain;
        drain::drain(&readiness, &begin_drain, &mut workers, &mut stop, limit).await
    }
}

/// Metrics and readiness that look into the running snapshot.
fn observed(snapshot: &Arc<ArcSwap<Snapshot>>) -> (Metrics, Arc<Readiness>) {
    let running = Arc::clone(snapshot);
    let health: HealthSource = Arc::new(move || {
        let snapshot = running.load();
        let endpoints = |shared: &Arc<upstream::Shared>| {
            let upstream = shared.spec.name.clone();
            let named =
                move |(url, healthy)| EndpointHealth { upstream: upstream.clone(), url, healthy };
            shared.health().into_iter().map(named).collect::<Vec<_>>()
        };
        snapshot.upstreams.iter().flat_map(endpoints).collect()
    });
    let generation = snapshot.load().generation;
    let metrics = Metrics::default();
    metrics.started(SystemTime::now());
    metrics.generation(generation);
    metrics.upstreams(Arc::clone(&health));
    (metrics, Arc::new(Readiness::new(generation, health)))
}
