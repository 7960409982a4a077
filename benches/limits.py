#!/usr/bin/env python3
"""What shared limits cost: benches/limits.py [ROUNDS] [SECONDS] [all|key]

Each round runs one gateway after the other, one worker on processor 0, wrk, the upstream and Redis on processor 1: limits
counted here (SQLite store), limits counted in Redis, and the same Redis store without limits, for the records alone; of the
key, its category, its vendor and its practice, or of the key alone. A hundred keys are at work; SILENT says how many more
are registered.
Throughput with 64 connections, or as many as CONNECTIONS says, then the median of one connection, which nothing else holds up.
POSTERN_BIN names a release build. Needs wrk, nginx and redis-server.
"""
import json, os, re, signal, socket, statistics, subprocess, sys, tempfile, time
BIN = os.environ.get("POSTERN_BIN", "target/release/postern")
ROUNDS, SECONDS = int((sys.argv + ["5"])[1]), int((sys.argv + ["", "4"])[2])
RATE = "1000000000/10s"
CONNECTIONS = int(os.environ.get("CONNECTIONS", 64))
WHICH = sys.argv[3] if len(sys.argv) > 3 else "all"
LIMITS = f"""limits:
  key: {{ rate: {RATE}, burst: 1000000000 }}
  vendor: {{ rate: {RATE}, burst: 1000000000 }}
  practice: {{ rate: {RATE}, burst: 1000000000 }}
  category: {{ patient: {{ rate: {RATE}, burst: 1000000000 }} }}
"""
if WHICH == "key":
    LIMITS = "".join(LIMITS.splitlines(keepends=True)[:2])
KEYS = [f"import0key0number0{n:04d}0abcdefgh" for n in range(100)]
# Registered, and never used.
SILENT = [f"import1key1number1{n:06d}1abcdefgh" for n in range(int(os.environ.get("SILENT", 0)))]
VENDOR = "import0vendor0key0abcdefghijkl"


def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def on(cpu, argv, **more):
    return subprocess.Popen(["taskset", "-c", str(cpu), *argv], **more)


def until(ready):
    end = time.time() + 20
    while not ready():
        assert time.time() < end, "it does not come up"
        time.sleep(0.02)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def setup(d, store, limits, upstream):
    port = free()
    open(f"{d}/postern.yaml", "w").write(f"""
listen: {{ gateway: "127.0.0.1:{port}", admin: "127.0.0.1:0" }}
store: {store}
upstreams: {{ practice: {{ url: "http://127.0.0.1:{upstream}" }} }}
apis: {{ standard: {{ mount: /v1, upstream: practice, routes: routes.yaml }} }}
proxy: {{ workers: 1 }}
{limits}""")
    open(f"{d}/routes.yaml", "w").write("version: 1\nroutes:\n  - { path: /v1/patients, category: patient }\n")
    rows = [{"kind": "practice", "id": "p", "name": "P", "api_access": True},
            {"kind": "user", "practice": "p", "username": "u", "name": "U"},
            {"kind": "vendor", "id": "v", "name": "V", "status": "approved"},
            {"kind": "vendor_key", "vendor": "v", "key": VENDOR, "random": True}]
    rows += [{"kind": "key", "practice": "p", "name": k, "owner": "u", "api": "standard",
              "permissions": {"patient": "read"}, "key": k, "random": True} for k in KEYS + SILENT]
    open(f"{d}/i.jsonl", "w").write("".join(json.dumps(r) + "\n" for r in rows))
    told = subprocess.run([BIN, "import", "--config", f"{d}/postern.yaml", "--from", f"{d}/i.jsonl"],
                          capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    open(f"{d}/w.lua", "w").write(
        "local k={" + ",".join(f'"{k}"' for k in KEYS) + "}\nlocal n=0\nlocal r={}\n"
        "init=function() for i=1,#k do r[i]=wrk.format('GET','/v1/patients',"
        f"{{['X-Subscriber-Key']=k[i],['X-Vendor-Key']='{VENDOR}'}}) end end\n"
        "request=function() n=n%#k+1; return r[n] end\n")
    return port


def worker_cpu(pid):
    """Of the thread that serves, in seconds."""
    for task in os.listdir(f"/proc/{pid}/task"):
        if open(f"/proc/{pid}/task/{task}/comm").read().startswith("worker"):
            return sum(map(int, open(f"/proc/{pid}/task/{task}/stat").read().rsplit(")")[-1].split()[11:13])) / 100
    raise AssertionError("no worker")


def load(d, port, connections, seconds):
    out = on(1, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", f"{d}/w.lua",
                 f"http://127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True).communicate()[0]
    assert "Non-2xx" not in out, out
    p50 = re.search(r"50%\s+([0-9.]+)(us|ms|s)", out)
    scale = {"us": 1, "ms": 1e3, "s": 1e6}[p50[2]]
    return (float(re.search(r"Requests/sec:\s+([0-9.]+)", out)[1]), float(p50[1]) * scale,
            int(re.search(r"(\d+) requests in", out)[1]))


def measure(store, limits, upstream):
    d = tempfile.mkdtemp(prefix="limits-")
    redis = None
    if store == "redis":
        rp = free()
        redis = on(1, ["redis-server", "--port", str(rp), "--dir", d, "--appendonly", "yes", "--save", "",
                       "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL)
        until(lambda: listens(rp))
        store = f"redis://127.0.0.1:{rp}/0"
    port = setup(d, store, limits, upstream)
    gateway = on(0, [BIN, "serve", "--config", f"{d}/postern.yaml"], stdout=subprocess.PIPE,
                 stderr=open(f"{d}/err", "w"), text=True)
    assert gateway.stdout.readline().startswith("listening")
    load(d, port, CONNECTIONS, 1)
    before = worker_cpu(gateway.pid)
    rate, _, requests = load(d, port, CONNECTIONS, SECONDS)
    cpu = (worker_cpu(gateway.pid) - before) / requests * 1e6
    _, p50, _ = load(d, port, 1, 2)
    gateway.send_signal(signal.SIGTERM)
    gateway.wait(30)
    if redis:
        redis.kill()
        redis.wait()
    return rate, cpu, p50


d = tempfile.mkdtemp(prefix="limits-up-")
up = free()
open(f"{d}/nginx.conf", "w").write(
    f"daemon off; master_process off; error_log stderr; pid {d}/pid; worker_processes 1; events {{}} http {{ access_log off; keepalive_requests 1000000000;"
    f" server {{ listen 127.0.0.1:{up}; location / {{ return 200 '{'x' * 512}'; }} }} }}")
nginx = on(1, ["nginx", "-c", f"{d}/nginx.conf", "-p", d], stderr=subprocess.DEVNULL)
until(lambda: listens(up))
variants = {"counted here": ("embedded:./data", LIMITS), "counted in Redis": ("redis", LIMITS),
            "Redis store, no limits": ("redis", "")}
seen = {name: [] for name in variants}
try:
    for n in range(ROUNDS):
        for name, (store, limits) in variants.items():
            seen[name].append(measure(store, limits, up))
            rate, cpu, p50 = seen[name][-1]
            print(f"round {n + 1}: {name}: {rate:.0f} a second, {cpu:.1f} us of the worker a request, "
                  f"median of one connection {p50:.0f} us", flush=True)
finally:
    nginx.kill()
for beside in ["counted here", "Redis store, no limits"]:
    pairs = list(zip(seen[beside], seen["counted in Redis"]))
    throughput, cpu = (statistics.median(a[n] / b[n] for a, b in pairs) for n in (0, 1))
    more = statistics.median(b[2] - a[2] for a, b in pairs)
    print(f"counted in Redis, beside {beside}: throughput {1 / throughput:.2f}, of what the worker could {cpu:.2f}, "
          f"median {more:+.0f} us (medians of {ROUNDS} rounds)")
