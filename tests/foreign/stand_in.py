"""A running `local-bigquery` (MIT), and what tests that write into it have in common."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
    headers = {"Content-Type": "application/json", "User-Agent": agent, "Accept-Language": "de-DE,de;q=0.8"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return answer.read()


def eventually(what, holds, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            value = holds()
            if value:
                return value
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit(f"never came true: {what}")


class BigQuery:
    """Serves project `p1` until its process is killed."""

    def __init__(self, program, data, log):
        self.rest, self.grpc = free_port(), free_port()
        ports = ["--port", str(self.rest), "--grpc-port", str(self.grpc)]
        command = [program, *ports, "--data-dir", str(data), "--project", "p1"]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually("local-bigquery is up", lambda: socket.create_connection(("127.0.0.1", self.grpc), 1))
        eventually("local-bigquery answers", lambda: socket.create_connection(("127.0.0.1", self.rest), 1))
        # What leads the binary here.
        self.environment = {
            "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{self.rest}",
            "BIGQUERY_STORAGE_GRPC_ENDPOINT": f"127.0.0.1:{self.grpc}",
        }

    def query(self, sql):
        """Rows as lists of texts."""
        body = {"query": sql, "useLegacySql": False, "maxResults": 10_000}
        try:
            answer = json.loads(call(f"http://127.0.0.1:{self.rest}/bigquery/v2/projects/p1/queries", body))
        except urllib.error.HTTPError as error:
            sys.exit(f"refused: {sql}\n{error.read().decode()}")
        return [[cell["v"] for cell in row["f"]] for row in answer.get("rows", [])]
