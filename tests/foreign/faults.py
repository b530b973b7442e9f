"""Everything that goes wrong, for as long as one likes: events under load, while stand-ins for BigQuery and Pub/Sub close streams,
stall, lose answers, refuse rows and tokens, and the process is killed and started again. At the end the books are held
against what the stand-ins stored: every event that was answered 200 is in the table or a dead letter, no other row is, and
rows that came twice are no more than requests without an answer explain.

usage: faults.py <real-streaming> <fake_google> [--strategy direct] [--seconds 600 | --long HOURS] [--rate 5000] [--seed N] [--keep]

`--strategy` is `direct`; `exactly-once`, with which no row may come twice at all; `pubsub`; or `all`: the lake, `direct` and
`pubsub` at once, where `direct` stands still for a third of the time, nobody waits for it, and the process takes no more
than 256 MB: some 200 were seen, of which two writers' requests in flight and the lake's open batches are the most. The lake is read by DuckDB where Python has it: each event once. BigQuery is reached by TLS, with a token that is
replaced and refused now and then; without the program `openssl`, by plain HTTP and without one.

Ten minutes are what `.ci/run` spends; `--long 8` is for by hand. `--rate` is in events a second, which two idle cores just about
carry for both programs and this one; where they do not, fewer are sent, and the summary says how many. The seed is printed,
so that a bad run can be had again, as far as time allows. Exits 0 when the books balance, else 1.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from loopback import AGENT, FakeGoogle, call, free_port

BATCH = 25
BAD = 499


class Server:
    """The binary, which may end at any time and is then started again over the same spool."""

    def __init__(self, binary, folder, ports, writers=None, environment=None):
        self.binary, self.folder = binary, folder
        self.environment = {**os.environ, **(environment or {})}
        writers = writers or f"""
  strategy: direct
  bq: {{ dataset_id: d, table_id: events, endpoint: "http://127.0.0.1:{ports['bigquery']}", rest_endpoint: "http://127.0.0.1:{ports['rest']}" }}
"""
        self.public, self.admin = free_port(), free_port()
        self.config = folder / "c.yaml"
        self.config.write_text(f"""
server: {{ listen: ["127.0.0.1:{self.public}"], admin: "127.0.0.1:{self.admin}", threads: 1 }}
writers:
  project_id: p
  local: {{ directory: {folder}/lake }}
  spool: {{ directory: {folder}/spool }}
{writers}""")
        self.process = None
        self.starts = 0
        # Most memory that a process of ours took, in KiB.
        self.peak = 0

    def start(self):
        log = open(self.folder / "log", "ab")
        command = [self.binary, "serve", "--config", str(self.config)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=self.environment)
        self.starts += 1
        deadline = time.monotonic() + 60
        while True:
            try:
                return call(self.public, "/healthz")
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the binary does not come up: {(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.05)

    def measure(self):
        """Looks how much memory it takes."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.peak = max(self.peak, int(line.split()[1]))

    def end(self, how):
        self.measure()
        self.process.send_signal(how)
        self.process.wait(60)

    def metric(self, name):
        lines = call(self.admin, "/metrics").decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"real_streaming_{name}"))


class Load:
    """Sends numbered events at a rate, and notes how each request was answered."""

    def __init__(self, port, rate, threads=2, moments=None, params="", bad=BAD):
        self.port, self.pause, self.params = port, threads * BATCH / rate, params
        # One in so many is a row that the table refuses; `None`: none is.
        self.bad = bad
        # When the request was answered whose first event has this number.
        self.moments = moments
        self.lock = threading.Lock()
        self.next = 0
        self.answered = bytearray()
        self.statuses = collections.Counter()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.send, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def send(self):
        connection = None
        due = time.monotonic()
        headers = {"Content-Type": "application/json", "User-Agent": AGENT, "Cookie": "__uid__=1234567890.1700000000"}
        while not self.over.is_set():
            with self.lock:
                first = self.next
                self.next += BATCH
                self.answered.extend(bytes(BATCH))
            events = ",".join(
                '{"event_id":"f%d","event_name":"%s","event_params":[{"key":"n","value":{"int_value":%d}}%s]}'
                % (n, "bad" if self.bad and n % self.bad == 0 else "page_view", n, self.params)
                for n in range(first, first + BATCH)
            )
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request("POST", "/api/v1/streaming/1", f"[{events}]", headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                status, connection = None, None
            with self.lock:
                self.statuses[status] += BATCH
                if status == 200:
                    self.answered[first:first + BATCH] = b"\1" * BATCH
                    if self.moments is not None:
                        self.moments[first] = time.time()
            due = max(due + self.pause, time.monotonic() - 1)
            if status != 200:
                due = max(due, time.monotonic() + 0.05)
            time.sleep(max(0, due - time.monotonic()))

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


class Certificate:
    """An authority, and a server's certificate by it."""

    def __init__(self, folder):
        self.root, self.chain, self.key = folder / "root.pem", folder / "chain.pem", folder / "key.pem"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        request, names = folder / "request.pem", folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        for command in (
            ["req", "-x509", *key, "-keyout", folder / "root-key.pem", "-out", self.root, "-days", "3", "-subj", "/CN=faults"],
            ["req", *key, "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1"],
            ["x509", "-req", "-in", request, "-CA", self.root, "-CAkey", folder / "root-key.pem", "-CAcreateserial",
             "-out", self.chain, "-days", "3", "-extfile", names],
        ):
            subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)


class Token:
    """The file with the token, of which there is a new one now and then."""

    def __init__(self, folder, control):
        self.path, self.control, self.number = folder / "token", control, 0
        self.write()

    def write(self):
        new = self.path.with_suffix(".new")
        new.write_text(f"t{self.number}")
        new.replace(self.path)

    def refuse(self):
        call(self.control, "/refuse", {"tokens": [f"t{self.number}"]})

    def replace(self, chance):
        """The old one is refused, before there is a new one or afterwards, and calls end meanwhile or stay."""
        is_late, is_cut = chance.random() < 0.5, chance.random() < 0.7
        wait = chance.uniform(0.2, 3)
        self.refuse()
        if is_cut:
            call(self.control, "/cut", {})
        if is_late:
            time.sleep(wait)
        self.number += 1
        self.write()


# How often each of the faults comes.
FAULTS = {"kill": 2, "stop": 1, "stall": 2, "cut": 3, "strangers": 2, "token": 2, "storm": 3, "calm": 1}


def misfortune(chance, server, ports, token, kinds):
    """One fault of these kinds; its name."""
    control = ports["control"]
    kind = chance.choices(kinds, [FAULTS[kind] for kind in kinds])[0]
    if kind in ("kill", "stop"):
        server.end(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        server.start()
    elif kind == "stall":
        call(control, "/stall", {"on": True})
        time.sleep(chance.uniform(0.5, 6))
        call(control, "/stall", {"on": False})
    elif kind == "cut":
        call(control, "/cut", {})
    elif kind == "strangers":
        call(control, "/strangers", {"calls": chance.randrange(1, 4)})
    elif kind == "token":
        token.replace(chance)
    else:
        call(control, "/storm", {"seed": chance.randrange(1 << 32), "per_mille": chance.choice([5, 50, 300]) if kind == "storm" else 0})
    return kind


def dead_letters(folder, sink=""):
    """Event ids of the dead letters; of one sink."""
    ids = set()
    for path in (folder / "lake" / "dead-letters").glob("letters-*.jsonl"):
        with open(path) as lines:
            letters = map(json.loads, lines)
            ids.update(letter["event_id"] for letter in letters if letter["id"].startswith(sink))
    return ids


def in_lake(folder):
    """A tally of the lake's rows, or `None` where it cannot be read."""
    try:
        import duckdb
    except ImportError:
        print("not read: the lake, since this Python has no duckdb")
        return None
    files = f"{folder}/lake/events/**/*.parquet"
    counts = duckdb.sql(f"select rs_info.event_id, count(*) from read_parquet('{files}') group by 1").fetchall()
    times = bytearray()
    for event_id, count in counts:
        number = int(event_id[1:])
        times.extend(bytes(max(0, number + 1 - len(times))))
        times[number] = min(count, 255)
    rows, distinct = sum(count for _, count in counts), len(counts)
    return {"runs": [(count, 1) for count in times], "rows": rows, "distinct": distinct, "strays": 0, "excused": 0}


def writers(strategy, folder, ports, is_safe):
    """The part of the configuration that says where rows go."""
    names = {"exactly-once": "direct", "all": "[local, direct, pubsub]"}
    scheme, tls = ("https", "_tls") if is_safe else ("http", "")
    auth = f", auth: {{ token_file: {folder}/token }}" if is_safe else ""
    address = lambda name: f'"{scheme}://127.0.0.1:{ports[name + tls]}"'
    return f"""
  strategy: {names.get(strategy, strategy)}
  bq: {{ dataset_id: d, table_id: events, endpoint: {address("bigquery")}, rest_endpoint: {address("rest")}, exactly_once: {str(strategy == "exactly-once").lower()}{auth} }}
  pubsub: {{ topic_id: events, endpoint: "http://127.0.0.1:{ports['pubsub']}" }}
"""


def balance(tally, letters, load):
    """What is wrong with the books."""
    times = bytearray()
    for count, length in tally["runs"]:
        times.extend(bytes([count]) * length)
    times.extend(bytes(max(0, load.next - len(times))))
    faults = []
    lost = [n for n in range(load.next) if load.answered[n] and not times[n] and f"f{n}" not in letters]
    if lost:
        faults.append(f"{len(lost)} events that were answered 200 are nowhere, such as f{lost[0]}")
    if tally["strays"] or len(times) > load.next:
        faults.append("rows were stored that nobody sent")
    wrong = [letter for letter in letters if not load.bad or int(letter[1:]) % load.bad]
    if wrong:
        faults.append(f"{len(wrong)} good rows are dead letters, such as {wrong[0]}")
    bad = [n for n in range(0, load.next, load.bad) if times[n]] if load.bad else []
    if bad:
        faults.append(f"{len(bad)} bad rows were stored")
    doubled = tally["rows"] - tally["distinct"]
    if doubled > tally["excused"]:
        faults.append(f"{doubled} rows came twice, and requests without an answer explain {tally['excused']} only")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n", 2)[2])
    parser.add_argument("binary")
    parser.add_argument("fake")
    parser.add_argument("--strategy", choices=["direct", "exactly-once", "pubsub", "all"], default="direct")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--long", type=float, metavar="HOURS")
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--keep", action="store_true", help="keep the folder with log, spool and dead letters")
    options = parser.parse_args()
    seconds = options.long * 3_600 if options.long else options.seconds
    chance = random.Random(options.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"seed {options.seed}, {seconds:.0f} s, {options.rate} events/s", flush=True)

    is_direct, is_pubsub = options.strategy != "pubsub", options.strategy in ("pubsub", "all")
    is_safe = is_direct and shutil.which("openssl") is not None
    if is_direct and not is_safe:
        print("left out: tokens, since there is no openssl")
    certificate = Certificate(folder) if is_safe else None
    files = [certificate.chain, certificate.key] if is_safe else []
    google = FakeGoogle(options.fake, "tally", *files)
    ports = google.ports
    environment = {"SSL_CERT_FILE": str(certificate.root)} if is_safe else {}
    token = Token(folder, ports["control"]) if is_safe else None
    server = Server(os.path.abspath(options.binary), folder, ports, writers(options.strategy, folder, ports, is_safe), environment)
    # Without BigQuery there is nobody to stall, or to refuse somebody.
    left_out = {"stall", "strangers", "token"} if not is_direct else set() if is_safe else {"token"}
    usual = [kind for kind in FAULTS if kind not in left_out]
    faults = ["it did not come to an end"]
    try:
        server.start()
        load = Load(server.public, options.rate)
        kinds = collections.Counter()
        begun = time.monotonic()
        is_still = False
        while (done := (time.monotonic() - begun) / seconds) < 1:
            time.sleep(chance.uniform(0.5, 4))
            server.measure()
            # One of all writers stands still, and only the others have what befalls them.
            wanted = options.strategy == "all" and 1 / 3 <= done < 2 / 3
            if wanted != is_still:
                google.control("/stall", {"on": wanted})
                is_still = wanted
            kinds[misfortune(chance, server, ports, token, ["storm", "calm"] if is_still else usual)] += 1
        load.stop()
        call(ports["control"], "/stall", {"on": False})
        call(ports["control"], "/storm", {"per_mille": 0})
        started = time.monotonic()
        while server.metric("events_in_spool{") > 0:
            if time.monotonic() - started > 600:
                raise SystemExit(f"rows stay in the spool: {(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)
        server.end(signal.SIGTERM)
        tally = google.control("/tally")
        faults = []
        answers = {str(status): count for status, count in load.statuses.items()}
        print(f"events sent {load.next}, {load.next / seconds:.0f} a second, by answer {answers}; faults {dict(kinds)}")
        print(f"process starts {server.starts}, {server.peak >> 10} MB of memory at most, {time.monotonic() - started:.1f} s to catch up")
        # Each writer's name, what it stored, and what it may have set aside.
        books = [("direct", tally, dead_letters(folder, "direct"))] if is_direct else []
        if is_pubsub:
            books.append(("pubsub", tally["pubsub"], dead_letters(folder, "pubsub")))
        if options.strategy == "all" and (lake := in_lake(folder)):
            books.append(("local", lake, dead_letters(folder, "local")))
        for name, stored, letters in books:
            if options.strategy == "exactly-once":
                stored["excused"] = 0
            # Only BigQuery's stand-in refuses rows.
            load.bad = BAD if name == "direct" else None
            faults.extend(f"{name}: {fault}" for fault in balance(stored, letters, load))
            print(f"{name}: stored {stored['distinct']}, dead letters {len(letters)}, came twice {stored['rows'] - stored['distinct']} "
                  f"(explained up to {stored['excused']}), streams {stored.get('calls', 0)}, requests {stored.get('requests', 0)}")
        if not load.statuses[200]:
            faults.append("no event was answered 200")
        if options.strategy == "all" and server.peak > 256 << 10:
            faults.append(f"{server.peak} KiB of memory, while one writer stood still")
    finally:
        for process in (google.process, server.process):
            if process:
                process.kill()
                process.wait()
        if options.keep or faults:
            print(f"log, spool and dead letters: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(faults) or "the books balance to the row")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
