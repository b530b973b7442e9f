#!/usr/bin/env python3
"""What a proxied request costs, beside the proxies that people use and the least a Pingora program can do.

The server is pinned to core 0, wrk and the site (nginx, a file of 0.8 KB) to core 1; each round has all servers, in another
order, and medians are printed. Processor time is that of the server's whole process tree. No server writes an access log, but
for ours in one of its two rows: that is how it comes. The bare Pingora is measured twice a round: the ratio of its two rows is
what the machine adds to every ratio by itself.

Each round has two measurements: as many requests as the server answers (wrk), and the same number a second for all (h2load).
The first flatters the faster ones: they keep the other core busy, so that they hardly ever have to wake it, which on a virtual
machine costs microseconds.

After the rounds come turns: all servers are there, and each in its turn answers some thousand requests (h2load), a quarter of
a second or so, in another order each time. What neighbours on the machine take is much the same for all servers within a turn,
so that ratios by turns tell differences of a few per cent, which rounds do not.

    cargo build --release --bin real-streaming --example bare_pingora && python3 benches/proxy.py     (or benches/proxy.sh)

Needs: wrk, h2load, nginx, taskset, openssl; haproxy and caddy where they are installed.
"""

import argparse
import os
import pathlib
import random
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

from e2e import RELEASE, World, status_kb, wait_for
from loopback import free_port

BODY = 800
BARE, AGAIN, NGINX = "bare Pingora", "bare Pingora, again", "nginx"
# Requests of one turn, and turns of one set of processes: where their memory lies makes a difference, too.
TURN, FRESH = 8000, 10


def tree(pid):
    """A process and all below it."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [below for child in children for below in tree(int(child))]


def spent(processes):
    """Microseconds that their threads have run, finer than the ticks of `/proc/PID/stat`. Without threads that have ended."""
    threads = [thread for pid in processes for thread in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1000


def milliseconds(text):
    """A time as wrk writes it."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m|h)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}[unit]


class Servers(World):
    """Each method starts one proxy in front of the site: `(process, port)`."""

    binary = RELEASE / "real-streaming"

    def site(self):
        """The site whose file is of the right size: `World.origin`, which has a file of another."""
        port = self.origin()
        (self.folder / "site/index.html").write_text("x" * BODY)
        return port

    def proxy(self, command, port, log):
        child = self.run(0, *command, log=log)
        wait_for(port)
        return child, port

    def conf(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def certificate(self):
        """A certificate for localhost and its key."""
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        if not cert.exists():
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                check=True, capture_output=True)
        return cert, key

    def real_streaming(self, site, access_log, tls=False):
        port, admin = free_port(), free_port()
        listen = f"listen: ['127.0.0.1:{port}']"
        if tls:
            cert, key = self.certificate()
            listen = f"listen: ['127.0.0.1:{free_port()}'], tls: {{ listen: ['127.0.0.1:{port}'], certificates: [ {{ cert: {cert}, key: {key} }} ] }}"
        data = self.folder / f"data-{port}"
        conf = self.conf(f"ours-{port}.yaml", (
            f"environment: PROD\n"
            f"server: {{ {listen}, admin: '127.0.0.1:{admin}', threads: 1, access_log: {{ enabled: {access_log} }} }}\n"
            f"routes: [ {{ upstreams: ['http://127.0.0.1:{site}'] }} ]\n"
            f"writers: {{ local: {{ directory: {data} }}, spool: {{ directory: {data}/spool }} }}\n"))
        return self.proxy([self.binary, "serve", "--config", conf], port, f"ours-{port}.log")

    def ours(self, site):
        return self.real_streaming(site, "true")

    def ours_silent(self, site):
        return self.real_streaming(site, "false")

    def ours_tls(self, site):
        return self.real_streaming(site, "false", tls=True)

    def bare_pingora(self, site):
        port = free_port()
        return self.proxy([RELEASE / "examples/bare_pingora", port, f"127.0.0.1:{site}"], port, "bare.log")

    def nginx(self, site, tls=False):
        port = free_port()
        listen, keys = "", ""
        if tls:
            cert, key = self.certificate()
            listen, keys = " ssl", f"ssl_certificate {cert}; ssl_certificate_key {key};"
        conf = self.conf("proxy.conf", (
            f"daemon off; worker_processes 1; pid {self.folder}/proxy.pid; error_log {self.folder}/proxy.err;\n"
            f"events {{ worker_connections 16384; }}\n"
            f"http {{ access_log off; keepalive_requests 1000000000;\n"
            f"  upstream site {{ server 127.0.0.1:{site}; keepalive 256; keepalive_requests 1000000000; }}\n"
            f"  server {{ listen 127.0.0.1:{port}{listen}; {keys}\n"
            f"    location / {{ proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection '';\n"
            f"      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
            f"      proxy_set_header X-Forwarded-Proto $scheme; }} }} }}\n"))
        return self.proxy(["nginx", "-c", conf, "-e", self.folder / "proxy.err"], port, "proxy.log")

    def nginx_tls(self, site):
        return self.nginx(site, tls=True)

    def haproxy(self, site):
        port = free_port()
        conf = self.conf("haproxy.cfg", (
            f"global\n  nbthread 1\n  maxconn 8192\n"
            f"defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  timeout http-keep-alive 60s\n"
            f"  option forwardfor\n  http-reuse always\n"
            f"frontend front\n  bind 127.0.0.1:{port}\n  http-request set-header X-Forwarded-Proto http\n  default_backend site\n"
            f"backend site\n  server one 127.0.0.1:{site}\n"))
        return self.proxy(["haproxy", "-db", "-f", conf], port, "haproxy.log")

    def caddy(self, site):
        port = free_port()
        conf = self.conf("Caddyfile", (
            f"{{\n  admin off\n  auto_https off\n}}\n"
            f"http://:{port} {{\n  bind 127.0.0.1\n  reverse_proxy 127.0.0.1:{site} {{\n"
            f"    transport http {{\n      keepalive_idle_conns_per_host 256\n    }}\n  }}\n}}\n"))
        # One core, as its runtime would see by itself in a container.
        return self.proxy(["env", "GOMAXPROCS=1", "caddy", "run", "--config", conf, "--adapter", "caddyfile"], port, "caddy.log")


# What Chromium says beside the host when somebody follows a link of the site.
BROWSER = {
    "Connection": "keep-alive",
    "sec-ch-ua": '"Chromium";v="130", "Not?A_Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Referer": "http://127.0.0.1/products/?page=2",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Cookie": "__uid__=1234567890.1700000000; sessionid=7f3a9c51d2e84b06a1c4f0e2b9d87356; csrftoken=Qm9yZWQgb2Ygd3JpdGluZyB0b2tlbnM",
}

SERVERS = {
    "ours, access log on": Servers.ours,
    "ours, access log off": Servers.ours_silent,
    BARE: Servers.bare_pingora,
    AGAIN: Servers.bare_pingora,
    NGINX: Servers.nginx,
    "HAProxy": Servers.haproxy,
    "Caddy": Servers.caddy,
}
# Those whose idle connections are weighed over TLS, too.
OVER_TLS = {"ours, access log off": Servers.ours_tls, NGINX: Servers.nginx_tls}


def stop(child):
    # Asked, not killed: nginx ends its workers itself. The bare Pingora waits for minutes.
    child.terminate()
    try:
        child.wait(0.5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def said(headers):
    """As wrk and h2load want to be told."""
    return [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]


def load(port, seconds, connections, scheme="http", headers={}):
    """`(requests, p99 in ms)`; an answer that is no success, or a broken connection, ends the run."""
    out = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *said(headers), f"{scheme}://127.0.0.1:{port}/index.html"],
        capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(out)
    return int(re.search(r"(\d+) requests in", out).group(1)), milliseconds(re.search(r"^ +99% +(\S+)", out, re.M).group(1))


def h2load(port, connections, headers, *how):
    """Requests answered; an answer that is no success ends the run."""
    out = subprocess.run(
        ["taskset", "-c", "1", "h2load", "--h1", f"-c{connections}", *how, *said(headers), f"http://127.0.0.1:{port}/index.html"],
        capture_output=True, text=True, check=True).stdout
    answered = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", out) or sys.exit(out)
    return int(answered.group(1))


def measured(world, start, site, args):
    """`(requests/s, µs of processor time, p99 in ms, µs at the rate that is the same for all)`; None for what is not asked for."""
    child, port = start(world, site)
    headers = BROWSER if args.browser else {}
    load(port, 1, args.connections, headers=headers)
    processes = tree(child.pid)

    before, began = spent(processes), time.monotonic()
    requests, slowest = load(port, args.seconds, args.connections, headers=headers)
    cost, took = (spent(processes) - before) / requests, time.monotonic() - began
    cost_paced = None
    if args.rate:
        before = spent(processes)
        answered = h2load(port, args.connections, headers, f"--rps={args.rate / args.connections}", f"-D{args.seconds}")
        cost_paced = (spent(processes) - before) / answered
    assert tree(child.pid) == processes, "a process came or went, and took its time with it"
    stop(child)
    return requests / took, cost, slowest, cost_paced


def in_turns(world, names, site, args):
    """Microseconds of processor time per request, a list for each server: in turns, with new processes now and then."""
    turns, headers = {name: [] for name in names}, BROWSER if args.browser else {}
    for turn in range(args.turns):
        if turn % FRESH == 0:
            running = {name: SERVERS[name](world, site) for name in names}
            for _, port in running.values():
                load(port, 1, args.connections, headers=headers)
        for name in random.sample(names, len(names)):
            child, port = running[name]
            processes = tree(child.pid)
            before = spent(processes)
            answered = h2load(port, args.connections, headers, f"-n{TURN}")
            turns[name].append((spent(processes) - before) / answered)
        if turn % FRESH == FRESH - 1 or turn == args.turns - 1:
            for child, _ in running.values():
                stop(child)
    return turns


def idle(world, start, site, count, tls=False):
    """Bytes of resident memory that a connection takes which had one answer and waits for its next request."""
    child, port = start(world, site)
    context = ssl.create_default_context(cafile=world.certificate()[0]) if tls else None
    load(port, 2, 64, "https" if tls else "http")  # What a server allocates once, it has allocated then.
    time.sleep(2)

    def resident():
        return sum(status_kb(pid, "VmRSS") for pid in tree(child.pid)) * 1024

    before, connections = resident(), []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 10)
        if tls:
            connection = context.wrap_socket(connection, server_hostname="localhost")
        connection.sendall(b"GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
        seen = b""
        while len(seen.partition(b"\r\n\r\n")[2]) < BODY:
            got = connection.recv(65536)
            assert got and (seen + got).startswith(b"HTTP/1.1 200"), seen + got
            seen += got
        connections.append(connection)
    time.sleep(3)
    grown = resident() - before
    for connection in connections:
        connection.setblocking(False)
        try:
            assert connection.recv(1) == b"never", "the server closed an idle connection"
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        connection.close()
    stop(child)
    return grown / count


def table(head, rows):
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        print("  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="0 skips them")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=int, default=12_000, help="requests/s of the second measurement of each round, which none of them is busy with; 0 skips it")
    parser.add_argument("--turns", type=int, default=40, help="0 skips them")
    parser.add_argument("--browser", action="store_true", help="with the headers of a browser, not with the host alone")
    parser.add_argument("--idle", type=int, default=2000, help="connections for the memory run; 0 skips it")
    parser.add_argument("--binary", type=pathlib.Path, help="ours, where it is not the release build")
    parser.add_argument("--only", default="", help="parts of names, with commas between them")
    args = parser.parse_args()
    for needed in ("wrk", "h2load", "nginx", "taskset", "openssl"):
        shutil.which(needed) or sys.exit(f"{needed} is not installed")
    names = [name for name in SERVERS if not args.only or any(part.lower() in name.lower() for part in args.only.split(","))]
    for name in ("HAProxy", "Caddy"):
        if name in names and not shutil.which(name.lower()):
            print(f"SKIPPED: {name} is not installed", flush=True)
            names.remove(name)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True) as folder:
        world = Servers(folder)
        if args.binary:
            world.binary = args.binary.resolve()
        try:
            site = world.site()
            rounds = {name: [] for name in names}
            for _ in range(args.rounds):
                # Not always behind the same one: what that has left in caches and in the scheduler is a part of the noise.
                for name in random.sample(names, len(names)):
                    rounds[name].append(measured(world, SERVERS[name], site, args))
            turns = in_turns(world, names, site, args) if args.turns else {}
            medians = {name: [None if None in column else statistics.median(column) for column in zip(*seen)] for name, seen in rounds.items() if seen}
            memory = {name: idle(world, SERVERS[name], site, args.idle) for name in names if name != AGAIN} if args.idle else {}
            over_tls = {name: idle(world, OVER_TLS[name], site, args.idle, tls=True) for name in memory if name in OVER_TLS}
        finally:
            world.close()

    def ratio(name, to, column=1):
        return f"{medians[name][column] / medians[to][column]:.2f}" if to in medians else "-"

    def in_pairs(ours, its):
        """To the bare Pingora of the same round, or turn, which has the same neighbours: the median, and the middle half of them."""
        ratios = sorted(one / other for one, other in zip(ours, its))
        quarter = len(ratios) // 4
        return f"{statistics.median(ratios):.2f} ({ratios[quarter]:.2f} to {ratios[-1 - quarter]:.2f})" if ratios else "-"

    def pairs(name, column=1):
        return in_pairs([seen[column] for seen in rounds[name]], [seen[column] for seen in rounds.get(BARE, [])])

    def weight(memory, name):
        return f"{memory[name]:,.0f}" if name in memory else "-"

    if medians:
        print(f"{BODY} bytes through one core, {args.connections} connections; medians of {args.rounds} rounds of {args.seconds} s")
        table(
            ["", "µs CPU/request", "lowest to highest", f"to {BARE}", "in pairs", f"to {NGINX}", "p99 ms", "requests/s"],
            [[name, f"{cost:.1f}", f"{min(r[1] for r in rounds[name]):.1f} to {max(r[1] for r in rounds[name]):.1f}", ratio(name, BARE),
              pairs(name), ratio(name, NGINX), f"{slowest:.2f}", f"{rate:,.0f}"]
             for name, (rate, cost, slowest, _) in medians.items()])
    if medians and args.rate:
        print(f"\nat {args.rate:,} requests/s each")
        table(
            ["", "µs CPU/request", "lowest to highest", f"to {BARE}", "in pairs", f"to {NGINX}"],
            [[name, f"{columns[3]:.1f}", f"{min(r[3] for r in rounds[name]):.1f} to {max(r[3] for r in rounds[name]):.1f}", ratio(name, BARE, 3),
              pairs(name, 3), ratio(name, NGINX, 3)]
             for name, columns in medians.items()])
    if turns:
        print(f"\nin {args.turns} turns of {TURN:,} requests, {args.connections} connections")
        # Both rows of the bare one together are a quieter yardstick than either.
        bare = [statistics.mean(turn) for turn in zip(*(turns[name] for name in (BARE, AGAIN) if name in turns))]
        table(
            ["", "µs CPU/request", "lowest", f"to {BARE}", "in pairs"],
            [[name, f"{statistics.median(costs):.1f}", f"{min(costs):.1f}",
              f"{statistics.median(costs) / statistics.median(bare):.2f}" if bare else "-", in_pairs(costs, bare)]
             for name, costs in turns.items()])
    if memory:
        print()
        table(["bytes/idle connection", "without TLS", "with TLS"], [[name, weight(memory, name), weight(over_tls, name)] for name in memory])


if __name__ == "__main__":
    main()
