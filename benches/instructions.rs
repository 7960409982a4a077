//! How many instructions each stage of a request takes, beside the figures that are committed: a tenth more is a failure.
//!
//! ```text
//! cargo bench --profile instructions --features instructions --bench instructions [-- STAGE …]
//! cargo bench --profile instructions --features instructions --bench instructions -- --accept
//! ```
//!
//! Times on a machine that others share say nothing to a tenth; instructions repeat (docs/measurements.md says how well). This
//! program runs itself under valgrind once for each stage. What it counts is what happens within [`collected`], which does a
//! stage many times; it was done as often before, so that memories are filled and pages are there. `--accept` writes what was
//! counted into benches/instructions.txt, for a commit that says why.
//!
//! What must not count is what other processors do otherwise: everything outside this program (libc chooses its `memcpy` and
//! `memcmp` by the processor) and what `counting::DISPATCHED` names, which chooses at run time, too. valgrind does not settle it:
//! it hides AVX-512 from the program, not whether there is AVX2. These are shown besides and compared with nothing; calls of
//! them are counted where they are made. Stages that are little else are not here at all: TLS, the digest of a key that is new,
//! argon2, zstd. Nor is what hyper and tokio do: the rig of whole requests tells of that. Figures are those of x86_64; elsewhere
//! they are shown and not compared.
//!
//! There is a harness for this, gungraun (once iai-callgrind). It brings packages, and a program of exactly its version that CI
//! would have to compile first; and it compares the sum of all that callgrind saw, libc included.
//!
//! The profile is `release` without whole-program optimization, which would take CI minutes. So counts are above those of the
//! binary that is shipped: functions of other crates are inlined less. What makes one longer makes the other longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on shall stop, and says what it found"
)]

use std::process::ExitCode;

#[path = "instructions/committed.rs"]
mod committed;
#[path = "instructions/counting.rs"]
mod counting;
#[path = "instructions/stages.rs"]
mod stages;

use committed::Committed;
use stages::{STAGES, Stage};

/// The gateway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many as there are keys, so that each has its turn. Counts are divided by it.
const TURNS: usize = 1_000;
/// Has this program do a stage, and nothing else.
const RUN: &str = "--run";

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [RUN, name] => {
            run(STAGES.iter().find(|stage| stage.name == *name).unwrap());
            ExitCode::SUCCESS
        }
        ["--accept"] => {
            let counts = STAGES.iter().map(|stage| (stage.name, counting::count(stage.name).ours));
            committed::write(counts);
            ExitCode::SUCCESS
        }
        names => {
            let unknown = names.iter().find(|name| STAGES.iter().all(|stage| stage.name != **name));
            assert_eq!(unknown, None, "there is no such stage");
            compare(names)
        }
    }
}

/// What runs under valgrind.
fn run(stage: &Stage) {
    let mut turn = (stage.set_up)();
    for number in 0..TURNS {
        turn(number);
    }
    collected(&mut *turn);
}

/// What is counted. valgrind knows it by its name.
#[inline(never)]
fn collected(turn: &mut dyn FnMut(usize)) {
    for number in TURNS..2 * TURNS {
        turn(number);
    }
}

fn compare(names: &[&str]) -> ExitCode {
    let committed = Committed::read();
    let mut verdict = committed.verdict();
    println!("{:<16} {:>9} {:>9} {:>6} {:>9}", "stage", "committed", "now", "ratio", "besides");
    for stage in STAGES.iter().filter(|stage| names.is_empty() || names.contains(&stage.name)) {
        let counted = counting::count(stage.name);
        println!("{}", verdict.line(stage.name, counted));
    }
    println!("{}", verdict.summary());
    verdict.code()
}
