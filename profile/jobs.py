#!/usr/bin/env python3
"""What a release build should be fast at: runs POSTERN_BIN through each of these jobs, for so many seconds: jobs.py [SECONDS]

The scenarios of ../shared/perf, which see every scheme of a connection, reads, writes, refusals and large answers; then the
mixed one with limits counted in Redis and records shipped there, with all kinds of rates.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RIG = HERE.parent.parent / "shared" / "perf"
sys.path.insert(0, str(RIG))
os.environ["POSTERN_BIN"] = str(Path(os.environ["POSTERN_BIN"]).resolve())
import run      # noqa: E402
import targets  # noqa: E402

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 4
RATE = "{ rate: 1000000000/10s, burst: 1000000000 }"
EVERY_RATE = f"{{ key: {RATE}, vendor: {RATE}, practice: {RATE}, category: {{ appointment: {RATE} }} }}"


class Postern(targets.Postern):
    store, limits = "embedded:./data", None

    def write_config(self, ctx):
        os.environ["RIG_POSTERN_STORE"] = self.store
        super().write_config(ctx)
        config = ctx.dir / "postern.yaml"
        # A port that the system chooses: the one next to the gateway's may be taken.
        text = re.sub(r"(?m)^  admin: .*$", "  admin: 127.0.0.1:0", config.read_text())
        if self.limits:
            text = re.sub(r"(?m)^limits:\n.*$", f"limits: {self.limits}", text)
        config.write_text(text)


def redis(folder):
    port = run.free_port()
    server = subprocess.Popen(["redis-server", "--port", str(port), "--dir", folder, "--appendonly", "yes", "--save", "",
                               "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL)
    assert run.wait_port(port, server), "Redis does not come up"
    return server, f"redis://127.0.0.1:{port}/0"


def job(rig, name, scenario, postern):
    gateway = rig.start(postern, scenario.keys)
    try:
        done = scenario.load(rig, gateway.ctx, SECONDS)
        print(f"{name}: {done['requests']} requests", flush=True)
        assert done["requests"] and (scenario.expect_bad or not done["bad"]), f"{name} was not done: {done}"
    finally:
        gateway.stop()


def main():
    rig = run.Rig()
    rig.start_upstream()
    scenarios = {s.id: s for s in run.SCENARIOS}
    try:
        # The last two: argon2 and a load at leisure, which say nothing of what is often run.
        for name in [name for name in scenarios if name not in ("g100000", "r")]:
            job(rig, name, scenarios[name], Postern())
        with tempfile.TemporaryDirectory() as folder:
            server, store = redis(folder)
            shared = Postern()
            shared.store, shared.limits = store, EVERY_RATE
            try:
                job(rig, "f, limits and records in Redis", scenarios["f"], shared)
            finally:
                server.kill()
                server.wait()
    finally:
        rig.close()


main()
