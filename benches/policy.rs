//! What a decision costs: reading a target, finding its rule among few and many, and the whole of it.
//!
//! `cargo bench --bench policy`. Everything but the number of routes is the same from column to column, so a lookup that
//! grew with the map would show. Samples are long, so that the caches hold what they hold in a busy gateway.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on shall stop")]

use std::cell::Cell;
use std::hint::black_box;

use divan::Bencher;

use postern::model::Method;
use postern::policy::Target;

#[path = "policy/map.rs"]
mod map;

use map::{caller, headers, policy, targets};

/// Shows allocations beside the times: an allowed request to a canonical target makes none.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const ROUTES: [usize; 3] = [10, 1_000, 10_000];

const TARGETS: [&str; 4] = [
    "/v1/appointments",
    "/v1/patients/123456/appointments/history",
    "/v1/patients/caf%C3%A9%20noir/notes?page=2",
    "/v1/patients/caf%c3%a9%20noir/notes?page=2",
];

#[divan::bench(args = TARGETS)]
fn parse(raw: &str) -> usize {
    black_box(Target::parse(black_box(raw)).map_or(0, |target| target.path().len()))
}

#[divan::bench(args = ROUTES, sample_size = 2_000)]
fn find(bencher: Bencher<'_, '_>, routes: usize) {
    let policy = policy(routes);
    let raw = targets(routes);
    let targets: Vec<_> = raw.iter().map(|raw| Target::parse(raw).unwrap()).collect();
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 1) % targets.len());
        policy.table.find(black_box(&targets[turn.get()])).len()
    });
}

#[divan::bench(args = ROUTES, sample_size = 2_000)]
fn decide(bencher: Bencher<'_, '_>, routes: usize) {
    let policy = policy(routes);
    let caller = caller(&policy);
    let headers = headers();
    let targets = targets(routes);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 1) % targets.len());
        let target = Target::parse(black_box(&targets[turn.get()])).unwrap();
        target.screen_query().unwrap();
        let found = policy.find(&target, Method::Get);
        let admission = policy.judge(found, Method::Get, &target, &headers, Some(&caller));
        admission.unwrap().needs.len()
    });
}
