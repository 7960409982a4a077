#!/usr/bin/env python3
"""How long a million waiting records take into the store: benches/shipping.py embedded|redis [RECORDS]

The store is held up (a write lock on access.db, SIGSTOP for Redis) while wrk makes refusals of a hundred keys; then it is let go.
POSTERN_BIN names a release build. Needs wrk, and redis-server for redis.
"""
import json, os, re, signal, sqlite3, subprocess, sys, tempfile, time, urllib.request
BIN = os.environ.get("POSTERN_BIN", "target/release/postern")
kind = sys.argv[1]; many = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
d = tempfile.mkdtemp(prefix="ship-")
GW, AD, RP = 18380, 18381, 18399
redis = None
if kind == "redis":
    redis = subprocess.Popen(["redis-server", "--port", str(RP), "--dir", d, "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL)
    time.sleep(1)
store = "embedded:./data" if kind == "embedded" else f"redis://127.0.0.1:{RP}/0"
open(f"{d}/postern.yaml", "w").write(f"""
listen: {{ gateway: "127.0.0.1:{GW}", admin: "127.0.0.1:{AD}" }}
store: {store}
upstreams: {{ practice: {{ url: "http://127.0.0.1:9" }} }}
apis: {{ standard: {{ mount: /v1, upstream: practice, routes: routes.yaml }} }}
proxy: {{ workers: 1, max_staleness: 1h }}
""")
open(f"{d}/routes.yaml", "w").write("version: 1\nroutes:\n  - { path: /v1/patients, category: patient }\n  - { path: /v1/files/**, category: files }\n")
keys = [f"import0key0number0{n:04d}0abcdefgh" for n in range(100)]
rows = [{"kind": "practice", "id": "p", "name": "P", "api_access": True}, {"kind": "user", "practice": "p", "username": "u", "name": "U"},
        {"kind": "vendor", "id": "v", "name": "V", "status": "approved"}, {"kind": "vendor_key", "vendor": "v", "key": "import0vendor0key0abcdefghijkl", "random": True}]
rows += [{"kind": "key", "practice": "p", "name": k, "owner": "u", "api": "standard", "permissions": {"files": "read"}, "key": k, "random": True} for k in keys]
open(f"{d}/i.jsonl", "w").write("".join(json.dumps(r) + "\n" for r in rows))
subprocess.run([BIN, "import", "--config", f"{d}/postern.yaml", "--from", f"{d}/i.jsonl"], check=True, stdout=subprocess.DEVNULL)
gw = subprocess.Popen([BIN, "serve", "--config", f"{d}/postern.yaml"], stdout=subprocess.PIPE, stderr=open(f"{d}/err", "w"), text=True)
gw.stdout.readline()
def metric(name):
    text = urllib.request.urlopen(f"http://127.0.0.1:{AD}/metrics", timeout=60).read().decode()
    return float(re.search(rf"^{name} ([0-9.e+]+)$", text, re.M).group(1))
open(f"{d}/w.lua", "w").write("local k={" + ",".join(f'"{k}"' for k in keys) + "}\nlocal n=0\nrequest=function() n=n%#k+1; return wrk.format('GET','/v1/patients',{['X-Subscriber-Key']=k[n],['X-Vendor-Key']='import0vendor0key0abcdefghijkl',['User-Agent']='bench/'..(n%7)}) end\n")
if kind == "redis": redis.send_signal(signal.SIGSTOP)
else:
    lock = sqlite3.connect(f"{d}/data/access.db", isolation_level=None, timeout=60); lock.execute("BEGIN IMMEDIATE")
begun = time.time()
while metric("postern_records_waiting") < many and time.time() - begun < 200:
    subprocess.run(["wrk", "-t1", "-c32", "-d4s", "-s", f"{d}/w.lua", f"http://127.0.0.1:{GW}"], stdout=subprocess.DEVNULL)
waiting = metric("postern_records_waiting")
print(f"{waiting:.0f} waiting after {time.time()-begun:.0f} s")
def cpu(p): return sum(map(int, open(f"/proc/{p.pid}/stat").read().rsplit(")")[-1].split()[11:13])) / 100
c0 = cpu(gw); r0 = cpu(redis) if redis else 0
if kind == "redis": redis.send_signal(signal.SIGCONT)
else: lock.execute("ROLLBACK"); lock.close()
t = time.time()
while (w := metric("postern_records_waiting")) > 0 and time.time() - t < 300: time.sleep(0.2)
el = time.time() - t
print(f"{kind}: {waiting:.0f} records in {el:.1f} s, {waiting/el:.0f}/s; gateway {cpu(gw)-c0:.1f} s of CPU" + (f", redis {cpu(redis)-r0:.1f} s" if redis else ""))
gw.send_signal(signal.SIGTERM); gw.wait(20)
if redis: redis.kill()
