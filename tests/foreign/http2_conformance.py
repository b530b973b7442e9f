#!/usr/bin/env python3
"""What RFC 9113 and RFC 7541 demand of a server, and floods that have brought servers down, frame by frame.

    http2_conformance.py path/to/real-streaming

Frames are made by `hyperframe` and `hpack`, which let anything through. Each case has a connection of its own, over TLS and
then without (prior knowledge); after each the edge has to answer somebody else. Where `h2spec` is installed, all its cases are
run, too (`--strict`).
"""

import http.server
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

import hpack
from hyperframe.frame import (
    ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, PushPromiseFrame,
    RstStreamFrame, SettingsFrame, WindowUpdateFrame)

from loopback import free_port
from sites_in_browser import certificate, started

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL, INTERNAL, FLOW, SETTINGS_TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, CONNECT, CALM = range(12)
LARGE = 300_000


class Site(http.server.BaseHTTPRequestHandler):
    """Tells what it saw; /large is large, /slow takes its time."""

    protocol_version = "HTTP/1.1"
    seen = []

    def do_GET(self):
        length = self.headers.get("Content-Length")
        if self.headers.get("Transfer-Encoding"):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            body = self.rfile.read(int(length or 0))
        Site.seen.append((self.command, self.path, sorted((name.lower(), value) for name, value in self.headers.items()), body))
        if self.path == "/slow":
            time.sleep(1)
        answer = b"x" * LARGE if self.path == "/large" else b"%d bytes" % len(body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PUT = do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Sites(http.server.ThreadingHTTPServer):
    """Cases that end in the middle of a request end it for the site, too."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass


class Client:
    """Writes any frames, and reads what comes."""

    def __init__(self, address, tls, preface=True):
        self.socket = socket.create_connection(address, 10)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket)
            assert self.socket.selected_alpn_protocol() == "h2"
        self.socket.settimeout(8)
        self.buffer, self.closed = b"", False
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        if preface:
            self.write(PREFACE + SettingsFrame().serialize())

    def write(self, data):
        """Writing to who has hung up is no failure of this side: what it said last may still be read."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed = True

    def send(self, *frames):
        self.write(b"".join(frame.serialize() for frame in frames))

    def block(self, *extra, method="GET", path="/", leave_out=(), instead=None):
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        pairs = [pair for pair in pseudo if pair[0] not in leave_out] + list(extra)
        return self.encoder.encode(instead if instead is not None else pairs, huffman=False)

    def headers(self, *extra, stream=1, end=True, **options):
        flags = ["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"]
        return HeadersFrame(stream, self.block(*extra, **options), flags=flags)

    def frames(self):
        """What comes until the end, or until nothing has come for a while."""
        while True:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
                try:
                    data = self.socket.recv(1 << 20)
                except TimeoutError:
                    return
                except OSError:
                    data = b""
                if not data:
                    self.closed = True
                    return
                self.buffer += data
            frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
            frame.parse_body(memoryview(self.buffer[9:9 + length]))
            self.buffer = self.buffer[9 + length:]
            if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                self.send(SettingsFrame(flags=["ACK"]))
            yield frame

    def outcome(self, stream=1):
        """How the stream, or the connection, ends: `(what, code)`."""
        status, size = None, 0
        for frame in self.frames():
            if isinstance(frame, HeadersFrame):
                pairs = dict(self.decoder.decode(frame.data))
                if frame.stream_id == stream:
                    status = int(pairs.get(":status", 0)) or status
            elif isinstance(frame, DataFrame):
                if frame.stream_id == stream:
                    size += len(frame.data)
                self.send(WindowUpdateFrame(0, window_increment=max(1, frame.flow_controlled_length)))
            elif isinstance(frame, GoAwayFrame) and frame.error_code != NO_ERROR:
                return "goaway", frame.error_code
            elif isinstance(frame, RstStreamFrame) and frame.stream_id == stream and not (status and frame.error_code == NO_ERROR):
                return "reset", frame.error_code
            if "END_STREAM" in getattr(frame, "flags", ()) and frame.stream_id == stream:
                return "status", status
        return ("closed" if self.closed else "silence"), None

    def pong(self):
        """Whether the connection lives."""
        self.send(PingFrame(0, b"12345678"))
        return any(isinstance(frame, PingFrame) and frame.opaque_data == b"12345678" for frame in self.frames())


class Raw(Frame):
    """A frame of any type, flags and length."""

    def __init__(self, stream, kind, flags=0, body=b"", length=None):
        super().__init__(0)
        self.bytes = struct.pack(">I", len(body) if length is None else length)[1:]
        self.bytes += struct.pack(">BBI", kind, flags, stream) + body

    def serialize(self):
        return self.bytes


# An error of the connection: the name of the mistake, or the connection is closed, which is always allowed (5.4.1). The crate
# `h2` has one name, PROTOCOL_ERROR, for most mistakes.
def connection(*codes):
    return {("goaway", code) for code in (*codes, PROTOCOL)} | {("closed", None)}


# An error of the stream, which a server may also take for one of the connection (5.4.2), or answer as what it is (8.1.1).
def stream(*codes):
    return {("reset", code) for code in codes} | connection(*codes) | {("status", 400)}


OK = {("status", 200)}


def cases():
    """`(section, what, frames of a client, what may come of it)`."""
    def case(section, what, expected, *make):
        found.append((section, what, make, expected))

    found = []
    h, big = Client.headers, b"x" * 16_385
    # Frames and their sizes.
    case("4.2", "a frame of the largest size", {("status", 200)}, lambda c: h(c, end=False, method="POST"),
         lambda c: DataFrame(1, big[:16_384], flags=["END_STREAM"]))
    case("4.2", "DATA larger than the largest", connection(SIZE) | {("reset", SIZE)}, lambda c: h(c, end=False, method="POST"),
         lambda c: DataFrame(1, big))
    case("4.2", "HEADERS larger than the largest", connection(SIZE), lambda c: HeadersFrame(1, big, flags=["END_HEADERS"]))
    case("4.1", "unknown frames are passed over", OK, lambda c: Raw(0, 0xbb, 0xff, b"what"), lambda c: h(c))
    case("4.1", "unknown flags are passed over", OK, lambda c: Raw(0, 6, 0xfe, b"12345678"), lambda c: h(c))
    case("4.1", "the reserved bit is passed over", OK, lambda c: Raw(0x80000001, 1, 5, c.block()))
    # Settings.
    # `h2` lets this pass, and gives nothing away by it.
    case("3.4", "the first frame is no SETTINGS", connection(PROTOCOL) | OK, "no settings", lambda c: h(c))
    case("6.5", "SETTINGS of a stream", connection(PROTOCOL), lambda c: Raw(1, 4))
    case("6.5", "SETTINGS of five bytes", connection(SIZE), lambda c: Raw(0, 4, 0, b"12345"))
    case("6.5", "an acknowledgement that says something", connection(SIZE), lambda c: Raw(0, 4, 1, b"123456"))
    case("6.5.2", "ENABLE_PUSH is 2", connection(PROTOCOL), lambda c: SettingsFrame(settings={2: 2}))
    case("6.5.2", "INITIAL_WINDOW_SIZE is 2^31", connection(FLOW), lambda c: SettingsFrame(settings={4: 1 << 31}))
    case("6.5.2", "MAX_FRAME_SIZE is 16383", connection(PROTOCOL), lambda c: SettingsFrame(settings={5: 16_383}))
    case("6.5.2", "MAX_FRAME_SIZE is 2^24", connection(PROTOCOL), lambda c: SettingsFrame(settings={5: 1 << 24}))
    case("6.5.2", "unknown settings are passed over", OK, lambda c: SettingsFrame(settings={0xff: 1}), lambda c: h(c))
    # States of streams.
    case("5.1", "DATA on an idle stream", connection(PROTOCOL, CLOSED), lambda c: DataFrame(1, b"x"))
    case("5.1", "RST_STREAM on an idle stream", connection(PROTOCOL), lambda c: RstStreamFrame(1))
    case("5.1", "WINDOW_UPDATE on an idle stream", connection(PROTOCOL), lambda c: WindowUpdateFrame(1, window_increment=1))
    case("5.1", "DATA after the end", stream(CLOSED), lambda c: h(c, path="/slow"), lambda c: DataFrame(1, b"x", flags=["END_STREAM"]))
    case("5.1", "HEADERS after the end", stream(CLOSED), lambda c: h(c, path="/slow"), lambda c: h(c))
    case("5.1", "DATA after RST_STREAM", stream(CLOSED) | {("silence", None)}, lambda c: h(c, end=False, method="POST"),
         lambda c: RstStreamFrame(1, error_code=CANCEL), lambda c: DataFrame(1, b"x"))
    case("5.1.1", "an even stream", connection(PROTOCOL), lambda c: h(c, stream=2))
    case("5.1.1", "a stream that goes back", connection(PROTOCOL, CLOSED), lambda c: h(c, stream=5, path="/slow"), lambda c: h(c, stream=3))
    case("6.1", "DATA of no stream", connection(PROTOCOL), lambda c: Raw(0, 0, 0, b"x"))
    case("6.1", "padding longer than DATA", connection(PROTOCOL), lambda c: h(c, end=False, method="POST"), lambda c: Raw(1, 0, 9, b"\5xx"))
    case("6.2", "HEADERS of no stream", connection(PROTOCOL), lambda c: Raw(0, 1, 5, c.block()))
    case("6.2", "padding longer than HEADERS", connection(PROTOCOL), lambda c: Raw(1, 1, 13, b"\x80" + c.block()))
    case("6.3", "PRIORITY of four bytes", {("reset", SIZE)} | connection(SIZE), lambda c: h(c, end=False, method="POST"), lambda c: Raw(1, 2, 0, b"1234"))
    case("6.3", "PRIORITY of no stream", connection(PROTOCOL), lambda c: Raw(0, 2, 0, b"12345"))
    case("5.3", "PRIORITY is passed over", OK, lambda c: PriorityFrame(3, depends_on=1, stream_weight=3), lambda c: h(c))
    case("6.4", "RST_STREAM of three bytes", connection(SIZE), lambda c: h(c, end=False, method="POST"), lambda c: Raw(1, 3, 0, b"123"))
    case("6.6", "PUSH_PROMISE of a client", connection(PROTOCOL), lambda c: h(c, path="/slow"), lambda c: PushPromiseFrame(1, 2, c.block(), flags=["END_HEADERS"]))
    case("6.7", "PING of a stream", connection(PROTOCOL), lambda c: Raw(1, 6, 0, b"12345678"))
    case("6.7", "PING of six bytes", connection(SIZE), lambda c: Raw(0, 6, 0, b"123456"))
    case("6.8", "GOAWAY of a stream", connection(PROTOCOL), lambda c: Raw(1, 7, 0, bytes(8)))
    case("6.9", "WINDOW_UPDATE by nothing", connection(PROTOCOL), lambda c: Raw(0, 8, 0, bytes(4)))
    case("6.9", "WINDOW_UPDATE of a stream by nothing", stream(PROTOCOL) - {("status", 400)}, lambda c: h(c, path="/slow"), lambda c: Raw(1, 8, 0, bytes(4)))
    case("6.9", "WINDOW_UPDATE of three bytes", connection(SIZE), lambda c: Raw(0, 8, 0, bytes(3)))
    case("6.9.1", "a window above 2^31-1", connection(FLOW), lambda c: WindowUpdateFrame(0, window_increment=(1 << 31) - 1))
    case("6.9.1", "a stream's window above 2^31-1", stream(FLOW) - {("status", 400)}, lambda c: h(c, path="/slow"),
         lambda c: WindowUpdateFrame(1, window_increment=(1 << 31) - 1))
    # Header blocks.
    case("6.10", "CONTINUATION of nothing", connection(PROTOCOL), lambda c: ContinuationFrame(1, c.block(), flags=["END_HEADERS"]))
    case("6.10", "something between HEADERS and CONTINUATION", connection(PROTOCOL), lambda c: HeadersFrame(1, c.block()), lambda c: PingFrame(0, b"12345678"))
    case("6.10", "CONTINUATION of another stream", connection(PROTOCOL), lambda c: HeadersFrame(1, c.block()), lambda c: ContinuationFrame(3, b"", flags=["END_HEADERS"]))
    case("6.10", "a header in many pieces", OK, lambda c: HeadersFrame(1, c.block(("x-a", "1")), flags=["END_STREAM"]),
         lambda c: ContinuationFrame(1, c.block(("x-b", "2"), leave_out=(":method", ":scheme", ":authority", ":path"))),
         lambda c: ContinuationFrame(1, b"", flags=["END_HEADERS"]))
    case("4.3", "what is no header block", connection(COMPRESSION), lambda c: HeadersFrame(1, b"\x80\xff\xff\xff\xff\xff", flags=["END_HEADERS"]))
    case("7541 2.3.3", "an entry that is not in the table", connection(COMPRESSION), lambda c: HeadersFrame(1, b"\xff\x20", flags=["END_HEADERS"]))
    case("7541 4.2", "a table's size after a field", connection(COMPRESSION), lambda c: HeadersFrame(1, c.block() + b"\x3f\x01", flags=["END_HEADERS", "END_STREAM"]))
    case("7541 5.2", "Huffman code with EOS in it", connection(COMPRESSION), lambda c: HeadersFrame(1, b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff", flags=["END_HEADERS"]))
    case("7541 6.3", "a table larger than allowed", connection(COMPRESSION), lambda c: HeadersFrame(1, b"\x3f\xe1\xff\x7f" + c.block(), flags=["END_HEADERS", "END_STREAM"]))
    case("6.5.2", "more headers than fit", {("status", 431)} | stream(PROTOCOL, REFUSED, CALM, CANCEL, COMPRESSION, INTERNAL), "large header")
    # Requests.
    for pseudo in (":method", ":scheme", ":path"):
        case("8.3.1", f"no {pseudo}", stream(PROTOCOL), lambda c, pseudo=pseudo: h(c, leave_out=(pseudo,)))
    for extra in ((":path", "/"), (":method", "GET"), (":scheme", "http"), (":authority", "other"), (":status", "200"), (":other", "1")):
        case("8.3", f"{extra[0]}: {extra[1]} beside the others", stream(PROTOCOL), lambda c, extra=extra: c.headers(extra))
    case("8.3", "a pseudo-header after a field", stream(PROTOCOL),
         lambda c: h(c, instead=[(":method", "GET"), ("x", "1"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")]))
    case("8.3.1", "an empty path", stream(PROTOCOL), lambda c: h(c, path=""))
    case("8.3.1", "a path that is none", stream(PROTOCOL), lambda c: h(c, path="page"))
    case("8.3.1", "an absolute address for a path", stream(PROTOCOL), lambda c: h(c, path="https://localhost/"))
    case("8.3.1", "Host differs from :authority", stream(PROTOCOL), lambda c: h(c, ("host", "other")))
    case("8.3.1", "userinfo in :authority", stream(PROTOCOL), lambda c: h(c, (":authority", "a@localhost"), leave_out=(":authority",)))
    case("8.2.1", "an upper-case name", stream(PROTOCOL), lambda c: h(c, ("X-Large", "1")))
    for name in (b"a b", b"a\0", b"a\r\nb", b"", b"a:b", b"a\xff"):
        case("8.2.1", f"a field named {name!r}", stream(PROTOCOL, COMPRESSION), lambda c, name=name: h(c, (name, b"1")))
    for value in (b"a\r\nx: 1", b"a\n", b"\0", b"a\rb"):
        case("8.2.1", f"the value {value!r}", stream(PROTOCOL), lambda c, value=value: h(c, (b"x-value", value)))
    case("8.2.1", "a path with a new line", stream(PROTOCOL), lambda c: h(c, path="/ HTTP/1.1\r\nx: 1"))
    case("8.2.1", "a path with a blank", stream(PROTOCOL), lambda c: h(c, path="/a b"))
    case("8.2.1", "a method with a blank", stream(PROTOCOL), lambda c: h(c, method="GET /x"))
    for name, value in (("connection", "close"), ("keep-alive", "1"), ("proxy-connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "x"), ("te", "gzip")):
        case("8.2.2", f"{name}: {value}", stream(PROTOCOL), lambda c, pair=(name, value): h(c, pair))
    case("8.2.2", "te: trailers", OK, lambda c: h(c, ("te", "trailers")))
    for length, body in (("1", b""), ("1", b"ab"), ("3", b"ab"), ("-1", b""), ("+2", b"ab"), ("2,3", b"ab"), ("x", b"ab")):
        case("8.1.1", f"content-length {length} for {len(body)} bytes", stream(PROTOCOL) | {("status", 502)},
             lambda c, length=length: h(c, ("content-length", length), end=False, method="POST"),
             lambda c, body=body: DataFrame(1, body, flags=["END_STREAM"]))
    case("8.1.1", "two lengths", stream(PROTOCOL), lambda c: h(c, ("content-length", "2"), ("content-length", "3"), end=False, method="POST"),
         lambda c: DataFrame(1, b"ab", flags=["END_STREAM"]))
    case("8.1", "a body, its last frame empty", OK, lambda c: h(c, end=False, method="POST"), lambda c: DataFrame(1, b"abc"), lambda c: DataFrame(1, b"", flags=["END_STREAM"]))
    case("8.1", "a body with padding", OK, lambda c: h(c, ("content-length", "3"), end=False, method="POST"),
         lambda c: DataFrame(1, b"abc", pad_length=200, flags=["PADDED", "END_STREAM"]))
    case("8.1", "trailers", OK, lambda c: h(c, end=False, method="POST"), lambda c: DataFrame(1, b"abc"),
         lambda c: HeadersFrame(1, c.block(instead=[("x-checksum", "1")]), flags=["END_HEADERS", "END_STREAM"]))
    case("8.1", "trailers that are not the end", stream(PROTOCOL), lambda c: h(c, end=False, method="POST"), lambda c: DataFrame(1, b"abc"),
         lambda c: HeadersFrame(1, c.block(instead=[("x-checksum", "1")]), flags=["END_HEADERS"]))
    # `h2` drops it.
    case("8.1", "a pseudo-header in trailers", stream(PROTOCOL) | OK, lambda c: h(c, end=False, method="POST"), lambda c: DataFrame(1, b"abc"),
         lambda c: HeadersFrame(1, c.block(instead=[(":path", "/")]), flags=["END_HEADERS", "END_STREAM"]))
    case("8.5", "CONNECT", {("status", 405)} | stream(PROTOCOL, REFUSED, CONNECT), lambda c: h(c, method="CONNECT", leave_out=(":scheme", ":path"), end=False))
    return found


def floods(connect):
    """`(what, whether the edge was none the worse)`: what costs a client little must not cost a server much."""
    def ends(client, send, most):
        """Whether the edge ends it before so many were sent; it reads what comes meanwhile, as floods do not."""
        client.socket.settimeout(5)
        for number in range(most):
            send(number)
            if client.closed:
                return True
        return client.outcome()[0] in ("goaway", "closed")

    client = connect()
    client.send(HeadersFrame(1, client.block()))
    piece = client.encoder.encode([("x-flood", "y" * 1000)], huffman=False)
    yield "CONTINUATION without end is ended", ends(client, lambda _: client.send(ContinuationFrame(1, piece)), 5_000)

    client = connect()
    client.send(HeadersFrame(1, client.block()))
    yield "empty CONTINUATION without end is ended", ends(client, lambda _: client.send(*[ContinuationFrame(1, b"")] * 100), 1_000)

    client = connect()
    def reset(number):
        client.send(client.headers(stream=number * 2 + 1, path="/slow"), RstStreamFrame(number * 2 + 1, error_code=CANCEL))
    yield "requests that are taken back at once are ended", ends(client, reset, 5_000)

    client = connect()
    def made_to_reset(number):
        client.send(client.headers(stream=number * 2 + 1, path="/slow"), Raw(number * 2 + 1, 8, 0, bytes(4)))
    yield "requests that are broken at once are ended", ends(client, made_to_reset, 5_000)

    # Answers to these would pile up for who does not read them.
    for what, frame in (("PING", PingFrame(0, b"12345678")), ("SETTINGS", SettingsFrame(settings={4: 65_535}))):
        client = connect()
        client.socket.settimeout(2)
        try:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(2_000):
                client.socket.sendall(frame.serialize() * 500)
            stopped = False
        except OSError:
            stopped = True
        yield f"a million {what} that nobody listens to are stopped", stopped

    client = connect()
    client.send(client.headers(end=False, method="POST"))
    for _ in range(200):
        client.send(*[DataFrame(1, b"")] * 100)
    yield "empty DATA is passed over or ended", client.closed or client.pong() or client.closed

    # A table entry of 4 kB, named a thousand times in a few bytes.
    client = connect()
    block = client.block() + client.encoder.encode([("x-bomb", "z" * 3_900)], huffman=False)
    named = client.encoder.encode([("x-bomb", "z" * 3_900)], huffman=False)
    client.send(HeadersFrame(1, block + named * 1_000, flags=["END_HEADERS", "END_STREAM"]))
    yield "a header that unpacks to 4 MB is refused", client.outcome() != ("status", 200)

    client = connect()
    client.socket.settimeout(4)
    for number in range(300):
        client.send(client.headers(stream=number * 2 + 1, path="/slow"))
    refused = sum(isinstance(frame, RstStreamFrame) and frame.error_code == REFUSED for frame in client.frames())
    yield f"of 300 requests at once those above the limit are refused ({refused}), or the client is", refused >= 150 or client.closed


def by_the_window(client):
    """An answer comes byte for byte as the client's window allows, and ends up whole."""
    client.send(SettingsFrame(settings={4: 1}), client.headers(path="/large"))
    got = 0
    client.socket.settimeout(2)
    for frame in client.frames():
        if isinstance(frame, DataFrame):
            assert len(frame.data) <= 1 or got >= 20, "more than the window allows"
            got += len(frame.data)
            if got == 20:
                client.send(WindowUpdateFrame(1, window_increment=LARGE), WindowUpdateFrame(0, window_increment=LARGE))
            elif got < 20:
                client.send(WindowUpdateFrame(1, window_increment=1))
            if "END_STREAM" in frame.flags:
                break
    return got == LARGE


def to_the_site(client):
    """What HTTP/2 says in its own way reaches a site of HTTP/1.1 in its way (8.2.3, 8.3.1)."""
    Site.seen.clear()
    client.send(client.headers(("cookie", "a=1"), ("cookie", "b=2"), ("x-own", "1"), path="/cookies?x=%20"))
    outcome = client.outcome()
    method, path, headers, _ = Site.seen[-1]
    pairs = dict(headers)
    cookies = [value for name, value in headers if name == "cookie"]
    return (outcome, method, path, pairs["host"], cookies) == (("status", 200), "GET", "/cookies?x=%20", "localhost", ["a=1; b=2"])


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    server = Sites(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    passed, failed = 0, []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        certificate(folder)
        plain, tls = free_port(), free_port()
        (folder / "edge.yaml").write_text(
            f"server:\n  listen: ['127.0.0.1:{plain}']\n  admin: '127.0.0.1:{free_port()}'\n  h2c: true\n"
            f"  tls: {{listen: ['127.0.0.1:{tls}'], certificates: [{{cert: {folder}/cert.pem, key: {folder}/key.pem}}]}}\n"
            f"routes: [{{upstreams: ['http://127.0.0.1:{server.server_address[1]}']}}]\n"
            f"writers: {{local: {{directory: {folder}/data}}, spool: {{directory: {folder}/data/spool}}}}\n")
        with started([binary, "serve", "--config", folder / "edge.yaml"], f"http://127.0.0.1:{plain}/healthz", folder / "log") as process:
            def resident():
                text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                return int(text.split("VmRSS:")[1].split()[0]) // 1024

            for how, port in (("TLS", tls), ("h2c", plain)):
                def connect(preface=True):
                    return Client(("127.0.0.1", port), how == "TLS", preface)

                def check(what, right):
                    nonlocal passed
                    other = connect()
                    other.send(other.headers())
                    after = other.outcome()
                    if right and after == ("status", 200):
                        passed += 1
                    else:
                        failed.append(f"{how}: {what}" + ("" if after == ("status", 200) else f" (and then {after})"))
                        print(failed[-1], flush=True)

                for section, what, make, expected in cases():
                    client = connect(preface=make[0] != "no settings")
                    if make[0] == "no settings":
                        client.write(PREFACE)
                    if make[0] == "large header":
                        block = client.block(*[(f"x-{number}", "v" * 4000) for number in range(40)])
                        pieces = [block[at:at + 16_000] for at in range(0, len(block), 16_000)]
                        client.send(HeadersFrame(1, pieces[0], flags=["END_STREAM"]), *[ContinuationFrame(1, piece) for piece in pieces[1:]],
                                    ContinuationFrame(1, b"", flags=["END_HEADERS"]))
                    else:
                        client.send(*[one(client) for one in make if callable(one)])
                    got = client.outcome(5 if "goes back" in what else 1)
                    check(f"{section}, {what}: {got}", got in expected)
                check("an answer keeps to the window", by_the_window(connect()))
                check("requests are told to the site as HTTP/1.1 says them", to_the_site(connect()))
                before, began = resident(), time.time()
                for what, right in floods(connect):
                    check(what, right)
                    if os.environ.get("TIMES"):
                        print(f"{what}: {time.time() - began:.1f} s", flush=True)
                print(f"{how}: floods took {time.time() - began:.0f} s, {before} MB became {resident()} MB", flush=True)
                check("floods do not cost more than 100 MB", resident() - before < 100)
            h2spec = os.environ.get("H2SPEC") or shutil.which("h2spec")
            for port, extra in ((tls, ["-t", "-k"]), (plain, [])) if h2spec else ():
                done = subprocess.run([h2spec, "-h", "127.0.0.1", "-p", str(port), "-S", "-o", "5", *extra], capture_output=True, text=True)
                print("h2spec", *extra, done.stdout.strip().splitlines()[-1])
                # Without TLS and without HTTP/2's preface it is HTTP/1, which is answered as such.
                is_http1 = port == plain and " 1 failed" in done.stdout and "× 2: Sends invalid connection preface" in done.stdout
                if done.returncode and not is_http1:
                    failed.append("h2spec: " + done.stdout.split("Failures:")[-1])
            if not h2spec:
                print("skipped: h2spec (not installed; its cases beyond those above)")
        log = (folder / "log").read_text()
        assert "panicked" not in log, log[-3000:]
    print(*failed, sep="\n")
    print(f"HTTP/2 on the wire: {passed} passed, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
