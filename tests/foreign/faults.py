"""Everything that goes wrong, for as long as one likes: events under load, while a stand-in for BigQuery closes streams, stalls,
loses answers, refuses rows and tokens, and the process is killed and started again. At the end the books are held against
what the stand-in stored: every event that was answered 200 is in the table or a dead letter, no other row is, and rows that
came twice are no more than requests without an answer explain.

usage: faults.py <real-streaming> <fake_google> [--seconds 600 | --long HOURS] [--rate 5000] [--seed N] [--keep]

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
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

BATCH = 25
BAD = 499
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data), timeout=30) as answer:
        return answer.read()


class Server:
    """The binary, which may end at any time and is then started again over the same spool."""

    def __init__(self, binary, folder, ports):
        self.binary, self.folder = binary, folder
        self.public, self.admin = free_port(), free_port()
        self.config = folder / "c.yaml"
        self.config.write_text(f"""
server: {{ listen: ["127.0.0.1:{self.public}"], admin: "127.0.0.1:{self.admin}", threads: 1 }}
writers:
  strategy: direct
  project_id: p
  local: {{ directory: {folder}/lake }}
  spool: {{ directory: {folder}/spool }}
  bq: {{ dataset_id: d, table_id: events, endpoint: "http://127.0.0.1:{ports['bigquery']}", rest_endpoint: "http://127.0.0.1:{ports['rest']}" }}
""")
        self.process = None
        self.starts = 0

    def start(self):
        log = open(self.folder / "log", "ab")
        command = [self.binary, "serve", "--config", str(self.config)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
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

    def end(self, how):
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


def misfortune(chance, server, ports):
    """One fault; its name."""
    control = ports["control"]
    kind = chance.choices(["kill", "stop", "stall", "cut", "strangers", "storm", "calm"], [2, 1, 2, 3, 2, 3, 1])[0]
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
    else:
        call(control, "/storm", {"seed": chance.randrange(1 << 32), "per_mille": chance.choice([5, 50, 300]) if kind == "storm" else 0})
    return kind


def dead_letters(folder):
    ids = set()
    for path in (folder / "lake" / "dead-letters").glob("letters-*.jsonl"):
        with open(path) as lines:
            ids.update(json.loads(line)["event_id"] for line in lines)
    return ids


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

    fake = subprocess.Popen([os.path.abspath(options.fake), "tally"], stdout=subprocess.PIPE, text=True)
    ports = json.loads(fake.stdout.readline())
    server = Server(os.path.abspath(options.binary), folder, ports)
    faults = ["it did not come to an end"]
    try:
        server.start()
        load = Load(server.public, options.rate)
        kinds = collections.Counter()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.5, 4))
            kinds[misfortune(chance, server, ports)] += 1
        load.stop()
        call(ports["control"], "/storm", {"per_mille": 0})
        started = time.monotonic()
        while server.metric("events_in_spool{") > 0:
            if time.monotonic() - started > 180:
                raise SystemExit(f"rows stay in the spool: {(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)
        server.end(signal.SIGTERM)
        tally = json.loads(call(ports["control"], "/tally"))
        letters = dead_letters(folder)
        faults = balance(tally, letters, load)
        answers = {str(status): count for status, count in load.statuses.items()}
        print(f"events sent {load.next}, {load.next / seconds:.0f} a second, by answer {answers}; faults {dict(kinds)}")
        print(f"stored {tally['distinct']}, dead letters {len(letters)}, came twice {tally['rows'] - tally['distinct']} "
              f"(explained up to {tally['excused']}), streams {tally['calls']}, requests {tally['requests']}, "
              f"process starts {server.starts}, {time.monotonic() - started:.1f} s to catch up")
        if not load.statuses[200]:
            faults.append("no event was answered 200")
    finally:
        for process in (fake, server.process):
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
