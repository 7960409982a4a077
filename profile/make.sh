#!/usr/bin/env bash
# Finds out what a release build is told of the gateway's use, and writes it to profile/postern.profdata.
#
#   profile/make.sh [SECONDS]
#
# The gateway is built with a counter in every branch, does the jobs of profile/jobs.py for a few seconds each, and what was
# counted is put together. To be made anew when the way of a request was changed much: code that is not as it was when this was
# counted is compiled as if nothing were known of it. Takes some ten minutes.
#
# It needs the toolchain's llvm-tools (rustup component add llvm-tools), redis-server, and what ../shared/perf/install.sh installs.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-4}
target=${CARGO_TARGET_DIR:-target}/profile
tools=$(dirname "$(rustc --print target-libdir)")/bin
test -x "$tools/llvm-profdata" || { echo "profile/make.sh: first: rustup component add llvm-tools" >&2; exit 1; }
counted=$(mktemp -d)
trap 'rm -rf "$counted"' EXIT

# The same build in all but the counters, or what was counted would not be found again (.cargo/with-profile).
POSTERN_COUNT_INTO=$counted cargo build --locked --release --target-dir "$target"
LLVM_PROFILE_FILE="$counted/%p-%m.profraw" POSTERN_BIN="$target/release/postern" profile/jobs.py "$seconds"
"$tools/llvm-profdata" merge --sparse --output profile/postern.profdata "$counted"/*.profraw
rustc -V > profile/compiler.txt
ls -l profile/postern.profdata
echo "profile/make.sh: now run: cargo clean --release (cargo does not build libraries again for a new profile)"
