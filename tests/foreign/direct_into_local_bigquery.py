"""Writes events through the binary into `local-bigquery`, a stand-in that others wrote, and compares what SQL finds there
with the rows of the local lake, field by field.

usage: direct_into_local_bigquery.py <real-streaming> <local-bigquery>

Exits 0 when both hold the same rows; 1 when they do not; 3 when pyarrow is not installed. `local-bigquery` (MIT) needs
Python 3.13; `.ci/run` installs it.
"""

import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from loopback import call, eventually, free_port
from stand_in import BigQuery

try:
    import pyarrow.dataset
except ImportError as error:
    print(f"missing: {error.name}")
    sys.exit(3)

# They are started in another folder.
binary, emulator = (os.path.abspath(path) for path in sys.argv[1:3])
EVENTS = 240


def event(number):
    """One of several shapes."""
    page = {"key": "page_location", "value": {"string_value": f"https://example.com/{number}?utm_source=n%C3%A4ws"}}
    number_of = {"key": "n", "value": {"int_value": number}}
    odd = {"key": "odd", "value": {"double_value": number / 3}}
    items = [
        {"item_id": f"i{n}", "price": 0.1 * n, "quantity": n, "item_params": [{"key": "k", "value": {"int_value": 0}}]}
        for n in range(number % 4)
    ]
    shapes = [
        {"event_name": "page_view", "event_params": [page, number_of]},
        {"event_name": "purchase", "event_params": [odd], "items": items},
        {"event_name": "empty", "event_params": []},
    ]
    return {"event_id": f"e{number}", **shapes[number % 3]}


def plain(value):
    """Without nulls, empty lists and empty records; days and times as text and number."""
    if isinstance(value, dict):
        members = {name: plain(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not None} or None
    if isinstance(value, list):
        return [plain(element) or {} for element in value] or None
    if isinstance(value, datetime.datetime):
        return (value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)
    return value.isoformat() if isinstance(value, datetime.date) else value


def of_bigquery(text):
    row = json.loads(text)
    stamp, zone = row["synced_at_utc_"].rsplit("+", 1)
    whole, _, fraction = stamp.partition(".")
    stamp = f"{whole}.{fraction:0<6}+{zone:0<2}:00"
    row["synced_at_utc_"] = datetime.datetime.fromisoformat(stamp)
    return plain(row)


folder = pathlib.Path(tempfile.mkdtemp())
public, admin = free_port(), free_port()
log = open(folder / "log", "wb")
processes = []
try:
    bigquery = BigQuery(emulator, folder / "bq", log)
    processes.append(bigquery.process)
    config = folder / "c.yaml"
    config.write_text(
        f"""
server: {{ listen: ["127.0.0.1:{public}"], admin: "127.0.0.1:{admin}" }}
writers:
  strategy: [local, direct]
  project_id: p1
  local: {{ directory: {folder}/lake }}
  spool: {{ directory: {folder}/spool }}
  bq: {{ dataset_id: analytics, table_id: events, create_dataset: true }}
"""
    )
    serve = subprocess.Popen(
        [binary, "serve", "--config", str(config)], stdout=log, stderr=log, cwd=folder, env={**os.environ, **bigquery.environment}
    )
    processes.append(serve)
    eventually("the binary serves", lambda: call(public, "/healthz"))
    for first in range(0, EVENTS, 8):
        call(public, "/api/v1/streaming/1", [event(number) for number in range(first, first + 8)])
    delivered = f'real_streaming_events_delivered_total{{sink="direct",stream="1"}} {EVENTS}'
    eventually("everything is delivered", lambda: delivered in call(admin, "/metrics").decode())
    serve.terminate()
    if serve.wait(30) != 0:
        sys.exit(f"the binary ended with {serve.returncode}")

    rows = bigquery.query("SELECT TO_JSON_STRING(e) FROM `p1.analytics.events` e")
    stored = [of_bigquery(text) for (text,) in rows]
finally:
    for process in processes:
        process.kill()
        process.wait()

files = sorted(str(path) for path in (folder / "lake" / "events").rglob("*.parquet"))
lake = [plain(row) for row in pyarrow.dataset.dataset(files).to_table().to_pylist()]
key = lambda row: int(row["rs_info"]["event_id"][1:])
stored.sort(key=key)
lake.sort(key=key)
different = [(ours, theirs) for ours, theirs in zip(lake, stored) if ours != theirs]
for ours, theirs in different[:3]:
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    print({name: (ours.get(name), theirs.get(name)) for name in names})
print(f"{len(stored)} rows in local-bigquery, {len(lake)} in the lake, {len(different)} differ")
sys.exit(1 if different or len(stored) != EVENTS or len(lake) != EVENTS else 0)
