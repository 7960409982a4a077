#!/usr/bin/env bash
# Throws mutated requests at a real gateway for as long as you say, with one verdict: all that the upstream saw was
# judged, and was allowed. A failing input is written to a file, which is named.
#
#   tests/fuzz-wire.sh 600          ten minutes
#   tests/fuzz-wire.sh 60 SEED      a seed that was shown before
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: tests/fuzz-wire.sh SECONDS [SEED]}
export POSTERN_FUZZ_SECONDS=$seconds
if [ $# -gt 1 ]; then
    export POSTERN_FUZZ_SEED=$2
fi
exec cargo test --locked --test it -- --exact --nocapture \
    oracle::all_that_the_upstream_sees_was_judged_and_allowed
