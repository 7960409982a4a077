#!/usr/bin/env bash
# Runs every fuzz target in turn, then the wire fuzz, each for as long as you say; stops at the first finding, whose
# input is in a file that is named.
#
#   tests/fuzz.sh 60           a minute each
#   tests/fuzz.sh 60 target    only the targets with these names (`wire` is the wire fuzz)
#
# It needs cargo-fuzz (`cargo install cargo-fuzz`) and a nightly toolchain beside the stable one (`rustup toolchain
# install nightly`), for the coverage that steers the fuzzer; the wire fuzz alone needs neither. No sanitizer is built in:
# there is no unsafe code here to sanitize. The first build takes minutes and, in fuzz/target, 1 GB. What was found to
# reach new code is kept in fuzz/corpus, and the next run starts from there.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: tests/fuzz.sh SECONDS [TARGET …]}
shift
if [ $# -eq 0 ]; then
    targets=$(cargo +nightly fuzz list)
    # shellcheck disable=SC2086 # one name a word
    set -- $targets wire
fi

for target in "$@"; do
    echo "== $target"
    if [ "$target" = wire ]; then
        tests/fuzz-wire.sh "$seconds"
    else
        cargo +nightly fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" -print_final_stats=1
    fi
done
echo "tests/fuzz.sh: $# targets, $seconds s each, nothing found"
