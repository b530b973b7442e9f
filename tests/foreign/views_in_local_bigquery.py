"""Sets tables and views up in `local-bigquery`, a stand-in that others wrote, and asks them: the views must hold every
event once, and queries as they are written for Google Analytics 4's export must give the same by every road that
docs/google-cloud.md describes.

usage: views_in_local_bigquery.py <real-streaming> <local-bigquery>

Exits 0 when they do; 1 when they do not. `local-bigquery` needs Python 3.13; `.ci/run` installs it.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from loopback import call, eventually, free_port
from stand_in import BigQuery

# They are started in another folder.
binary, emulator = (os.path.abspath(path) for path in sys.argv[1:3])
docs = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "google-cloud.md").read_text()
EVENTS = 60

# As people write them for the export. The first names a day as its tables do.
QUERIES = [
    "SELECT COUNT(*) FROM `p1.DATASET.events_*` WHERE _TABLE_SUFFIX BETWEEN 'FIRST' AND 'LAST'",
    """SELECT event_date, event_name, COUNT(*) FROM `p1.DATASET.events_*`
       WHERE _TABLE_SUFFIX BETWEEN 'FIRST' AND 'LAST' AND platform = 'WEB' GROUP BY 1, 2 ORDER BY 1, 2""",
    # The usual `(SELECT … FROM UNNEST(event_params))` is more than the stand-in can do.
    """SELECT param.value.string_value AS page, COUNT(*) FROM `p1.DATASET.events_*`, UNNEST(event_params) AS param
       WHERE _TABLE_SUFFIX = 'LAST' AND event_name = 'page_view' AND param.key = 'page_location' GROUP BY 1 ORDER BY 1""",
    """SELECT item.item_id, SUM(item.quantity), COUNT(DISTINCT user_pseudo_id) FROM `p1.DATASET.events_*`, UNNEST(items) AS item
       WHERE _TABLE_SUFFIX >= 'FIRST' AND event_name = 'purchase' GROUP BY 1 ORDER BY 1""",
    """SELECT device.category, geo.country, traffic_source.source, COUNT(*) FROM `p1.DATASET.events_*`
       WHERE _TABLE_SUFFIX > '20200101' GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3""",
]


def event(number):
    page = {"key": "page_location", "value": {"string_value": f"https://example.com/{number % 7}"}}
    items = [{"item_id": f"i{n}", "price": 1.5, "quantity": n} for n in range(number % 3 + 1)]
    shapes = [
        {"event_name": "page_view", "event_params": [page]},
        {"event_name": "purchase", "event_params": [page], "items": items},
    ]
    return {"event_id": f"e{number}", **shapes[number % 2]}


def configuration(layout):
    path = folder / f"{layout}.yaml"
    path.write_text(
        f"""
server: {{ listen: ["127.0.0.1:{public}"], admin: "127.0.0.1:{admin}" }}
writers:
  strategy: direct
  project_id: p1
  local: {{ directory: {folder}/{layout} }}
  spool: {{ directory: {folder}/{layout}-spool }}
  bq: {{ dataset_id: {layout}, table_id: events, create_dataset: true, table_layout: {layout} }}
"""
    )
    return path


def set_up(config):
    command = [binary, "setup", "--views", "--config", str(config)]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **bigquery.environment}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"setup ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stderr.strip()


def same(what, left, right):
    if left != right:
        sys.exit(f"{what}:\n{left}\n{right}")


folder = pathlib.Path(tempfile.mkdtemp())
public, admin = free_port(), free_port()
log = open(folder / "log", "wb")
processes = []
try:
    bigquery = BigQuery(emulator, folder / "bq", log)
    processes.append(bigquery.process)
    for layout in ("sharded", "partitioned"):
        config = configuration(layout)
        same("an empty project", set_up(config), "4 created")
        same("a second time", set_up(config), "4 as it should be")
        serve = subprocess.Popen(
            [binary, "serve", "--config", str(config)], stdout=log, stderr=log, cwd=folder, env={**os.environ, **bigquery.environment}
        )
        processes.append(serve)
        eventually("the binary serves", lambda: call(public, "/healthz"))
        # Everything twice: a client that did not see the answer sends its events again, with the same ids.
        for _ in range(2):
            call(public, "/api/v1/streaming/1", [event(number) for number in range(EVENTS)])
        delivered = f'real_streaming_events_delivered_total{{sink="direct",stream="1"}} {2 * EVENTS}'
        eventually("everything is delivered", lambda: delivered in call(admin, "/metrics").decode())
        serve.terminate()
        if serve.wait(30) != 0:
            sys.exit(f"the binary ended with {serve.returncode}")

        table = "events" if layout == "partitioned" else "events_*"
        rows = bigquery.query(f"SELECT rs_info.event_id, MIN(synced_at_micros_) FROM `p1.{layout}.{table}` GROUP BY 1 ORDER BY 1")
        same("rows of the table", bigquery.query(f"SELECT COUNT(*) FROM `p1.{layout}.{table}`"), [[str(2 * EVENTS)]])
        unique = bigquery.query(f"SELECT rs_info.event_id, synced_at_micros_ FROM `p1.{layout}.unique_events` ORDER BY 1")
        same("every event once, as it came first", unique, rows)
        same("so many events", len(unique), EVENTS)
        columns = f"SELECT column_name FROM `p1.{layout}.INFORMATION_SCHEMA.COLUMNS` WHERE table_name = '{{}}' ORDER BY ordinal_position"
        export = [name for (name,) in bigquery.query(columns.format("ga4_events"))]
        same("columns of the export", (export[0], export[30:]), ("event_date", ["event_original_occurrence_timestamp", "date", "table_suffix"]))
        every = [name for (name,) in bigquery.query(columns.format("unique_events"))]
        same("the table's order", every[:31], export[:31])

    # One, or two at midnight.
    ((day,),) = bigquery.query("SELECT MAX(event_date) FROM `p1.partitioned.events`")
    (function,) = re.findall(r"```sql\n(CREATE OR REPLACE TABLE FUNCTION.*?)```", docs, re.DOTALL)
    bigquery.query(function.replace("PROJECT.DATASET", "p1.partitioned"))
    for query in QUERIES:
        query = query.replace("FIRST", "20200101").replace("LAST", day)
        unchanged = query.replace("DATASET", "sharded")
        doubled = bigquery.query(unchanged)
        # By the view of each layout, two names replaced.
        by_view = [
            bigquery.query(query.replace("DATASET.events_*", f"{layout}.ga4_events").replace("_TABLE_SUFFIX", "table_suffix"))
            for layout in ("sharded", "partitioned")
        ]
        same(query, *by_view)
        # The tables hold everything twice, and are asked by the query as it was written.
        if query.count("COUNT(*)"):
            same(f"{query} of the tables", doubled, [[*row[:-1], str(2 * int(row[-1]))] for row in by_view[0]])
        if not doubled:
            sys.exit(f"{query}: nothing")
        once = lambda table: bigquery.query(query.replace("`p1.DATASET.events_*`", table).replace("_TABLE_SUFFIX", "table_suffix"))
        function_of_days = once(f"`p1.partitioned.events_between`('20200101', '{day}')")
        same(f"{query} by the function", function_of_days, by_view[1])
finally:
    for process in processes:
        process.kill()
        process.wait()

print(f"{EVENTS} events, each once in the views of both layouts; {len(QUERIES)} queries of the export agree")
