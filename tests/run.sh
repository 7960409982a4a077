#!/usr/bin/env bash
# Runs the whole test suite and ends with one line that says how it went.
#
#   tests/run.sh            everything
#   tests/run.sh FILTER …   the tests whose names contain a word
#
# It installs what is missing where it may: curl, which one test runs as the demo prints it, and redis-server, of which the
# tests of the Redis store start their own. Chromium comes with the issue that needs it.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v curl >/dev/null; then
    echo "tests/run.sh: installing curl" >&2
    apt-get update -q && apt-get install -qy --no-install-recommends curl
fi
if ! command -v redis-server >/dev/null; then
    echo "tests/run.sh: installing redis-server" >&2
    # What is installed must not be started here as a service.
    apt-get update -q && RUNLEVEL=1 apt-get install -qy --no-install-recommends redis-server
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
outcome=0
if command -v cargo-nextest >/dev/null; then
    cargo nextest run --locked --no-fail-fast "$@" 2>&1 | tee "$log" || outcome=$?
    summary=$(grep -E '^ *Summary' "$log" | tail -1 | sed 's/^ *//' || true)
else
    cargo test --locked --no-fail-fast -- "$@" 2>&1 | tee "$log" || outcome=$?
    summary=$(grep -E '^test result:' "$log" | awk '{ passed += $4; failed += $6; ignored += $8 }
        END { printf "%d passed, %d failed, %d ignored", passed, failed, ignored }')
fi
if [ "$outcome" -eq 0 ]; then
    echo "tests/run.sh: PASSED: $summary"
else
    echo "tests/run.sh: FAILED: ${summary:-the build}"
fi
exit "$outcome"
