"""Judges the stand-in for BigQuery by one more client, and the only one in Rust that writes protobuf: the crate gcloud-bigquery
(tests/foreign/rust_client) writes through it. What is right is stored as it was, what is wrong is answered as Google documents it.

usage: rust_client_into_fake.py <fake_google> <rust_client>

Exits 0 when every case ends as it should; 1 when one does not; 3 when Google's packages are not installed.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import google_clients_into_fake as google
from google_clients_into_fake import COLUMNS, TABLE, Row, check, descriptor, row
from loopback import ask

PATIENCE = 120
# More than two calls of the client, the last of which is not full.
ROWS, PER_REQUEST = 20_000, 150
INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED = 3, 5, 7


def send(client, port, table, schema, rows, total, per_request):
    """What the client prints: how many rows it wrote at what cost, or how it was refused."""
    with tempfile.TemporaryDirectory() as folder:
        message, data = pathlib.Path(folder) / "descriptor", pathlib.Path(folder) / "rows"
        message.write_bytes(schema.SerializeToString())
        data.write_bytes(b"".join(len(one).to_bytes(4, "little") + one for one in rows))
        done = subprocess.run([os.path.abspath(client), str(port), table, message, data, str(total), str(per_request)],
                              capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        sys.exit(f"the Rust client failed: {done.stderr}")
    return json.loads(done.stdout)


def right_inputs(client, ports):
    rows = [row(number) for number in range(1_999)] + [Row(id="bare")]
    serialized = [made.SerializeToString() for made in rows]
    written = send(client, ports["bigquery"], TABLE, descriptor(COLUMNS), serialized, ROWS, PER_REQUEST)
    check("every row is written", written.get("rows") == ROWS, written)
    check("and costs something", 0 < written["cpu"] / ROWS < 1e-3, written)
    stored = google.BigQuery(ports).stored()
    check("rows are stored as they were, in order", stored == rows * (ROWS // len(rows)), len(stored))
    seen = ask(ports["control"], "/seen")
    check("in as many requests", len(seen) == -(-ROWS // PER_REQUEST), len(seen))
    check("without a routing header", {request["routing"] for request in seen} == {None}, seen[0])


def wrong_inputs(client, ports):
    good, schema = row(1).SerializeToString(), descriptor(COLUMNS)
    retyped = [{**column, "type": "INTEGER"} if column["name"] == "id" else column for column in COLUMNS]
    proto3 = descriptor(COLUMNS)
    proto3.field[1].proto3_optional = True
    before = len(google.BigQuery(ports).stored())

    def refusal(rows, schema=schema, table=TABLE):
        answer = send(client, ports["bigquery"], table, schema, rows, len(rows), len(rows))
        return answer.get("code"), list(answer.get("faults", {}))
    for what, rows in [
        ("a required column without a value", [good, Row(n=1).SerializeToString(), good]),
        ("a row that is none", [good, b"\xff\xff"]),
        ("a day beyond the year 9999", [good, Row(id="x", day=3_000_000).SerializeToString()]),
    ]:
        found = refusal(rows)
        check(what, found == (INVALID_ARGUMENT, ["1"]), found)
    for what, wrong in [
        ("a column too many", descriptor([*COLUMNS, {"name": "extra", "type": "STRING"}])),
        ("a column of another type", descriptor(retyped)),
        ("proto3's optional", proto3),
    ]:
        found = refusal([good], wrong)
        check(what, found == (INVALID_ARGUMENT, []), found)
    found = refusal([Row(id="x" * 1_000_000).SerializeToString()] * 21)
    check("more than 20 MB", found == (INVALID_ARGUMENT, []), found)
    found = refusal([good], table="projects/p/datasets/d/tables/nobody")
    check("a table that is not there", found == (NOT_FOUND, []), found)
    ask(ports["control"], "/us", {"on": False})
    found = refusal([good])
    check("no routing header where one is needed", found == (PERMISSION_DENIED, []), found)
    check("nothing was stored by any of them", len(google.BigQuery(ports).stored()) == before)


def main():
    with google.stand_in(sys.argv[1]) as ports:
        # The client sends none with its appends.
        ask(ports["control"], "/us", {"on": True})
        right_inputs(sys.argv[2], ports)
        wrong_inputs(sys.argv[2], ports)
    print(f"gcloud-bigquery and the stand-in agree: {google.passed} passed, 0 failed")


if __name__ == "__main__":
    main()
