//! `postern serve`: its four moments, one after the other.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch as channel};
use tokio::task::{JoinSet, LocalSet};

use crate::admin::listener::AdminTls;
use crate::admin::state::LimitsSource;
use crate::admin::{self, AdminState};
use crate::app::Faults;
use crate::app::concerns::{self, Concerns};
use crate::app::reload::{Outcome, Reloader};
use crate::app::signals::{Hangup, Reload, Stop};
use crate::app::watch::{self, Watched};
use crate::app::workers::Workers;
use crate::app::{descriptors, drain, limits, node, records};
use crate::auth::Verifier;
use crate::config::{Config, StoreAddress};
use crate::history::{History, Shipper};
use crate::limits::Limiter;
use crate::model::NodeName;
use crate::proxy::worker::Sockets;
use crate::proxy::{Keys, Setup, Snapshot, upstream};
use crate::registry::{Registry, Terms};
use crate::store::{self, Mode};
use crate::telemetry::metrics::{FiguresSource, RegistryFigures};
use crate::telemetry::readiness::{
    Freshness, HealthSource, LimitsStatus, RegistrySource, RegistryStatus,
};
use crate::telemetry::{EndpointHealth, Metrics, Readiness, logging};
use crate::vault::Vault;

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
    Loaded::read(&config)?.open()?.bind()?.serve(Hangup::Reloads, announce, |_logged| {})
}

/// A configuration without faults, and nothing bound yet.
#[derive(Debug)]
pub struct Loaded {
    path: PathBuf,
    setup: Setup,
    watched: Watched,
}

impl Loaded {
    /// Reads the configuration and every file it names, certificates included.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let (config, watched) = watch::load(path);
        let setup = Setup::build(config?, None).map_err(Faults)?;
        Ok(Self { path: path.to_owned(), setup, watched })
    }

    /// What was loaded.
    pub fn config(&self) -> &Config {
        &self.setup.config
    }

    /// Opens the vault, the store and the journal, and loads the registry. What is missing is made, in a new place.
    pub fn open(self) -> anyhow::Result<Opened> {
        let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let config = &self.setup.config;
        let vault = Arc::new(Vault::open(&config.keys.secrets)?);
        let node = node::name(config)?;
        let (registry, history) = control.block_on(async {
            // In this order: it is the registry that takes the lock of an embedded store.
            let registry = open_registry(config, vault, node.clone()).await?;
            let history = records::open(config, &node, &registry).await?;
            anyhow::Ok((registry, history))
        })?;
        let (registry, history) = (Arc::new(registry), Arc::new(history));
        Ok(Opened { loaded: self, control, registry, history })
    }
}

async fn open_registry(
    config: &Config,
    vault: Arc<Vault>,
    node: NodeName,
) -> anyhow::Result<Registry> {
    let store = store::open(&config.store, Mode::Sole).await?;
    match store.concerns().await {
        Ok(concerns) => concerns.iter().for_each(|concern| tracing::warn!("{concern}")),
        Err(error) => tracing::warn!(%error, "the store does not say how it is set up"),
    }
    Ok(Registry::open(store, vault, node, Terms::of(config)).await?)
}

/// A gateway that knows its keys, and listens nowhere yet.
#[derive(Debug)]
pub struct Opened {
    loaded: Loaded,
    /// The store's connections live on it.
    control: Runtime,
    registry: Arc<Registry>,
    history: Arc<History>,
}

impl Opened {
    /// What was loaded.
    pub fn config(&self) -> &Config {
        self.loaded.config()
    }

    /// Practices, vendors and keys, which may be changed before anybody is served.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Runs what changes the registry on the thread that it lives on.
    pub fn block_on<T>(&self, change: impl Future<Output = T>) -> T {
        self.control.block_on(change)
    }

    /// Takes every address, and serves nobody yet.
    pub fn bind(self) -> anyhow::Result<Bound> {
        let config = self.config();
        let sockets = Sockets::bind(config, worker_count(config))?;
        let admin = bind_admin(config.listen.admin)?;
        let addresses = Addresses {
            gateway: sockets.first().map(Sockets::addresses).unwrap_or_default(),
            admin: admin.local_addr()?,
        };
        Ok(Bound { opened: self, sockets, admin, addresses })
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
    opened: Opened,
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
        let Self { opened, sockets, admin, addresses } = self;
        let Opened { loaded, control, registry, history } = opened;
        let parts = Parts { loaded, registry, history, sockets, admin, addresses };
        let running = parts.serve(hangup, announce, Box::new(reloaded));
        let ended = LocalSet::new().block_on(&control, running);
        // A reload that hangs on a dead file system must not keep the process.
        control.shutdown_background();
        ended
    }
}

/// What serves, without the runtime that it is run by.
struct Parts {
    loaded: Loaded,
    registry: Arc<Registry>,
    history: Arc<History>,
    sockets: Vec<Sockets>,
    admin: TcpListener,
    addresses: Addresses,
}

impl Parts {
    async fn serve(
        self,
        hangup: Hangup,
        announce: impl FnOnce(&Addresses),
        reloaded: Box<dyn Fn(&Outcome)>,
    ) -> anyhow::Result<()> {
        let Self { loaded: Loaded { path, setup, watched }, registry, history, .. } = self;
        let Self { sockets, admin, addresses, .. } = self;
        let (mut stop, mut reload) = (Stop::install(hangup)?, Reload::install(hangup)?);
        if cfg!(feature = "unrecorded") {
            tracing::error!("this build keeps no access records: it is for measuring alone");
        }
        descriptors::warn_if_scarce(setup.config.proxy.max_connections);

        let snapshot = published(setup, &registry);
        let keys = Keys {
            registry: Arc::clone(&registry),
            verifier: Arc::new(Verifier::new(
                Arc::clone(registry.vault()),
                Arc::clone(registry.index()),
            )),
        };
        let concerns = Concerns::default();
        let (metrics, readiness) = observed(&snapshot, &registry, &history, &concerns);
        metrics.registry(figures(&registry, &keys));
        metrics.records(records::figures(&history));
        readiness.listening(addresses.gateway.clone(), addresses.admin);

        let (begin_drain, draining) = channel::channel(false);
        let journal = history.journal.clone();
        let shipper = records::ship(&history, &snapshot.load().config)?;
        let limiter = Arc::new(Limiter::default());
        limits::recall_at_start(&limiter, &history, &registry, &snapshot.load_full()).await;
        let address = snapshot.load().config.store.clone();
        let limits = || limits::of_node(&limiter, &address);
        let mut workers =
            Workers::start(sockets, &snapshot, &keys, &journal, &metrics, &limits, &draining)?;
        let mut endless = JoinSet::new();
        let told = limits::begin_looking(&snapshot, &registry, limits()?, &mut endless);
        let state = admin_state(&snapshot, &registry, &history, &readiness, &metrics, told);
        begin_admin(admin, &snapshot, state, &mut endless)?;
        begin_upkeep(&snapshot, &registry, &history, &limiter, &mut endless);
        endless.spawn_local(concerns::watch(Arc::clone(&registry), concerns));
        let asked = Arc::new(Notify::new());
        let reloader = Reloader {
            path,
            snapshot: Arc::clone(&snapshot),
            registry: Arc::clone(&registry),
            history: Arc::clone(&history),
            limiter,
            readiness: Arc::clone(&readiness),
            metrics,
            watched,
            reloaded,
        };
        endless.spawn_local(reloader.run(Arc::clone(&asked)));
        announce(&addresses);

        let mut parts = Endless { workers: &mut workers, tasks: &mut endless, shipper: &shipper };
        if let Err(error) = parts.run(&mut stop, &mut reload, &asked).await {
            shipper.finish(Duration::ZERO).await;
            return Err(error);
        }
        let limit = snapshot.load().config.proxy.drain;
        let drained = drain::drain(&readiness, &begin_drain, &mut workers, &mut stop, limit).await;
        // Nobody is served any more, so this is the last that was used, and these are the last records.
        endless.shutdown().await;
        if let Err(error) = registry.flush().await {
            tracing::warn!(%error, "when keys were last used could not be written");
        }
        match &drained {
            Ok(()) => records::close(&history, &shipper, &mut stop).await,
            Err(_) => shipper.finish(Duration::ZERO).await,
        }
        drained
    }
}

/// What goes on for as long as the gateway serves.
struct Endless<'s> {
    workers: &'s mut Workers,
    tasks: &'s mut JoinSet<()>,
    shipper: &'s Shipper,
}

impl Endless<'_> {
    /// Until somebody asks for the end. Whatever ends before that is an error.
    async fn run(
        &mut self,
        stop: &mut Stop,
        reload: &mut Reload,
        asked: &Notify,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = stop.asked() => return Ok(()),
                () = reload.asked() => asked.notify_one(),
                Some(end) = self.workers.next_end() => {
                    end?;
                    bail!("a worker ended without being asked to");
                }
                Some(end) = self.tasks.join_next() => {
                    end.context("a task of the control thread broke off")?;
                    bail!("a task of the control thread ended without being asked to");
                }
                () = self.shipper.ended() => {
                    bail!("the thread that ships access records ended without being asked to");
                }
            }
        }
    }
}

/// The snapshot that workers read, and that every change of the registry replaces from now on.
fn published(setup: Setup, registry: &Registry) -> Arc<ArcSwap<Snapshot>> {
    let first = Snapshot { setup: Arc::new(setup), view: registry.view() };
    let snapshot = Arc::new(ArcSwap::from_pointee(first));
    let published = Arc::clone(&snapshot);
    // Under the registry's lock, as a reload is: neither undoes the other.
    registry.publish_to(Box::new(move |view| {
        published.store(Arc::new(published.load().with_view(view)));
    }));
    snapshot
}

fn figures(registry: &Arc<Registry>, keys: &Keys) -> FiguresSource {
    let (registry, verifier) = (Arc::clone(registry), Arc::clone(&keys.verifier));
    Arc::new(move || RegistryFigures {
        position: registry.view().position().0,
        staleness_seconds: registry.staleness().as_secs(),
        argon2_runs: verifier.slow_verifications(),
    })
}

/// What nobody asks for and must go on: probes, the store's feed, and what is too old going away.
fn begin_upkeep(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    registry: &Arc<Registry>,
    history: &Arc<History>,
    limiter: &Arc<Limiter>,
    tasks: &mut JoinSet<()>,
) {
    tasks.spawn_local(upstream::probe(Arc::clone(snapshot)));
    let following = Arc::clone(registry);
    tasks.spawn_local(async move { following.run().await });
    let (tidied, running) = (Arc::clone(history), Arc::clone(snapshot));
    tasks.spawn_local(async move {
        tidied.tidy(|| running.load().config.log.retention).await;
    });
    tasks.spawn_local(limits::tidy(Arc::clone(limiter), Arc::clone(registry)));
}

/// Serves the admin listener, with the certificate of whichever configuration runs.
fn begin_admin(
    listener: TcpListener,
    snapshot: &Arc<ArcSwap<Snapshot>>,
    state: AdminState,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (running, router) = (Arc::clone(snapshot), admin::router(state));
    let tls: AdminTls = Box::new(move || running.load().admin_tls.clone());
    tasks.spawn_local(admin::listener::serve(listener, tls, router));
    Ok(())
}

fn admin_state(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    registry: &Arc<Registry>,
    history: &Arc<History>,
    readiness: &Arc<Readiness>,
    metrics: &Metrics,
    limits: LimitsSource,
) -> AdminState {
    let running = Arc::clone(snapshot);
    AdminState {
        readiness: Arc::clone(readiness),
        metrics: metrics.clone(),
        registry: Arc::clone(registry),
        history: Arc::clone(history),
        running: Arc::new(move |look| {
            let snapshot = running.load();
            look(&snapshot.config, &snapshot.view);
        }),
        limits,
    }
}

/// Metrics and readiness that look into the running snapshot.
fn observed(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    registry: &Arc<Registry>,
    history: &Arc<History>,
    concerns: &Concerns,
) -> (Metrics, Arc<Readiness>) {
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
    let (running, registry) = (Arc::clone(snapshot), Arc::clone(registry));
    let standing: RegistrySource = Arc::new(move || {
        let staleness = registry.staleness();
        let snapshot = running.load();
        let is_stale = staleness > snapshot.config.proxy.max_staleness;
        RegistryStatus {
            status: if is_stale { Freshness::Stale } else { Freshness::Current },
            position: snapshot.view.position().0,
            staleness_seconds: staleness.as_secs(),
        }
    });
    let generation = snapshot.load().generation;
    let metrics = Metrics::default();
    metrics.started(SystemTime::now());
    metrics.generation(generation);
    metrics.upstreams(Arc::clone(&health));
    let journal = records::standing(history, snapshot);
    let store = concerns::standing(history, concerns);
    let (counting, running) = (metrics.clone(), Arc::clone(snapshot));
    let limits = Arc::new(move || {
        let is_shared = matches!(running.load().config.store, StoreAddress::Redis(_));
        is_shared.then(|| LimitsStatus { shared: counting.are_limits_shared() })
    });
    (metrics, Arc::new(Readiness::new(generation, health, standing, journal, store, limits)))
}
