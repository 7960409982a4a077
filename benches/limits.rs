//! What all local limits of one request cost: a key's, its vendor's, its practice's, two categories', both quotas and what
//! runs; taken, told, and ended.
//!
//! `cargo bench --bench limits`. Among few keys and many, with a hundred of them at work and with every access to another
//! one. A limit that never refuses is the dear case: a refusal writes nothing. Time goes on as it does for a busy worker.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on shall stop")]

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use divan::Bencher;

use postern::limits::bucket::{Bucket, Moment, Trial};
use postern::model::RateLimit;

#[path = "limits/scene.rs"]
mod scene;

use scene::Scene;

/// Shows allocations beside the times: a request makes none.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const KEYS: [u32; 3] = [10, 1_000, 100_000];
const AT_WORK: u32 = 100;

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
