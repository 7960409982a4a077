//! What recording costs: a record on the worker, and reading them again.
//!
//! `cargo bench --bench journal`. In memory (/dev/shm), so that it is our own cost that is measured, and not how fast a disk takes
//! what the keeper forces to it; what was written is shipped at once, so that segments come and go as they do under load.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on shall stop")]

use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;

use postern::journal::Begun;

#[path = "journal/scene.rs"]
mod scene;

use scene::{OUTCOME, Scene, opening};

/// Shows allocations beside the times: recording makes none.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(sample_size = 1_000)]
fn begin_and_complete(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    bencher.bench_local(|| {
        let begun = scene.begin();
        scene.lane.complete(begun, black_box(&OUTCOME));
    });
}

/// With a hundred others open meanwhile.
#[divan::bench(sample_size = 1_000)]
fn among_a_hundred(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    let mut open: Vec<Begun> = (0..100).map(|_| scene.begin()).collect();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = (turn + 37) % open.len();
        let begun = std::mem::replace(&mut open[turn], scene.begin());
        scene.lane.complete(begun, black_box(&OUTCOME));
    });
}

#[divan::bench(sample_size = 1_000)]
fn refusal(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    bencher.bench_local(|| scene.keep_trying(|| scene.lane.write(black_box(&opening()), &OUTCOME)));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn read_a_million(bencher: Bencher<'_, '_>) {
    const MANY: usize = 1_000_000;
    let scene = Scene::new();
    for _ in 0..MANY {
        let begun = scene.begin();
        scene.lane.complete(begun, &OUTCOME);
    }
    bencher
        .counter(ItemsCount::new(MANY))
        .with_inputs(|| scene.journal.source())
        .bench_local_values(|mut source| {
            let mut after = 0;
            let mut bytes = 0;
            while after < MANY as u64 {
                let batch = source.read(scene.lane.id(), after, 5_000, 4 << 20).unwrap();
                bytes += batch.records().map(|record| record.opening.path.len()).sum::<usize>();
                after = batch.last();
            }
            bytes
        });
}
