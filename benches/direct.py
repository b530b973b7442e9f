#!/usr/bin/env python3
"""What the direct writer costs, beside Google's Python writer and a Rust client, all against the tests' stand-in in the same run.

    cargo build --release --bin real-streaming --example fake_google
    cargo build --release --manifest-path tests/foreign/rust_client/Cargo.toml --target-dir target
    python benches/direct.py [--rows 400000] [--rounds 3] [--stall 60] [--latency 30]

The stand-in only counts the rows of this run, so that it takes as little as it can of a machine that it shares. Processor time
is that of the writer's own process (/proc/PID/stat, getrusage): wall clock says how fast both sides together were.

- ours: events wait in the spool while the stand-in stands still; from then on until the spool is empty. Reading and checking
  the spool's files, cutting batches and committing is part of it. The rows that are in flight by then are left out of the
  count, and what is left to do for them is not: the figures are worse than the truth by a little.
- Google's: the same rows, requests of a megabyte, 64 in flight. Once as bytes that lie ready, and once serialized from messages,
  which is what a program has that did not write them down before.
- A Rust client's, gcloud-bigquery (tests/foreign/rust_client), where its binary is there: the same rows as bytes that lie ready,
  requests of a megabyte, 64 in a call. Once with what it takes to copy the rows into requests, and once from there on.

Then the time from the 200 to the table at 5,000 events a second, and the memory while the stand-in stands still at that rate and
when it takes rows again; every row must have come then. `--rounds 0 --latency 0 --stall 600` runs that alone, for ten minutes.
All but that needs google-cloud-bigquery-storage and grpcio-tools, and with a Rust client google-cloud-pubsub
(tests/foreign/google-requirements.txt).
"""

import argparse
import base64
import importlib
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from e2e import RELEASE, cpu_seconds, status_kb
import faults
from loopback import FakeGoogle

RUST_CLIENT = RELEASE / "rust_client"


def memory_mb(pid, key):
    return status_kb(pid, key) / 1024


# As many as a page view of GA4 has.
PARAMS = "".join(
    f',{{"key":"{key}","value":{{"string_value":"{value}"}}}}' for key, value in {
        "page_location": "https://shop.example.com/women/shoes/running?utm_source=newsletter&utm_medium=email",
        "page_referrer": "https://www.example.org/a/page/with/some/path",
        "page_title": "Running shoes for women in all sizes",
        "content_group": "category", "language": "de-ch", "screen_resolution": "1920x1080", "theme": "dark",
    }.items())
# Batches of the direct writer: in flight, rows and bytes of each.
WINDOW, BATCH_ROWS, BATCH_BYTES = 64, 5_000, 512 << 10


class World:
    """The stand-in and the binary before it."""

    def __init__(self, keep):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="direct-", dir=os.environ.get("BENCH_DIR")))
        self.google = FakeGoogle(RELEASE / "examples/fake_google", *keep)
        self.ports, self.control = self.google.ports, self.google.control
        self.server = faults.Server(str(RELEASE / "real-streaming"), self.folder, self.ports)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        for process in (self.server.process, self.google.process):
            process.kill()
            process.wait()
        subprocess.run(["rm", "-rf", self.folder], check=True)

    def in_spool(self):
        return int(self.server.metric("events_in_spool{"))

    def drained(self):
        while self.in_spool():
            time.sleep(0.05)

    def accept(self, rows, rate):
        load = faults.Load(self.server.public, rate, params=PARAMS)
        while load.statuses[200] < rows:
            time.sleep(0.02)
        load.stop()
        return load


def ours(rows, row_bytes):
    with World(["count"]) as world:
        world.accept(25, 1_000)
        world.drained()
        world.control("/stall", {"on": True})
        world.accept(rows, 1_000_000)
        time.sleep(1)
        waiting = world.in_spool()
        pid = world.server.process.pid
        before, fake_before, started = cpu_seconds(pid), cpu_seconds(world.google.process.pid), time.monotonic()
        world.control("/stall", {"on": False})
        world.drained()
        wall = time.monotonic() - started
        # What is in flight was read before the clock began: it counts as if it had cost nothing since, and is left out.
        timed = waiting - WINDOW * min(BATCH_ROWS, BATCH_BYTES // row_bytes)
        return timed / wall, (cpu_seconds(pid) - before) / timed * 1e6, (cpu_seconds(world.google.process.pid) - fake_before) / waiting * 1e6


def sample(count):
    """Rows as they were stored, and the descriptor of their columns."""
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    with World([]) as world:
        world.accept(count, 10_000)
        world.drained()
        rows = [base64.b64decode(row) for row in world.control("/rows/p/d/events")]
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "row.proto"
        source.write_bytes(subprocess.run([RELEASE / "real-streaming", "schema", "--format", "descriptor"],
                                          capture_output=True, check=True).stdout)
        assert protoc.main(["protoc", f"-I{folder}", f"-o{folder}/row.bin", str(source)]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString((pathlib.Path(folder) / "row.bin").read_bytes())
    return rows, files.file[0]


def googles_python(rows, file, total, serialized):
    """Runs in a process of its own: rows a second, and processor time of a row."""
    import grpc
    from google.cloud import bigquery_storage_v1 as storage
    from google.cloud.bigquery_storage_v1 import types, writer
    from google.cloud.bigquery_storage_v1.services.big_query_write import transports
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    Row = message_factory.GetMessageClass(pool.FindMessageTypeByName("Event"))
    messages = [Row.FromString(row) for row in rows]
    per_request = max(1, (1 << 20) // (sum(map(len, rows)) // len(rows)))
    with World(["count"]) as world:
        channel = grpc.insecure_channel(f"127.0.0.1:{world.ports['bigquery']}")
        client = storage.BigQueryWriteClient(transport=transports.BigQueryWriteGrpcTransport(channel=channel))
        name = "projects/p/datasets/d/tables/events/streams/_default"
        schema = types.ProtoSchema(proto_descriptor=file.message_type[0])
        template = types.AppendRowsRequest(write_stream=name,
                                           proto_rows=types.AppendRowsRequest.ProtoData(writer_schema=schema))
        stream = writer.AppendRowsStream(client, template)

        def send(count):
            chosen = [rows[n % len(rows)] if serialized else messages[n % len(rows)].SerializeToString() for n in range(count)]
            data = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=chosen))
            return stream.send(types.AppendRowsRequest(write_stream=name, proto_rows=data))

        send(1).result(30)
        waiting, sent = [], 0
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        while sent < total:
            waiting.append(send(min(per_request, total - sent)))
            sent += per_request
            if len(waiting) >= 64:
                waiting.pop(0).result(60)
        for future in waiting:
            future.result(60)
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
        stream.close()
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return total / wall, spent / total * 1e6


def rust_client(rows, file, total):
    """Rows a second, and processor time of a row: with the requests' making, and without."""
    from rust_client_into_fake import send

    per_request = max(1, (1 << 20) // (sum(map(len, rows)) // len(rows)))
    with World(["count"]) as world:
        # The table is there, and the client sends no routing header.
        world.accept(25, 1_000)
        world.drained()
        world.control("/us", {"on": True})
        before = world.control("/tally")["rows"]
        ended = send(RUST_CLIENT, world.ports["bigquery"], "projects/p/datasets/d/tables/events", file.message_type[0], rows,
                     total, per_request)
        came = world.control("/tally")["rows"] - before
        if ended.get("rows") != total or came != total:
            raise SystemExit(f"{total} rows were to be written, {came} came: {ended}")
    return total / ended["seconds"], (ended["making"] + ended["cpu"]) / total * 1e6, ended["cpu"] / total * 1e6


def latency(seconds, rate):
    """Milliseconds from the answer to the table: median, p99, highest; and the rate that was had."""
    with World(["moments"]) as world:
        moments = {}
        load = faults.Load(world.server.public, rate, moments=moments, params=PARAMS)
        time.sleep(seconds)
        load.stop()
        had = load.statuses[200] / seconds
        world.drained()
        stored = dict(world.control("/moments"))
        # The first second opens the stream and makes the table.
        waits = sorted((stored[n] / 1e3 - at * 1e3 for n, at in moments.items() if n > rate and n in stored))
    return waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1], had


def stalled(seconds, rate):
    """Megabytes resident: before, at most while nothing is taken, at most while it catches up, and half a minute later; rows in
    the spool by then, how many came in a second, and how long they took. Every event that was answered 200 is in the table in the end,
    and every one was, or this fails."""
    with World(["moments"]) as world:
        server = world.server
        load = faults.Load(server.public, rate, params=PARAMS, bad=None)
        time.sleep(2)
        pid = server.process.pid
        before = memory_mb(pid, "VmRSS")
        world.control("/stall", {"on": True})
        highest, end = 0, time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            highest = max(highest, memory_mb(pid, "VmRSS"))
            time.sleep(min(0.2, end - now))
        load.stop()
        waiting = world.in_spool()
        # The high-water mark begins anew.
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
        world.control("/stall", {"on": False})
        started = time.monotonic()
        world.drained()
        caught_up = time.monotonic() - started
        peak = memory_mb(pid, "VmHWM")
        time.sleep(min(30, seconds))
        after = memory_mb(pid, "VmRSS")
        wrong = faults.balance(world.control("/tally"), faults.dead_letters(world.folder), load)
        if wrong or load.statuses[200] < load.next:
            raise SystemExit(f"answers {dict(load.statuses)}; the books do not balance: {wrong}; log:\n"
                             + (world.folder / "log").read_text()[-3000:])
        return before, highest, peak, after, waiting, waiting / seconds, caught_up


def compare(count, rounds):
    """Prints what a row costs, ours and Google's, in turns."""
    rows, file = sample(2_000)
    size = sum(map(len, rows)) // len(rows)
    print(f"rows of {size} bytes", flush=True)
    results = {"ours": [], "Google's for Python, bytes ready": [], "Google's for Python, serialized": []}
    for _ in range(rounds):
        *mine, fake = ours(count, size)
        results["ours"].append(mine)
        print(f"  (the stand-in: {fake:.2f} µs CPU/row)", flush=True)
        for name, ready in list(zip(results, (None, True, False)))[1:]:
            results[name].append(googles_python(rows, file, count // 2, ready))
        if RUST_CLIENT.exists():
            rate, made, ready = rust_client(rows, file, count // 2)
            results.setdefault("gcloud-bigquery, bytes ready", []).append((rate, made))
            results.setdefault("gcloud-bigquery, requests ready", []).append((rate, ready))
    for name, figures in results.items():
        rate, cost = (statistics.median(column) for column in zip(*figures))
        print(f"{name:34} {rate:9.0f} rows/s with the stand-in   {cost:7.2f} µs CPU/row, so {1e6 / cost:9.0f} rows/s of a core", flush=True)


def missing():
    """What comparing needs and is not installed."""
    wanted = ["google.cloud.bigquery_storage_v1", "grpc_tools"]
    if RUST_CLIENT.exists():
        # By way of rust_client_into_fake, which has it in common with other scripts.
        wanted.append("google.cloud.pubsub_v1")
    for name in wanted:
        try:
            importlib.import_module(name)
        except ImportError:
            yield name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stall", type=int, default=60)
    parser.add_argument("--latency", type=int, default=30)
    parser.add_argument("--rate", type=int, default=5_000)
    options = parser.parse_args()
    if options.rounds:
        if lacking := ", ".join(missing()):
            sys.exit(f"missing: {lacking}; install tests/foreign/google-requirements.txt, or leave this out by `--rounds 0`")
        compare(options.rows, options.rounds)
    if options.latency:
        median, p99, most, had = latency(options.latency, options.rate)
        print(f"from 200 to the table at {had:.0f} events/s: median {median:.0f} ms, p99 {p99:.0f} ms, highest {most:.0f} ms", flush=True)
    if options.stall:
        before, highest, peak, after, waiting, had, caught_up = stalled(options.stall, options.rate)
        print(f"stalled for {options.stall} s at {had:.0f} events/s with {waiting} rows in the spool: {highest:.0f} MB resident at most, {before:.0f} before, "
              f"{peak:.0f} at most in the {caught_up:.0f} s in which it caught up, {after:.0f} thereafter; no row is missing")


if __name__ == "__main__":
    main()
