//! How much the shipper takes at once, and how long it lets records come before that.

use super::*;

/// How long it waits after a round, on a clock that runs by itself.
fn pause_after(bench: &mut Bench, records: u128) -> Duration {
    bench.write(records);
    bench.round().unwrap();
    gathered(bench)
}

fn gathered(bench: &Bench) -> Duration {
    bench.runtime.block_on(async {
        let begun = Instant::now();
        bench.shipping.gather().await;
        begun.elapsed()
    })
}

#[test]
fn few_records_are_shipped_soon_and_many_are_gathered_for_a_second() {
    let mut bench = Bench::new();
    assert_eq!(gathered(&bench), GATHER);
    assert_eq!(pause_after(&mut bench, 3), GATHER);
    assert_eq!(pause_after(&mut bench, u128::from(FEW)), GATHER * GATHER_MANY);
    assert_eq!(pause_after(&mut bench, 1), GATHER, "and soon again");
    bench.assert_whole();
}

#[test]
fn it_waits_no_longer_where_a_batch_is_full_or_it_is_to_end() {
    let mut bench = Bench::new();
    assert_eq!(pause_after(&mut bench, 100), GATHER * GATHER_MANY);
    bench.write(MOST as u128);
    assert_eq!(gathered(&bench), GATHER);
    assert_eq!(pause_after(&mut bench, 100), GATHER * GATHER_MANY);
    let now = bench.runtime.block_on(async { Instant::now() });
    bench.end.send_replace(Some(now));
    assert_eq!(gathered(&bench), GATHER);
}

/// The journal has 64 MiB here: what takes a sixteenth of it is shipped, for its room may be needed.
#[test]
fn it_waits_no_longer_where_the_disk_fills_up() {
    let mut bench = Bench::new();
    bench.shipping.most = 1_000_000;
    assert_eq!(pause_after(&mut bench, 100), GATHER * GATHER_MANY);
    bench.write(30_000);
    assert_eq!(gathered(&bench), GATHER);
}

#[test]
fn a_store_that_is_too_slow_gets_less_at_once() {
    let mut bench = Bench::new();
    bench.write(MOST as u128);
    bench.store.memory().most = Some(100);
    bench.rounds(60);
    let batches = std::mem::take(&mut bench.store.memory().sizes).len();
    assert!(batches < 100, "{batches} batches");
    bench.assert_whole();
    bench.store.memory().most = None;
    bench.write(30 * MOST as u128);
    bench.rounds(1);
    assert!(bench.store.memory().sizes.contains(&MOST), "and more again where it is not");
}
