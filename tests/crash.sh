#!/usr/bin/env bash
# The crash matrix in its long form: the gateway is killed at random moments under load, on an embedded store and on Redis,
# and its Redis is killed, stopped, restarted and replaced by replicas; in the end every request that was answered, or that
# the upstream saw, must have its one record, and the sums must be those of the records. Ends with one line that says how
# it went.
#
#   tests/crash.sh             200 kills of the gateway (100 on each store), 24 troubles of Redis, a full disk
#   tests/crash.sh 40          40 kills (20 on each store)
#   POSTERN_SEED=7 tests/crash.sh    the choices of an earlier run, which said its seed
#
# It needs redis-server, which tests/run.sh installs, and for the full disk the right to mount a tmpfs.
set -euo pipefail
cd "$(dirname "$0")/.."

kills=${1:-200}
begun=$SECONDS
export POSTERN_BIG=1 POSTERN_KILLS=$(((kills + 1) / 2))

outcome=0
if command -v cargo-nextest >/dev/null; then
    # One after the other, so that their progress is told as it comes.
    cargo nextest run --locked --no-fail-fast --no-capture --test it -E 'test(crash_matrix) | test(full_disk)' || outcome=$?
else
    cargo test --locked --no-fail-fast --test it -- --nocapture --test-threads 1 crash_matrix full_disk || outcome=$?
fi
if [ "$outcome" -eq 0 ]; then
    echo "tests/crash.sh: PASSED: $((2 * POSTERN_KILLS)) kills of the gateway, nothing lost or doubled, $((SECONDS - begun)) s"
else
    echo "tests/crash.sh: FAILED after $((SECONDS - begun)) s: the faults stand above"
fi
exit "$outcome"
