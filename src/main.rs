//! The `postern` program: it reads its command line, does what it says, and ends with an exit code.

use std::process::ExitCode;

use clap::Parser;
use postern::cli::{self, Cli};

/// Many small allocations on many threads are what a gateway does all day.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli::run(cli),
        Err(usage) => cli::show_usage(&usage),
    }
}
