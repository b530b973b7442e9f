#!/usr/bin/env python3
"""The tracking script in Chromium, against a server that is not ready: every event has an id of its own, keeps it when it
is sent again, and is sent again once at most.

    tracker_in_browser.py
"""

import http.server
import json
import pathlib
import subprocess
import tempfile
import threading
import time

SCRIPT = pathlib.Path(__file__).parents[2] / "static/v6.js"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"]
# What becomes of an event, by its name: the answers to its first, second and any further arrival.
FATES = {
    "page_view": [200],
    "busy": [503, 200],
    "stays_busy": [503, 503],
    "refused": [400],
    "limited": [429],
    "broken": [None, 200],
    "stays_broken": [None, None],
    "last": [200],
}
PAGE = """<!doctype html><title>t</title><script async src="/v6.js" data-endpoint="{endpoint}"></script><script>
{before}
addEventListener("load", function () {{ {names}.forEach(function (name) {{ realStreaming(name, {{n: 1}}); }}); }});
</script>"""


class Server(http.server.ThreadingHTTPServer):
    """A site, its script and its endpoint; keeps what arrived."""

    daemon_threads = True

    def __init__(self, endpoint="", before="", allow=None):
        super().__init__(("127.0.0.1", 0), Handler)
        names = json.dumps([name for name in FATES if name != "page_view"])
        self.page = PAGE.format(endpoint=endpoint, before=before, names=names).encode()
        self.allow, self.arrived, self.lock = allow, [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, kind="text/plain", body=b""):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.server.allow:
            self.send_header("Access-Control-Allow-Origin", self.server.allow)
            self.send_header("Access-Control-Allow-Credentials", "true")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/":
            self.answer(200, "text/html", self.server.page)
        elif self.path == "/v6.js":
            self.answer(200, "text/javascript", SCRIPT.read_bytes())
        else:
            self.answer(404)

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            before = sum(name == event["event_name"] for name, _ in self.server.arrived)
            self.server.arrived.append((event["event_name"], event.get("event_id")))
        fate = FATES[event["event_name"]]
        status = fate[min(before, len(fate) - 1)]
        if status is None:
            self.connection.close()
            self.close_connection = True
        else:
            self.answer(status)


def visit(site, endpoint, expected):
    """What arrived at `endpoint` once `site`'s page had said everything, and nothing more came for longer than a pause."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *FLAGS, f"--user-data-dir={profile}", site.url]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.time() + 60
            while len(endpoint.arrived) < expected:
                assert time.time() < deadline, f"too little came: {endpoint.arrived}"
                time.sleep(0.1)
            time.sleep(5)
        finally:
            browser.terminate()
            browser.wait(timeout=20)
    arrived = list(endpoint.arrived)
    assert len(arrived) == expected, arrived
    ids = {}
    for name, event_id in arrived:
        ids.setdefault(name, set()).add(event_id)
    assert ids.keys() == FATES.keys(), ids
    assert all(len(of_one) == 1 for of_one in ids.values()), f"an event keeps its id: {ids}"
    all_ids = [event_id for of_one in ids.values() for event_id in of_one]
    assert len(set(all_ids)) == len(all_ids) and all(32 <= len(event_id) <= 36 for event_id in all_ids), ids
    return {name: sum(arrival == name for arrival, _ in arrived) for name in FATES}


def main():
    again = {"busy", "stays_busy", "broken", "stays_broken"}
    site = Server()
    counts = visit(site, site, len(FATES) + len(again))
    assert counts == {name: 1 + (name in again) for name in FATES}, counts

    # No secure context, no fine randomness: ids all the same.
    site = Server(before="crypto.randomUUID = undefined; crypto.getRandomValues = undefined;")
    assert visit(site, site, len(FATES) + len(again)) == counts

    # An endpoint elsewhere whose answers the page may not see: every event may have been taken, and none comes again.
    silent = Server()
    site = Server(endpoint=silent.url)
    assert visit(site, silent, len(FATES)) == {name: 1 for name in FATES}

    # The same, seen: `page_view` is answered before anything else is sent, and so failures of the others mean something.
    open_to_all = Server()
    site = Server(endpoint=open_to_all.url)
    open_to_all.allow = site.url.rstrip("/")
    assert visit(site, open_to_all, len(FATES) + len(again)) == counts
    print("the tracker's events keep their ids: 4 passed, 0 failed")


if __name__ == "__main__":
    main()
