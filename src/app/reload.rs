//! Taking a new configuration while serving: whole, or not at all.
//!
//! Read, parse, build, swap: a fault at any step leaves what runs untouched. Requests in flight keep the snapshot they
//! began with, the next ones get the new one, and no connection notices. Reloads are serial: one task does them all, and
//! any number of requests during one become a single next one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::app::Faults;
use crate::app::limits;
use crate::app::watch::{self, Watched};
use crate::config::{Config, Fault};
use crate::history::History;
use crate::limits::Limiter;
use crate::model::Place;
use crate::proxy::{Setup, Snapshot};
use crate::registry::{Registry, Terms};
use crate::telemetry::metrics::ReloadOutcome;
use crate::telemetry::readiness::ConfigStatus;
use crate::telemetry::{Metrics, Readiness};

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Applied { generation: u64 },
    Rejected(Rejection),
}

/// Why the running configuration stayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Among them are changes to settings that are taken at the start alone.
    Faults(Faults),
    /// A defect of Postern, not of the configuration.
    Crashed,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(faults) => faults.fmt(f),
            Self::Crashed => f.write_str("reading the configuration crashed: please report this"),
        }
    }
}

/// The one task that replaces the snapshot.
pub(super) struct Reloader {
    pub(super) path: PathBuf,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) registry: Arc<Registry>,
    pub(super) history: Arc<History>,
    pub(super) limiter: Arc<Limiter>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) metrics: Metrics,
    pub(super) watched: Watched,
    /// Hears of every outcome once it is in effect.
    pub(super) reloaded: Box<dyn Fn(&Outcome)>,
}

impl Reloader {
    /// Reloads whenever somebody asks or a file changes, until dropped.
    pub(super) async fn run(mut self, asked: Arc<Notify>) {
        loop {
            let reason = tokio::select! {
                () = asked.notified() => "SIGHUP",
                () = self.watched.changed() => "a file changed",
            };
            let before = self.snapshot.load_full();
            let outcome = self.reload().await;
            self.recall(&before).await;
            self.tell(reason, &outcome);
            (self.reloaded)(&outcome);
        }
    }

    /// Where a quota is new, the day began without it.
    async fn recall(&self, before: &Setup) {
        let setup = self.snapshot.load_full();
        if limits::is_new(before, &setup) {
            limits::recall_or_say(&self.limiter, &self.history, &self.registry).await;
        }
    }

    /// On another thread, so that probes and signals are answered meanwhile.
    async fn reload(&mut self) -> Outcome {
        let (path, running) = (self.path.clone(), self.snapshot.load_full());
        let (registry, snapshot) = (Arc::clone(&self.registry), Arc::clone(&self.snapshot));
        let attempt = spawn_blocking(move || {
            let (next, watched) = attempt(&path, &running);
            (next.map(|next| take(next, &registry, &snapshot)), watched)
        });
        let Ok((taken, watched)) = attempt.await else {
            return Outcome::Rejected(Rejection::Crashed);
        };
        self.watched = watched;
        match taken {
            Ok(generation) => Outcome::Applied { generation },
            Err(rejection) => Outcome::Rejected(rejection),
        }
    }

    fn tell(&self, reason: &'static str, outcome: &Outcome) {
        match outcome {
            Outcome::Applied { generation } => {
                let generation = *generation;
                let log = &self.snapshot.load().config.log;
                self.history.journal.configure(log.sync, log.max_disk);
                self.metrics.reload(ReloadOutcome::Applied);
                self.metrics.generation(generation);
                self.readiness.config(ConfigStatus::Current { generation });
                tracing::info!(reason, generation, "configuration taken");
            }
            Outcome::Rejected(rejection) => {
                let (generation, error) = (self.snapshot.load().generation, rejection.to_string());
                self.metrics.reload(ReloadOutcome::Rejected);
                tracing::error!(reason, generation, %error, "configuration rejected, the running one stays");
                self.readiness.config(ConfigStatus::Rejected { generation, error });
            }
        }
    }
}

/// Compiles all keys for the new configuration. Both are swapped in as one, under the registry's lock, so that no change
/// of a key falls between.
fn take(next: Setup, registry: &Registry, snapshot: &ArcSwap<Snapshot>) -> u64 {
    let generation = next.generation;
    let setup = Arc::new(next);
    registry.recompile(Terms::of(&setup.config), |view| {
        snapshot.store(Arc::new(Snapshot { setup: Arc::clone(&setup), view }));
    });
    generation
}

type Attempt = (Result<Setup, Rejection>, Watched);

fn attempt(path: &Path, running: &Setup) -> Attempt {
    let (config, watched) = watch::load(path);
    let built = config.map_err(Rejection::Faults).and_then(|config| {
        let mut faults = needs_restart(&running.config, &config);
        let built = Setup::build(config, Some(running)).map_err(|found| faults.extend(found));
        faults.sort();
        built.ok().filter(|_| faults.is_empty()).ok_or(Rejection::Faults(Faults(faults)))
    });
    (built, watched)
}

/// A fault for each setting that is taken at the start alone and differs.
fn needs_restart(running: &Config, next: &Config) -> Vec<Fault> {
    let gateway = |config: &Config| -> Vec<_> {
        config.listen.gateway.iter().map(|listener| listener.address).collect()
    };
    let places = &next.places;
    let settings = [
        ("listen.gateway", &places.gateway, gateway(running) != gateway(next)),
        ("listen.admin", &places.admin, running.listen.admin != next.listen.admin),
        ("proxy.workers", &places.workers, running.proxy.workers != next.proxy.workers),
        ("store", &places.store, running.store != next.store),
        ("keys.secrets", &places.secrets, running.keys.secrets != next.keys.secrets),
        ("log.dir", &places.log_dir, running.log.dir != next.log.dir),
    ];
    let fault = |field, place: &Place| {
        Fault::new(place.clone(), format!("`{field}` is taken at the start alone"))
            .hint("restart to change it, or put the old value back")
    };
    let differing = settings.into_iter().filter(|(_, _, differs)| *differs);
    differing.map(|(field, place, _)| fault(field, place)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const MAIN: &str = "\
listen:
  gateway: 127.0.0.1:8080
  admin: 127.0.0.1:8081
upstreams:
  practice: { url: http://127.0.0.1:9000 }
apis:
  standard: { mount: /v1, upstream: practice, routes: routes.yaml }
";
    const ROUTES: &str = "version: 1\nroutes:\n  - { path: /v1/status, public: true }\n";

    /// A gateway that runs with one configuration, and then finds another.
    struct Found {
        directory: TempDir,
        running: Setup,
    }

    impl Found {
        fn running(main: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("postern.yaml"), main).unwrap();
            fs::write(directory.path().join("routes.yaml"), ROUTES).unwrap();
            let (config, _) = watch::load(&directory.path().join("postern.yaml"));
            Self { running: Setup::build(config.unwrap(), None).unwrap(), directory }
        }

        fn then(&self, main: &str, routes: &str) -> Attempt {
            fs::write(self.directory.path().join("routes.yaml"), routes).unwrap();
            let file = self.directory.path().join("postern.yaml");
            fs::write(&file, main).unwrap();
            attempt(&file, &self.running)
        }

        fn rejection(&self, main: &str, routes: &str) -> String {
            let rejection = self.then(main, routes).0.unwrap_err().to_string();
            rejection.replace(&self.directory.path().display().to_string(), "DIR")
        }
    }

    #[test]
    fn a_configuration_without_faults_is_the_next_generation() {
        let found = Found::running(MAIN);
        let next = found.then(MAIN, &ROUTES.replace("status", "health")).0.unwrap();
        assert_eq!(next.generation, found.running.generation + 1);
        let (kept, before) = (next.upstreams.first(), found.running.upstreams.first());
        assert!(Arc::ptr_eq(kept.unwrap(), before.unwrap()), "an unchanged upstream is kept");
    }

    #[test]
    fn a_fault_rejects_the_whole_and_names_its_place() {
        let found = Found::running(MAIN);
        let rejection = found.rejection(MAIN, "version: 1\nroutes:\n  - { path: /v1/x }\n");
        assert!(rejection.starts_with("DIR/routes.yaml:3:"), "{rejection}");
    }

    #[test]
    fn files_of_a_rejected_configuration_are_watched_for_the_remedy() {
        let found = Found::running(MAIN);
        let main = MAIN.replace("routes.yaml", "not-there-yet.yaml");
        let (built, before) = found.then(&main, ROUTES);
        assert!(built.is_err());
        fs::write(found.directory.path().join("not-there-yet.yaml"), ROUTES).unwrap();
        let (built, after) = found.then(&main, ROUTES);
        assert!(built.is_ok() && before != after);
    }

    #[test]
    fn what_is_taken_at_the_start_alone_asks_for_a_restart() {
        let found = Found::running(MAIN);
        let main = MAIN.replace(":8080", ":8090").replace(":8081", ":8091");
        let more = "proxy: { workers: 7 }\nstore: embedded:./other\nkeys: { secrets: other }\n";
        let rejection = found.rejection(&format!("{main}{more}"), ROUTES);
        let told: Vec<_> = rejection.lines().map(|l| l.split(" — ").next().unwrap()).collect();
        let expected = [
            "DIR/postern.yaml:2:12: `listen.gateway` is taken at the start alone",
            "DIR/postern.yaml:3:10: `listen.admin` is taken at the start alone",
            "DIR/postern.yaml:8:19: `proxy.workers` is taken at the start alone",
            "DIR/postern.yaml:9:8: `store` is taken at the start alone",
            "DIR/postern.yaml:10:18: `keys.secrets` is taken at the start alone",
        ];
        assert_eq!(told, expected);
        assert!(rejection.contains("restart to change it"), "{rejection}");
    }
}
