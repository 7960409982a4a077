//! What all local limits of one request cost: a key's, its vendor's, its practice's, two categories', both quotas and what
//! runs; taken, told, and ended.
//!
//! `cargo bench --bench limits`. Among few keys and many, with a hundred of them at work and with every access to another
//! one. A limit that never refuses is the dear case: a refusal writes nothing. Time goes on as it does for a busy worker.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on shall stop")]

use std::cell::Cell;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use divan::Bencher;

use postern::config::{Config, Sources};
use postern::limits::bucket::{Bucket, Moment, Trial};
use postern::limits::limiter::Clock;
use postern::limits::{Charge, Limiter, Plan, Verdict};
use postern::model::{Access, Need, RateLimit};
use postern::registry::view::Counted;

/// Shows allocations beside the times: a request makes none.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const KEYS: [u32; 3] = [10, 1_000, 100_000];
/// Keys of one practice.
const OF_PRACTICE: u32 = 10;
const AT_WORK: u32 = 100;
/// Of both kinds that a request needs.
const CATEGORIES: [&str; 2] = ["patient", "clinical"];
const CLOCK: Clock = Clock { day: 20_000, left: 1 << 40 };

#[divan::bench(args = KEYS, sample_size = 2_000)]
fn every_key_in_turn(bencher: Bencher<'_, '_>, keys: u32) {
    let scene = Scene::of(keys);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 7_919) % keys);
        scene.request(turn.get())
    });
}

/// The others are only known.
#[divan::bench(args = KEYS, sample_size = 2_000)]
fn a_hundred_of_them(bencher: Bencher<'_, '_>, keys: u32) {
    let scene = Scene::of(keys);
    let step = (keys / AT_WORK).max(1);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + step * 37) % keys);
        scene.request(turn.get())
    });
}

/// Without what a configuration of one limit does not ask for.
#[divan::bench(args = KEYS, sample_size = 2_000)]
fn only_the_keys_rate(bencher: Bencher<'_, '_>, keys: u32) {
    let scene = Scene::with(keys, "key: { rate: 4000000000/s }");
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 7_919) % keys);
        scene.request(turn.get())
    });
}

/// What one bucket costs of it.
#[divan::bench(sample_size = 10_000)]
fn one_bucket(bencher: Bencher<'_, '_>) {
    let limit = RateLimit::new(4_000_000_000, Duration::from_secs(1), None).unwrap();
    let bucket = Cell::new(Bucket::default());
    let now = Cell::new(0);
    bencher.bench_local(|| {
        now.set(now.get() + 500);
        if let Trial::Fits(after) = bucket.get().take(&limit, NonZeroU32::MIN, Moment(now.get())) {
            bucket.set(after);
        }
    });
}

struct Scene {
    limiter: Limiter,
    plan: Plan,
    needs: Vec<Need>,
    now: Cell<u64>,
}

impl Scene {
    fn of(keys: u32) -> Self {
        Self::with(
            keys,
            "key: { rate: 4000000000/s }, vendor: { rate: 4000000000/s }, practice: { rate: 4000000000/s }, \
             category: { patient: { rate: 4000000000/s }, clinical: { rate: 4000000000/s }, files: { rate: 1/s } }, \
             daily_quota: { requests: 1000000000000, bytes: 1024TiB }, max_concurrent_per_key: 64",
        )
    }

    /// So many keys, each of which has called before.
    fn with(keys: u32, limits: &str) -> Self {
        let config = Config::load(Path::new("postern.yaml"), &Given(limits)).unwrap();
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
    fn request(&self, key: u32) -> Verdict {
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
