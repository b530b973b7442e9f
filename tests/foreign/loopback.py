"""What scripts that test on this machine have in common: ports, requests, patience, and the tests' stand-ins for Google."""

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request

# Somebody who is taken for a person.
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


def free_port():
    """A port nobody listens on, and that the system gives to no connection meanwhile: its own begin above."""
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
            except OSError:
                continue
            return probe.getsockname()[1]


def call(port, path, body=None):
    """The bytes of the answer; with a body, which is sent as JSON, it is a POST."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "User-Agent": AGENT, "Accept-Language": "de-DE,de;q=0.8"}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers), timeout=30) as answer:
        return answer.read()


def ask(port, path, body=None):
    """The same, of an answer that is JSON."""
    return json.loads(call(port, path, body))


def eventually(what, holds, seconds=60):
    """The first value that is true. Ends the script when there is none in time."""
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


class FakeGoogle:
    """A process of `examples/fake_google`, and its ports by name. It ends with the block that it is opened for."""

    def __init__(self, program, *arguments):
        command = [os.path.abspath(program), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.ports = json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def control(self, path, body=None):
        return ask(self.ports["control"], path, body)
