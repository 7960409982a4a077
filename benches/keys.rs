//! What it costs to know who is calling: both keys remembered, among few and many; and a wrong pair.
//!
//! `cargo bench --bench keys`. The registry is the real one over a store of documents in memory, and every key of it was
//! verified before, so that what is remembered is as much as it can be. Keys are taken in turn, spread over all, so that
//! neither caches nor branch predictors learn one of them.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on shall stop")]

use std::cell::Cell;
use std::hint::black_box;

use divan::Bencher;

use postern::vault::{Purpose, Vault};

#[path = "keys/scene.rs"]
mod scene;

use scene::{CHEAP, Scene};

/// Shows allocations beside the times: a remembered pair makes none.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const KEYS: [usize; 3] = [10, 1_000, 100_000];

#[divan::bench(args = KEYS, sample_size = 2_000)]
fn remembered_pair(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 7_919) % keys);
        scene.is_known(&scene.keys[turn.get()], &scene.vendor_key)
    });
}

/// And what the keys are worth now.
#[divan::bench(args = KEYS, sample_size = 2_000)]
fn caller(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 7_919) % keys);
        scene.is_caller(turn.get())
    });
}

/// What the bench itself spends on fetching a key from memory: in a gateway it has just come with the request.
#[divan::bench(args = KEYS, sample_size = 2_000)]
fn fetching_the_key(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 7_919) % keys);
        scene.keys[turn.get()].reveal().bytes().fold(0_u8, |sum, byte| sum ^ byte)
    });
}

/// A hundred of them are at work, the others only registered.
#[divan::bench(args = KEYS, sample_size = 2_000)]
fn caller_of_a_hundred(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let step = (keys / 100).max(1);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + step * 37) % keys);
        scene.is_caller(turn.get())
    });
}

#[divan::bench(args = KEYS, sample_size = 2_000)]
fn wrong_pair(bencher: Bencher<'_, '_>, keys: usize) {
    let scene = Scene::of(keys);
    let stranger = Vault::ephemeral().unwrap();
    let mint = |purpose| stranger.mint(purpose, CHEAP, false).unwrap().plain;
    let (key, vendor) = (mint(Purpose::SubscriberKey), mint(Purpose::VendorKey));
    bencher.bench_local(|| scene.is_known(black_box(&key), black_box(&vendor)));
    assert!(!scene.is_known(&key, &vendor));
}
