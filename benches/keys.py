#!/usr/bin/env python3
"""What keys cost in the whole binary: start and memory of 100,000; a flood of wrong ones; the time of each refusal.

    keys.py start  [STARTS]             exec to the first /readyz 200, and resident memory, with 10 and with 100,000 keys
    keys.py flood  [ROUNDS] [RATE] [SECONDS] [PLACE] [WHAT]
                                        valid traffic at 500/s, quiet, then beside RATE wrong keys a second
                                        PLACE: apart (gateway on CPU 0, all else on CPU 1) or loose (two workers, nothing pinned)
                                        WHAT: postern, or nginx comparing one key, to tell the machine's share from ours
    keys.py timing [TRIES] [RUNS] [together|apart]
                                        each kind of wrong key, one request at a time, drawn at random

POSTERN_BIN names a release build (target/release/postern where it is not set). Needs cc, nginx, taskset, chrt (so: root);
timing wants numpy and scipy. All is made in a temporary folder, and what is started here is stopped here.
"""
import json
import os
import random
import secrets
import shutil
import signal
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = os.environ.get("POSTERN_BIN", "target/release/postern")
GATEWAY, ADMIN, UPSTREAM = 18280, 18281, 19280
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
MANY = int(os.environ.get("KEYS", 100_000))


# ---------------------------------------------------------------- keys

def digits(count):
    return "".join(secrets.choice(DIGITS) for _ in range(count))


def formed(purpose, key_id=None):
    """A secret of the right form with a valid check, as src/vault/key.rs makes it."""
    body = f"pst_{purpose}_{key_id or digits(12)}_{digits(43)}"
    rest, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        check = DIGITS[rest % 62] + check
        rest //= 62
    return f"{body}_{check}"


assert zlib.crc32(b"123456789") == 0xCBF43926


def garbage():
    """As long as a formed key, so that nothing but the decision differs."""
    return digits(71)


# ---------------------------------------------------------------- a gateway

class Store:
    """A fresh embedded store with `count` keys: all but the last two given, those made by Postern (so with its own ids)."""

    def __init__(self, work, count, workers=1):
        self.dir = work / f"keys-{count}-{workers}"
        self.dir.mkdir()
        self.config = self.dir / "postern.yaml"
        self.config.write_text(
            f'listen: {{ gateway: "127.0.0.1:{GATEWAY}", admin: "127.0.0.1:{ADMIN}" }}\n'
            f'upstreams: {{ practice: {{ url: "http://127.0.0.1:{UPSTREAM}" }} }}\n'
            "apis: { standard: { mount: /v1, upstream: practice, routes: routes.yaml } }\n"
            f"proxy: {{ workers: {workers} }}\n")
        (self.dir / "routes.yaml").write_text(
            "version: 1\nroutes:\n  - { path: '/v1/appointments/{id:int}', category: appointment }\n")
        self.given = [formed("sub") for _ in range(count - 2)]
        key = {"kind": "key", "practice": "harbour", "owner": "amy", "api": "standard",
               "permissions": {"appointment": "write", "patient": "read"}}
        rows = [{"kind": "practice", "id": "harbour", "name": "Harbour", "api_access": True},
                {"kind": "user", "practice": "harbour", "username": "amy", "name": "Amy"},
                {"kind": "vendor", "id": "acme", "name": "Acme", "status": "approved"},
                {"kind": "vendor_key", "vendor": "acme"}]
        rows += [key | {"name": f"Key {n}", "key": given, "random": True} for n, given in enumerate(self.given)]
        rows += [key | {"name": "used"}, key | {"name": "never used"}]
        lines = self.dir / "import.jsonl"
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
        begin = time.monotonic()
        made = subprocess.run([BIN, "import", "--config", self.config, "--from", lines, "--json"], check=True,
                              capture_output=True, text=True, env=clean()).stdout
        self.import_seconds = time.monotonic() - begin
        made = [json.loads(line) for line in made.splitlines()]
        made = made[0] if len(made) == 1 and isinstance(made[0], list) else made
        self.vendor = next(row["key"] for row in made if row["kind"] == "vendor_key")
        self.used, self.unused = (row["key"] for row in made[-2:])
        lines.unlink()

    def start(self, *before):
        begin = time.monotonic()
        self.process = subprocess.Popen([*before, BIN, "serve", "--config", self.config], env=clean(),
                                        stdout=subprocess.DEVNULL, stderr=open(self.dir / "stderr", "ab"))
        while not is_ready():
            if self.process.poll() is not None:
                sys.exit((self.dir / "stderr").read_text()[-2000:])
            time.sleep(0.005)
        return time.monotonic() - begin

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)

    def memory(self):
        """Resident KiB: all, anonymous."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        of = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "RssAnon"))}
        return int(of["VmRSS"]), int(of["RssAnon"])

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def clean():
    return {name: value for name, value in os.environ.items() if not name.startswith("POSTERN_")}


def admin(path):
    with socket.create_connection(("127.0.0.1", ADMIN), 2) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        said = b""
        while part := s.recv(65536):
            said += part
        return said.decode()


def is_ready():
    try:
        return admin("/readyz").startswith("HTTP/1.1 200")
    except OSError:
        return False


def stolen():
    """Seconds that the host took from this machine's CPUs."""
    return int(Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")


def argon2_runs():
    return next(int(float(line.split()[1])) for line in admin("/metrics").splitlines()
                if line.startswith("postern_argon2_runs_total "))


def client(*args, pairs=(), before=()):
    """Starts one; its standard output is JSON or samples."""
    process = subprocess.Popen([*before, WORK / "client", *map(str, args)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    if pairs:
        process.stdin.write("".join(f"{key} {vendor}\n" for key, vendor in pairs))
    process.stdin.close()
    return process


def answer(process):
    said = process.stdout.read()
    if process.wait():
        sys.exit(f"client failed: {said}")
    return said


def nginx(before):
    (WORK / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {WORK}/nginx.pid; error_log stderr; events {{ worker_connections 1024; }}\n"
        "http { access_log off; keepalive_requests 1000000000; server { "
        f"listen 127.0.0.1:{UPSTREAM}; location / {{ return 200 'ok'; }} }} }}\n")
    return subprocess.Popen([*before, "nginx", "-p", WORK, "-c", WORK / "nginx.conf"], stderr=subprocess.DEVNULL)


class Control(Store):
    """nginx in the gateway's place: one key passes, every other is 401."""

    def start(self, *before):
        conf = self.dir / "control.conf"
        conf.write_text(
            f"daemon off; master_process off; pid {self.dir}/control.pid; error_log stderr;\n"
            "events { worker_connections 1024; }\nhttp { access_log off; keepalive_requests 1000000000;\n"
            f"upstream up {{ server 127.0.0.1:{UPSTREAM}; keepalive 64; keepalive_requests 1000000000; }}\n"
            f"server {{ listen 127.0.0.1:{GATEWAY}; location / {{\n"
            f'if ($http_x_subscriber_key != "{self.used}") {{ return 401; }}\n'
            'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://up; } } }\n')
        self.process = subprocess.Popen([*before, "nginx", "-p", self.dir, "-c", conf], stderr=subprocess.DEVNULL)
        time.sleep(0.5)


# ---------------------------------------------------------------- what is measured

def start(starts=7):
    figures = {}
    for count in (10, MANY):
        store = Store(WORK, count)
        took, resident, anonymous = [], [], []
        for _ in range(int(starts)):
            took.append(store.start())
            time.sleep(1)
            rss, anon = store.memory()
            resident.append(rss)
            anonymous.append(anon)
            store.stop()
        figures[count] = [statistics.median(f) / 1024 for f in (resident, anonymous)]
        print(f"{count} keys: ready after {statistics.median(took):.3f} s "
              f"({min(took):.3f} … {max(took):.3f}), resident {figures[count][0]:.1f} MiB, "
              f"anonymous {figures[count][1]:.1f} MiB "
              f"({min(anonymous) / 1024:.1f} … {max(anonymous) / 1024:.1f}), import took {store.import_seconds:.1f} s, "
              f"store {sum(f.stat().st_size for f in store.dir.rglob('*') if f.is_file()) / 2**20:.0f} MiB")
        if count == MANY:
            # And once each of them was used, so that the worker remembers it.
            upstream = nginx(())
            store.start()
            pairs = [(key, store.vendor) for key in store.given]
            said = json.loads(answer(client("rate", GATEWAY, 4000, len(pairs) / 4000 + 1, 64, pairs=pairs)))
            rss, anon = store.memory()
            print(f"{count} keys, each used once ({said['answered']} requests, {said['statuses']}, "
                  f"{argon2_runs()} argon2 runs): resident {rss / 1024:.1f} MiB, anonymous {anon / 1024:.1f} MiB")
            store.stop()
            store.start()
            said = json.loads(answer(client("rate", GATEWAY, 4000, len(pairs) / 4000 + 1, 64, pairs=[(store.used, store.vendor)])))
            rss, anon = store.memory()
            print(f"{count} keys, one used as often: resident {rss / 1024:.1f} MiB, anonymous {anon / 1024:.1f} MiB")
            store.stop()
            upstream.terminate()
            upstream.wait()
    print("difference: resident {:.1f} MiB, anonymous {:.1f} MiB".format(
        *(many - few for few, many in zip(figures[10], figures[MANY]))))


def flood(rounds=3, rate=20_000, seconds=15, place="apart", what_is_flooded="postern"):
    has_argon2 = what_is_flooded == "postern"
    runs_now = argon2_runs if has_argon2 else (lambda: 0)
    on = (lambda cpu: ["taskset", "-c", str(cpu)]) if place == "apart" else (lambda _: [])
    # The measuring end and the upstream shall not wait for the flood's own end.
    first = ["chrt", "-f", "10"]
    store = (Store if has_argon2 else Control)(WORK, MANY, 1 if place == "apart" else 2)
    upstream = nginx(on(1) + first)
    store.start(*on(0))
    ids = [store.used.split("_")[2], store.unused.split("_")[2]]
    kinds = [lambda: (garbage(), garbage()),
             lambda: (formed("sub", random.choice(ids)), store.vendor),
             lambda: (formed("sub"), formed("ven"))]
    wrong = [kinds[n % 3]() for n in range(30_000)]
    valid = [(store.used, store.vendor)]
    seconds = float(seconds)

    def valid_traffic():
        return client("rate", GATEWAY, 500, seconds, 32, pairs=valid, before=on(1) + first)

    answer(client("rate", GATEWAY, 500, 3, 32, pairs=valid, before=on(1)))
    print(f"argon2 runs after the first valid requests: {runs_now()}")
    ratios, tails = [], {"quiet": [], "flood": []}
    for n in range(int(rounds)):
        figures = {}
        for what in ("quiet", "flood"):
            runs, cpu, steal, begin = runs_now(), store.cpu(), stolen(), time.monotonic()
            beside = client("rate", GATEWAY, rate, seconds, 64, pairs=wrong, before=on(1)) if what == "flood" else None
            said = json.loads(answer(valid_traffic()))
            cpu, took = store.cpu() - cpu, time.monotonic() - begin
            figures[what] = said
            tails[what].append(said["p99_us"])
            line = (f"round {n + 1} {what}: valid {said['reached']:.0f}/s {said['statuses']}, p50 {said['p50_us']:.0f} "
                    f"p99 {said['p99_us']:.0f} p99.9 {said['p999_us']:.0f} longest {said['max_us']:.0f} us; "
                    f"gateway {cpu / took:.2f} of a CPU, {stolen() - steal:.2f} s stolen")
            if beside:
                said = json.loads(answer(beside))
                line += (f"; wrong {said['reached']:.0f}/s {said['statuses']} unsent {said['unsent']} reconnects "
                         f"{said['reconnects']}, p50 {said['p50_us']:.0f} p99 {said['p99_us']:.0f} us, "
                         f"argon2 runs {runs} → {runs_now()}")
            print(line, flush=True)
        ratios.append(figures["flood"]["p99_us"] / figures["quiet"]["p99_us"])
        print(f"round {n + 1}: p99 under flood / quiet = {ratios[-1]:.2f}", flush=True)
    print("median p99: quiet {:.0f} us, flood {:.0f} us".format(*(statistics.median(tails[w]) for w in tails)))
    said = json.loads(answer(valid_traffic()))
    print(f"quiet again: p50 {said['p50_us']:.0f} p99 {said['p99_us']:.0f} p99.9 {said['p999_us']:.0f} us")
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})")
    store.stop()
    upstream.terminate()
    upstream.wait()


def timing(tries=10_000, runs=3, how="together"):
    import numpy
    from scipy import stats
    tries = int(tries)
    store = Store(WORK, MANY)
    upstream = nginx(["taskset", "-c", "1"])
    store.start("taskset", "-c", "0")
    answer(client("rate", GATEWAY, 100, 0.5, 1, pairs=[(store.used, store.vendor)]))
    used_id = store.used.split("_")[2]
    # What a repeated half costs because it is repeated: what the valid halves are to be held against.
    same = formed("sub"), formed("ven")
    base_of = {"valid-sub+wrong-ven": "same-sub+wrong-ven", "unused-sub+wrong-ven": "same-sub+wrong-ven",
               "wrong-sub+valid-ven": "wrong-sub+same-ven"}
    kinds = {
        "garbage": lambda: (garbage(), garbage()),
        "garbage-again": lambda: (garbage(), garbage()),
        "same-sub+wrong-ven": lambda: (same[0], formed("ven")),
        "wrong-sub+same-ven": lambda: (formed("sub"), same[1]),
        "formed": lambda: (formed("sub"), formed("ven")),
        "right-id": lambda: (formed("sub", used_id), formed("ven")),
        "valid-sub+wrong-ven": lambda: (store.used, formed("ven")),
        "unused-sub+wrong-ven": lambda: (store.unused, formed("ven")),
        "wrong-sub+valid-ven": lambda: (formed("sub"), store.vendor),
    }
    files = []
    for kind, pair in kinds.items():
        file = WORK / f"pairs-{len(files)}"
        # Made anew for every try: none profits from a cache line of the one before.
        file.write_text("".join("{} {}\n".format(*pair()) for _ in range(tries)))
        files.append(f"{kind}={file}")
    before, generator = argon2_runs(), numpy.random.default_rng(1)
    for run in range(int(runs)):
        what = "time" if how == "together" else "time-apart"
        said = answer(client(what, GATEWAY, tries, secrets.randbits(32), *files,
                             before=["nice", "-n", "-10", "taskset", "-c", "1"]))
        samples = {kind: [] for kind in kinds}
        for line in said.splitlines():
            kind, status, ns = line.split()
            assert status == "401", line
            samples[kind].append(int(ns))
        base = numpy.array(samples["garbage"])
        print(f"run {run + 1}, {tries} tries each, {how}: garbage median {numpy.median(base):.0f} ns, "
              f"quartiles {numpy.percentile(base, 25):.0f} … {numpy.percentile(base, 75):.0f}")
        verdicts = []
        for kind in list(kinds)[1:]:
            against = base_of.get(kind, "garbage")
            other, base = numpy.array(samples[kind]), numpy.array(samples[against])
            u = stats.mannwhitneyu(other, base)
            ks = stats.ks_2samp(other, base)
            # The machine's state drifts: what was tried within a hundred tries of each other is compared, block by block.
            blocks = [numpy.median(a) - numpy.median(b) for a, b in
                      zip(numpy.array_split(other, tries // 100), numpy.array_split(base, tries // 100))]
            blocked = stats.wilcoxon(blocks)
            verdicts.append((blocked.pvalue, kind))
            boot = [numpy.median(generator.choice(other, tries)) - numpy.median(generator.choice(base, tries))
                    for _ in range(1000)]
            low, high = numpy.percentile(boot, [2.5, 97.5])
            print(f"  {kind:20} - {against:18} median {numpy.median(other) - numpy.median(base):+6.0f} ns "
                  f"(95 %: {low:+.0f} … {high:+.0f}), Mann-Whitney p {u.pvalue:.2g}, "
                  f"P(slower) {u.statistic / tries / tries:.4f}, KS D {ks.statistic:.4f} p {ks.pvalue:.2g}, "
                  f"blocks {numpy.median(blocks):+.0f} ns, Wilcoxon p {blocked.pvalue:.2g}", flush=True)
        verdicts.sort()
        holm = [min(1, p * (len(verdicts) - n)) for n, (p, _) in enumerate(verdicts)]
        print(f"  the least p of {len(verdicts)} comparisons, blocks, after Holm: {max(holm[0], 0):.2g} ({verdicts[0][1]})")
        everything = stats.kruskal(*samples.values())
        print(f"  all kinds: Kruskal-Wallis p {everything.pvalue:.2g}", flush=True)
    print(f"argon2 runs {before} → {argon2_runs()}")
    store.stop()
    upstream.terminate()
    upstream.wait()


if __name__ == "__main__":
    commands = {"start": start, "flood": flood, "timing": timing}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    WORK = Path(tempfile.mkdtemp(prefix="postern-keys-"))
    subprocess.run(["cc", "-O2", "-o", WORK / "client", HERE / "client.c"], check=True)
    try:
        commands[sys.argv[1]](*sys.argv[2:])
    finally:
        if os.environ.get("KEEP"):
            print(WORK)
        else:
            shutil.rmtree(WORK)
