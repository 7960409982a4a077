#!/usr/bin/env bash
# The gateway beside ../shared/perf's bare hyper forwarder: CPU per request at 64 connections, one worker, 512-byte bodies.
#
#   benches/beside-the-floor.sh [ROUNDS] [SECONDS]
#
# Both proxies run on CPU 0, load (wrk) and upstream on CPU 1, in turn, round after round; the ratio is taken inside each
# round, so that what else the machine does falls on both. CPU is user plus system time from /proc. It needs wrk, openssl
# and a release build, and builds the floor and its upstream in a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7} seconds=${2:-3}
rig=../shared/perf
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

for crate in hyper-floor rawpump; do
    cp -r "$rig/$crate" "$work/$crate" && chmod -R u+w "$work/$crate"
    # Not told of our use (.cargo/with-profile).
    RUSTC_WRAPPER='' cargo build --quiet --release --manifest-path "$work/$crate/Cargo.toml"
done
subscriber=pst_sub_aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb_cccccc
vendor=pst_ven_aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb_cccccc
cat >"$work/postern.yaml" <<YAML
listen: { gateway: "127.0.0.1:18080", admin: "127.0.0.1:18081" }
upstreams: { practice: { url: "http://127.0.0.1:19000" } }
apis: { standard: { mount: /v1, upstream: practice, routes: routes.yaml } }
proxy: { workers: 1 }
YAML
# The rig's own 60 rules.
PYTHONPATH=$rig python3 - >"$work/routes.yaml" <<'PYTHON'
import re
import policy

rules = {}
for method, template, category, _ in policy.make().rules:
    rules.setdefault((template, category), []).append(method)
print("version: 1\nroutes:")
for (template, category), methods in rules.items():
    names = iter("abcdef")
    path = re.sub(r"\*", lambda _: "{%s:int}" % next(names), template)
    print(f"  - {{ path: '{path}', category: {category}, methods: [{', '.join(methods)}] }}")
PYTHON
cat >"$work/import.jsonl" <<JSONL
{"kind":"practice","id":"p1","name":"P1","api_access":true}
{"kind":"user","practice":"p1","username":"ana","name":"Ana"}
{"kind":"vendor","id":"acme","name":"Acme","status":"approved"}
{"kind":"vendor_key","vendor":"acme","key":"$vendor","random":true}
{"kind":"key","practice":"p1","name":"k1","owner":"ana","api":"standard","permissions":{"appointment":"write"},"key":"$subscriber","random":true}
JSONL
env -u POSTERN_ADMIN_URL target/release/postern import --config "$work/postern.yaml" --from "$work/import.jsonl"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2 \
    -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null

start() { # CPU COMMAND…
    nice -n -10 taskset -c "$1" "${@:2}" >/dev/null 2>&1 &
    pids+=($!)
}
start 1 "$work/rawpump/target/release/rig-upstream" 19000
start 0 target/release/postern serve --config "$work/postern.yaml"
start 0 "$work/hyper-floor/target/release/hyper-floor" 127.0.0.1:18090 127.0.0.1:18091 127.0.0.1:19000 \
    "$work/certificate.pem" "$work/key.pem"
for port in 18080 18090 19000; do
    for _ in $(seq 100); do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
        sleep 0.1
    done
done

load() { # PORT SECONDS
    nice -n -10 taskset -c 1 wrk -t1 -c64 "-d$2s" -H "X-Subscriber-Key: $subscriber" -H "X-Vendor-Key: $vendor" \
        "http://127.0.0.1:$1/v1/appointments/12345"
}
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
cost() { # PID PORT
    load "$2" 1 >/dev/null
    local before answered said
    before=$(ticks "$1")
    said=$(load "$2" "$seconds")
    if grep -q Non-2xx <<<"$said"; then
        echo "not every answer was a good one: $said" >&2
        exit 1
    fi
    answered=$(awk '/requests in/ { print $1 }' <<<"$said")
    awk -v ticks="$(($(ticks "$1") - before))" -v answered="$answered" 'BEGIN { printf "%.2f", ticks * 10000 / answered }'
}
for round in $(seq "$rounds"); do
    postern=$(cost "${pids[1]}" 18080)
    floor=$(cost "${pids[2]}" 18090)
    echo "round $round: floor $floor us, postern $postern us of CPU a request," \
        "ratio $(awk -v p="$postern" -v f="$floor" 'BEGIN { printf "%.3f", p / f }')"
done | tee "$work/rounds"
echo "median ratio: $(awk '{ print $NF }' "$work/rounds" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }')"
