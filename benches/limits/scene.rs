//! Keys that have called before, and the limits that hold for them.

use std::cell::Cell;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Instant;

use postern::config::{Config, Sources};
use postern::limits::bucket::Moment;
use postern::limits::limiter::Clock;
use postern::limits::{Charge, Limiter, Plan, Verdict};
use postern::model::{Access, Need};
use postern::registry::view::Counted;

/// Keys of one practice.
const OF_PRACTICE: u32 = 10;
/// Of both kinds that a request needs.
const CATEGORIES: [&str; 2] = ["patient", "clinical"];
const CLOCK: Clock = Clock { day: 20_000, left: 1 << 40 };

pub(crate) struct Scene {
    pub(crate) limiter: Limiter,
    pub(crate) plan: Plan,
    needs: Vec<Need>,
    now: Cell<u64>,
}

impl Scene {
    pub(crate) fn of(keys: u32) -> Self {
        Self::with(
            keys,
            "key: { rate: 4000000000/s }, vendor: { rate: 4000000000/s }, practice: { rate: 4000000000/s }, \
             category: { patient: { rate: 4000000000/s }, clinical: { rate: 4000000000/s }, files: { rate: 1/s } }, \
             daily_quota: { requests: 1000000000000, bytes: 1024TiB }, max_concurrent_per_key: 64",
        )
    }

    /// So many keys, each of which has called before.
    pub(crate) fn with(keys: u32, limits: &str) -> Self {
        let config = config(limits);
        let catalogue = &config.policy.catalogue;
        let need = |name| Need { scope: catalogue.id(name).unwrap(), access: Access::READ };
        let needs = CATEGORIES.map(need).to_vec();
        let (limiter, plan) = (Limiter::default(), Plan::of(&config, None));
        let now = Cell::new(limiter.moment(Instant::now()).0);
        let scene = Self { limiter, plan, needs, now };
        for key in 0..keys {
            assert!(scene.request(key).outcome.is_ok());
        }
        scene
    }

    /// One, from its limits being looked up to its end.
    pub(crate) fn request(&self, key: u32) -> Verdict {
        self.now.set(self.now.get() + 500);
        let practice = key / OF_PRACTICE;
        let who = Counted { key, practice, vendor: Some(practice % 50), own: None };
        let charge = Charge {
            plan: &self.plan,
            who,
            categories: self.plan.touched(&self.needs),
            cost: NonZeroU32::MIN,
            at: Moment(self.now.get()),
            clock: CLOCK,
        };
        let verdict = self.limiter.take(&charge);
        if let Ok(spent) = verdict.outcome {
            self.limiter.end(spent, 1_000);
        }
        verdict
    }
}

pub(crate) fn config(limits: &str) -> Config {
    Config::load(Path::new("postern.yaml"), &Given(limits)).unwrap()
}

/// A configuration in memory, with these limits.
struct Given<'l>(&'l str);

impl Sources for Given<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let routes = "version: 1\nroutes:\n  - path: /v1/x\n    category: files\n";
        let main = format!(
            "listen: {{ gateway: 127.0.0.1:0 }}\nupstreams: {{ one: {{ url: http://127.0.0.1:9 }} }}\n\
             apis: {{ standard: {{ mount: /v1, upstream: one, routes: routes.yaml }} }}\nlimits: {{ {} }}\n",
            self.0
        );
        Ok(if path.ends_with("routes.yaml") { routes.into() } else { main.into() })
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }
}
