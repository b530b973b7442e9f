"""A running `local-bigquery` (MIT)."""

import socket
import subprocess
import sys
import urllib.error

from loopback import ask, eventually, free_port


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
            answer = ask(self.rest, "/bigquery/v2/projects/p1/queries", body)
        except urllib.error.HTTPError as error:
            sys.exit(f"refused: {sql}\n{error.read().decode()}")
        return [[cell["v"] for cell in row["f"]] for row in answer.get("rows", [])]
