#!/usr/bin/env python3
"""End-to-end numbers as ratios to a bare Pingora in the same run.

One core for the server, one for wrk (and the origin); rounds alternate between ours and the yardstick, and medians are
printed with the CPU time a request costs the server, which a noisy machine disturbs least.

    cargo build --release --bin real-streaming --example bare_pingora && python3 benches/e2e.py

Needs: wrk, nginx, taskset. --events N sets how many events the memory run sends (5,000,000 by default; 0 skips it).
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/foreign"))
from loopback import free_port

RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
BODY = (ROOT / "tests/golden/seed.json").read_text()
BODY += " " * (1024 - len(BODY))  # the design's 1 KB body
TICK = os.sysconf("SC_CLK_TCK")
CONNECTIONS = None  # set by --connections


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def status_kb(pid, key):
    return int(re.search(rf"^{key}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


class World:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.children = []

    def run(self, core, *command, log):
        out = open(self.folder / log, "ab")
        child = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], stdout=out, stderr=out, cwd=self.folder)
        self.children.append(child)
        return child

    def origin(self):
        port = free_port()
        site = self.folder / "site"
        site.mkdir()
        (site / "index.html").write_text("x" * 1024)
        conf = self.folder / "nginx.conf"
        conf.write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/nginx.pid; error_log {self.folder}/nginx.err;\n"
            f"events {{ worker_connections 1024; }}\n"
            f"http {{ access_log off; keepalive_requests 1000000000; default_type text/html;\n"
            f"  server {{ listen 127.0.0.1:{port}; root {site}; }} }}\n")
        os.chmod(self.folder, 0o755)
        self.run(1, "nginx", "-c", conf, "-e", self.folder / "nginx.err", log="nginx.log")
        wait_for(port)
        return port

    def ours(self, origin):
        port, admin = free_port(), free_port()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        conf = self.folder / "ours.yaml"
        conf.write_text(
            f"environment: PROD\n"
            f"server: {{ listen: ['127.0.0.1:{port}'], admin: '127.0.0.1:{admin}', threads: 1 }}\n"
            f"routes: [ {{ hosts: ['*'], path: '/', upstreams: ['http://127.0.0.1:{origin}'] }} ]\n"
            f"writers: {{ strategy: local, local: {{ directory: {self.folder}/data }},\n"
            f"  spool: {{ directory: {self.folder}/data/spool, durability: disk, max_size: 20GB }} }}\n")
        child = self.run(0, RELEASE / "real-streaming", "serve", "--config", conf, log="ours.log")
        wait_for(port)
        return child, port, admin

    def bare(self, origin):
        port = free_port()
        child = self.run(0, RELEASE / "examples/bare_pingora", port, f"127.0.0.1:{origin}", log="bare.log")
        wait_for(port)
        return child, port

    def close(self):
        for child in self.children:
            # Asked, not killed: nginx ends its workers itself.
            child.terminate()
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


def wrk(folder, port, path, seconds, post):
    script = pathlib.Path(folder) / "post.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        'wrk.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"\n'
        'wrk.headers["Accept-Language"] = "de-CH,de;q=0.9"\n'
        'wrk.headers["Cookie"] = "__uid__=1234567890.1700000000"\n'
        f"wrk.body = [==[{BODY}]==]\n")
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(script)] if post else []
    out = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        print(out, file=sys.stderr)
    return int(re.search(r"(\d+) requests in", out).group(1)), float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def measure(folder, child, port, path, seconds, post):
    wrk(folder, port, path, 1, post)
    before = cpu_seconds(child.pid)
    requests, rate = wrk(folder, port, path, seconds, post)
    return rate, (cpu_seconds(child.pid) - before) * 1e6 / requests


def compare(world, origin, title, path, rounds, seconds, post, goal):
    results = {"ours": [], "bare": []}
    for _ in range(rounds):
        for name in results:
            if name == "ours":
                child, port, _ = world.ours(origin)
            else:
                child, port = world.bare(origin)
            results[name].append(measure(world.folder, child, port, path, seconds, post))
            child.kill()
            child.wait()
            time.sleep(0.5)
    rate = {name: statistics.median(r for r, _ in rows) for name, rows in results.items()}
    cost = {name: statistics.median(c for _, c in rows) for name, rows in results.items()}
    print(f"{title}")
    for name in results:
        print(f"  {name:5} {rate[name]:9.0f} requests/s   {cost[name]:6.1f} µs CPU/request")
    print(f"  ratio {rate['ours'] / rate['bare']:.2f} of the bare Pingora's requests/s (goal {goal})", flush=True)


def metric(admin, name):
    text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics").read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def memory(world, origin, events):
    child, port, admin = world.ours(origin)
    sent = 0
    while sent < events:
        sent += wrk(world.folder, port, "/api/v1/streaming/1", 10, True)[0]
    rss, peak = status_kb(child.pid, "VmRSS"), status_kb(child.pid, "VmHWM")
    lag = metric(admin, "real_streaming_events_in_spool{")
    print(f"memory under load, {sent:,} events: {rss / 1024:.0f} MB resident, {peak / 1024:.0f} MB at its highest; "
          f"{lag:,.0f} rows not yet in the lake", flush=True)
    started = time.time()
    while metric(admin, "real_streaming_events_in_spool{") > 0 and time.time() - started < 300:
        time.sleep(1)
    waited = time.time() - started
    time.sleep(30)  # the allocator gives back late, and files are still merged
    print(f"memory after them (goal 150): {status_kb(child.pid, 'VmRSS') / 1024:.0f} MB resident; "
          f"the lake had caught up {waited:.0f} s after the last event")
    child.kill()
    child.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--connections", type=int, default=512)
    args = parser.parse_args()
    global CONNECTIONS
    CONNECTIONS = args.connections  # enough to keep either server busy while groups of events wait for the disk
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        world = World(folder)
        try:
            origin = world.origin()
            compare(world, origin, "POST of one event, 1 KB, spool on disk, lake on", "/api/v1/streaming/1", args.rounds,
                    args.seconds, True, "0.60")
            compare(world, origin, "GET of 1 KB through the proxy", "/index.html", args.rounds, args.seconds, False, "0.90")
            if args.events:
                memory(world, origin, args.events)
        finally:
            world.close()


if __name__ == "__main__":
    main()
