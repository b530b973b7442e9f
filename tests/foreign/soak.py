"""Ordinary traffic for as long as one likes, while everything that is ordinary happens to a server: its configuration is
read again every ten seconds, its certificate is renewed, and a site behind it comes and goes. Visitors load pages (HTTP/1.1
on kept and new connections, TLS, HTTP/2 where curl speaks it), upload, listen to server-sent events and send events of ours.

No visitor may meet an error but those that the site's coming and going explains, memory and descriptors may not grow, and
in the end the books balance and every event that was answered 200 is in the lake once (told where pyarrow is installed).

usage: soak.py <real-streaming> [--minutes 30] [--upgrades] [--keep]

With `--upgrades` another process takes over every twenty seconds; memory is not watched then, for each is young, and of the
books only what is in the lake. Two minutes of each are what `.ci/run` spends. Exits 0 when nothing is wrong, else 1.
"""

import argparse
import asyncio
import collections
import hashlib
import http.client
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from loopback import AGENT, call, free_port

RELOAD_EVERY = 10
RENEW_EVERY = 15
UPGRADE_EVERY = 20
HOST = "shop.example"


class Site:
    """A site on asyncio, in a thread of its own. It may be switched off: then it neither listens nor answers."""

    def __init__(self, name):
        self.name, self.port, self.on = name, free_port(), True
        self.loop = asyncio.new_event_loop()
        self.server, self.writers = None, set()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.switch(True)

    def switch(self, on):
        asyncio.run_coroutine_threadsafe(self._switch(on), self.loop).result(30)

    async def _switch(self, on):
        self.on = on
        if on:
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        else:
            self.server.close()
            for writer in list(self.writers):
                writer.transport.abort()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                target = head.split(" ")[1]
                headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in head.split("\r\n")[1:] if ":" in line}
                digest = hashlib.sha256()
                left = int(headers.get("content-length", 0))
                while left:
                    piece = await reader.read(min(left, 1 << 16))
                    if not piece:
                        return
                    digest.update(piece)
                    left -= len(piece)
                if target.endswith("/events"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for number in range(24):
                        piece = f"data: {number}\n\n".encode()
                        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                        await writer.drain()
                        await asyncio.sleep(0.5)
                    writer.write(b"0\r\n\r\n")
                else:
                    body = digest.hexdigest().encode() if "/upload" in target else f"<html><body>{self.name} {target}</body></html>".encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


class Certificates:
    """An authority and what it issues, by openssl."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        self.ca = folder / "ca.pem"
        self.cert, self.key = folder / "site.pem", folder / "site.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=soak", "-keyout", "ca.key", "-out", "ca.pem")
        self.renew()

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def renew(self):
        self.count += 1
        (self.folder / "names").write_text(f"subjectAltName=DNS:{HOST}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={HOST}",
                      "-keyout", "new.key", "-out", "new.csr")
        self._openssl("x509", "-req", "-in", "new.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1",
                      "-set_serial", str(self.count), "-extfile", "names", "-out", "new.pem")
        os.replace(self.folder / "new.key", self.key)
        os.replace(self.folder / "new.pem", self.cert)


class Server:
    """The binary."""

    def __init__(self, binary, folder, steady, flapping, certificates):
        self.folder, self.steady, self.flapping, self.certificates = folder, steady, flapping, certificates
        self.public, self.tls, self.admin = free_port(), free_port(), free_port()
        self.config, self.round = folder / "c.yaml", 0
        self.write()
        self.binary, self.log, self.before = binary, folder / "log", []
        self.process = self.launch()
        deadline = time.monotonic() + 60
        while True:
            try:
                call(self.public, "/healthz")
                return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the binary does not come up: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def launch(self, *more):
        with open(self.log, "ab") as log:
            command = [self.binary, "serve", "--config", str(self.config), *more]
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def upgrade(self):
        """Another process takes over."""
        socket_ = self.folder / "spool" / "upgrade.sock"
        process = self.launch("--upgrade")
        deadline = time.monotonic() + 60
        while not socket_.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the new process does not wait: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        self.process.send_signal(signal.SIGQUIT)
        self.before.append(self.process)
        self.process = process

    def write(self):
        self.round += 1
        steady, flapping = f"http://127.0.0.1:{self.steady.port}", f"http://127.0.0.1:{self.flapping.port}"
        beside = self.folder / "c.new"
        beside.write_text(f"""
environment: PROD
server:
  listen: ["127.0.0.1:{self.public}"]
  admin: "127.0.0.1:{self.admin}"
  tls:
    listen: ["127.0.0.1:{self.tls}"]
    certificates: [{{ cert: {self.certificates.cert}, key: {self.certificates.key} }}]
routes:
  - {{ path: /flapping, upstreams: ["{flapping}"] }}
  - {{ path: /either, upstreams: ["{steady}", "{flapping}"], retries: {{ attempts: 3, on: [connect, failure] }} }}
  - {{ path: /, upstreams: ["{steady}"], compress: true, response_headers: {{ set: {{ X-Round: "{self.round}" }} }} }}
writers:
  strategy: local
  local: {{ directory: {self.folder}/lake }}
  spool: {{ directory: {self.folder}/spool }}
""")
        os.replace(beside, self.config)

    def reload(self):
        self.write()
        self.process.send_signal(signal.SIGHUP)

    def metrics(self):
        """Sums over labels, but for the outcome of reloads."""
        sums = collections.Counter()
        for line in call(self.admin, "/metrics").decode().splitlines():
            if line.startswith("real_streaming_"):
                name, value = line.removeprefix("real_streaming_").rsplit(" ", 1)
                sums[name if name.startswith("config_reloads") else name.split("{")[0]] += float(value)
        return sums

    def size(self):
        """Resident bytes and open descriptors."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(resident.split()[1]) << 10, len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Visitors:
    """All of them, each a thread that does one kind of thing until it is over."""

    def __init__(self, server):
        self.server, self.over, self.lock = server, threading.Event(), threading.Lock()
        self.faults, self.done, self.excused = [], collections.Counter(), collections.Counter()
        self.taken, self.numbers, self.rounds, self.serials = [], itertools.count(), set(), set()
        self.trust = ssl.create_default_context(cafile=str(server.certificates.ca))
        kinds = [self.page, self.page, self.new, self.tls, self.upload, self.event, self.event, self.listen, self.listen,
                 self.either, self.flapping]
        if shutil.which("curl") and b"HTTP2" in subprocess.run(["curl", "-V"], capture_output=True).stdout:
            kinds.append(self.http2)
        self.threads = [threading.Thread(target=self.live, args=(kind,), daemon=True) for kind in kinds]
        for thread in self.threads:
            thread.start()

    def live(self, kind):
        state = {}
        while not self.over.is_set():
            try:
                kind(state)
                with self.lock:
                    self.done[kind.__name__] += 1
            except Exception as error:  # whatever it is, a visitor has met it
                state.clear()
                with self.lock:
                    self.faults.append(f"{time.strftime('%T')} {kind.__name__}: {error!r}")
                time.sleep(0.2)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def ask(self, state, method, path, body=None, headers={}, expect=(200,)):
        """One request on a connection that is kept as long as the server keeps it."""
        connection = state.get("connection") or http.client.HTTPConnection("127.0.0.1", self.server.public, timeout=30)
        state["connection"] = connection
        connection.request(method, path, body, {"Host": HOST, "User-Agent": AGENT, **headers})
        answer = connection.getresponse()
        content = answer.read()
        if answer.will_close:
            connection.close()
            del state["connection"]
        if answer.status not in expect:
            raise AssertionError(f"{answer.status}: {content[:200]!r}")
        return answer, content

    def page(self, state):
        answer, content = self.ask(state, "GET", f"/page/{random.randrange(1000)}")
        assert b"steady" in content, content
        self.rounds.add(answer.getheader("X-Round"))
        time.sleep(0.01)

    def new(self, state):
        self.ask({}, "GET", "/new", headers={"Connection": "close"})
        time.sleep(0.02)

    def tls(self, state):
        with socket.create_connection(("127.0.0.1", self.server.tls), 30) as raw:
            with self.trust.wrap_socket(raw, server_hostname=HOST) as stream:
                self.serials.add(stream.getpeercert()["serialNumber"])
                stream.sendall(f"GET /tls HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                content = b"".join(iter(lambda: stream.recv(1 << 16), b""))
        assert content.startswith(b"HTTP/1.1 200"), content[:200]
        time.sleep(0.05)

    def upload(self, state):
        body = random.randbytes(random.randrange(1, 1 << 20))
        _, content = self.ask(state, "POST", "/upload", body)
        assert content.decode() == hashlib.sha256(body).hexdigest(), "the site got other bytes"
        time.sleep(0.1)

    def event(self, state):
        identity = f"s{next(self.numbers)}"
        body = json.dumps({"event_id": identity, "event_name": "page_view"})
        headers = {"Content-Type": "application/json", "Cookie": "__uid__=1234567890.1700000000"}
        self.ask(state, "POST", "/api/v1/streaming/1", body, headers)
        with self.lock:
            self.taken.append(identity)
        time.sleep(0.005)

    def listen(self, state):
        _, content = self.ask(state, "GET", "/events", headers={"Accept": "text/event-stream"})
        assert content == b"".join(f"data: {number}\n\n".encode() for number in range(24)), content

    def either(self, state):
        self.ask(state, "GET", "/either")
        time.sleep(0.01)

    def flapping(self, state):
        answer, _ = self.ask(state, "GET", "/flapping", expect=(200, 502, 503, 504))
        if answer.status != 200:
            with self.lock:
                self.excused[answer.status] += 1
        time.sleep(0.02)

    def http2(self, state):
        command = ["curl", "-sS", "--http2", "--cacert", str(self.server.certificates.ca), "--max-time", "30",
                   "--resolve", f"{HOST}:{self.server.tls}:127.0.0.1", "-w", "\n%{http_code} %{http_version}\n", "-o", "/dev/null",
                   f"https://{HOST}:{self.server.tls}/h2/[1-20]"]
        said = subprocess.run(command, capture_output=True, text=True)
        codes = said.stdout.split("\n")
        assert said.returncode == 0 and codes.count("200 2") == 20, f"{said.returncode} {said.stderr} {said.stdout[-300:]}"
        time.sleep(0.2)


def growth(samples, what, share, slack):
    """What is wrong with a series: its end stands above its beginning by more than a share of it and some slack."""
    fifth = max(3, len(samples) // 5)
    begin, end = statistics.median(samples[:fifth]), statistics.median(samples[-fifth:])
    print(f"{what}: {begin:,.0f} after warming up, {end:,.0f} at the end, {max(samples):,.0f} at most")
    return [f"{what} grew from {begin:,.0f} to {end:,.0f}"] if end > begin * (1 + share) + slack else []


def lake_faults(folder, taken):
    """Whether every event is in the lake once."""
    try:
        import pyarrow.dataset
    except ImportError:
        print("the lake is not looked into: no pyarrow here")
        return []
    table = pyarrow.dataset.dataset(str(folder / "lake" / "events"), format="parquet").to_table(columns=["rs_info"])
    times = collections.Counter(info["event_id"] for info in table.column("rs_info").to_pylist())
    faults = []
    lost = [identity for identity in taken if not times[identity]]
    doubled = [identity for identity, count in times.items() if count > 1]
    if lost:
        faults.append(f"{len(lost)} events that were answered 200 are not in the lake, such as {lost[0]}")
    if doubled:
        faults.append(f"{len(doubled)} events are in the lake more than once, such as {doubled[0]}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--upgrades", action="store_true", help="another process takes over now and then")
    parser.add_argument("--keep", action="store_true", help="keep the folder with log, lake and spool")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="soak-"))
    certificates = Certificates(folder)
    steady, flapping = Site("steady"), Site("flapping")
    server = Server(os.path.abspath(options.binary), folder, steady, flapping, certificates)
    faults = ["it did not come to an end"]
    try:
        visitors = Visitors(server)
        begun = time.monotonic()
        end = begun + options.minutes * 60
        # A quarter of the time, five minutes at most: threads, pools and caches take what they take.
        warm = begun + min(options.minutes * 15, 300)
        reload_at, renew_at, flap_at = begun + RELOAD_EVERY, begun + RENEW_EVERY, begun + 5
        upgrade_at = begun + UPGRADE_EVERY if options.upgrades else end
        resident, descriptors = [], []
        while (now := time.monotonic()) < end:
            time.sleep(0.5)
            if server.process.poll() is not None:
                raise SystemExit(f"the binary has ended: {server.log.read_text()[-3000:]}")
            if now > reload_at:
                server.reload()
                reload_at = now + RELOAD_EVERY
            if now > renew_at:
                certificates.renew()
                renew_at = now + RENEW_EVERY
            if now > upgrade_at:
                server.upgrade()
                upgrade_at = now + UPGRADE_EVERY
            if now > flap_at:
                flapping.switch(not flapping.on)
                flap_at = now + random.uniform(1, 8)
            if now > warm:
                bytes_, open_ = server.size()
                resident.append(bytes_)
                descriptors.append(open_)
        visitors.stop()
        faults = list(visitors.faults)
        if not options.upgrades:
            faults += growth(resident, "resident bytes", 0.05, 8 << 20)
            faults += growth(descriptors, "descriptors", 0.1, 20)

        deadline = time.monotonic() + 60
        while (metrics := server.metrics())["events_in_spool"] > 0 and time.monotonic() < deadline:
            time.sleep(0.2)
        balance = metrics["events_delivered_total"] + metrics["events_dropped_total"] + metrics["events_dead_lettered_total"]
        if metrics["events_in_spool"] or metrics["events_received_total"] + metrics["events_recovered_total"] != balance:
            faults.append(f"the books do not balance: received {metrics['events_received_total']}, booked {balance}, "
                          f"in the spool {metrics['events_in_spool']}")
        if not options.upgrades and metrics["events_received_total"] < len(visitors.taken):
            faults.append("fewer events were received than were answered 200")
        if metrics["panics_total"]:
            faults.append(f"{metrics['panics_total']:.0f} panics")
        reloads = {outcome: metrics[f'config_reloads_total{{outcome="{outcome}"}}'] for outcome in ("taken", "partly", "refused")}
        # The last one may not have been seen yet; one that a process began with was not read again.
        if reloads["refused"] or reloads["partly"] or not options.upgrades and reloads["taken"] < server.round - 2:
            faults.append(f"reloads: {reloads} of {server.round - 1}")
        if len(visitors.rounds) < server.round - 1:
            faults.append(f"visitors saw {len(visitors.rounds)} configurations of {server.round}")
        if len(visitors.serials) < certificates.count - 1:
            faults.append(f"visitors saw {len(visitors.serials)} certificates of {certificates.count}")
        server.process.send_signal(signal.SIGTERM)
        if code := server.process.wait(60):
            faults.append(f"exit code {code}")
        for process in server.before:
            # `server.upgrade.grace`, and a little more.
            if code := process.wait(70):
                faults.append(f"exit code {code} of a process after its upgrade")
        faults += lake_faults(folder, visitors.taken)
        for kind in ("page", "new", "tls", "upload", "event", "listen", "either", "flapping"):
            if not visitors.done[kind]:
                faults.append(f"nobody has done `{kind}`")
        print(f"done {dict(visitors.done)}; answers of the flapping site that its coming and going explains {dict(visitors.excused)}; "
              f"reloads {reloads}, certificates {certificates.count}, upgrades {len(server.before)}")
    finally:
        for process in (*server.before, server.process):
            process.kill()
            process.wait()
        if options.keep or faults:
            print(f"log, lake and spool: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for fault in faults[:20]:
        print(fault)
    well = "no visitor met an error, the books balance" + ("" if options.upgrades else ", nothing grew")
    print(f"{len(faults)} faults" if faults else well)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
