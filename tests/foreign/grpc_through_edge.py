#!/usr/bin/env python3
"""gRPC by `grpcio`, server and client, through the edge: over TLS and over HTTP/2 without it, beside the same calls directly.

    grpc_through_edge.py path/to/real-streaming

Every call has to end in the same way: messages, initial and trailing metadata, code, details, and whether it was held back. What the
edge tells the site beside that is `TO_SITE`.
"""

import concurrent.futures
import contextlib
import hashlib
import pathlib
import sys
import tempfile
import threading
import time

import grpc

from loopback import free_port
from sites_in_browser import TO_SITE, certificate, started

# What a client's library sets by itself, or who stands between.
OWN = {"user-agent", "via", "forwarded", "traceparent"}
PATIENCE = 20
CANCELLED = threading.Event()


def digest(data):
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}".encode()


def told(context):
    return sorted((key, value) for key, value in context.invocation_metadata() if key not in TO_SITE | OWN)


def unary(request, context):
    context.send_initial_metadata((("x-first", "1"), ("x-bytes-bin", bytes(range(256)))))
    context.set_trailing_metadata((("x-last", "ä".encode("utf-8").hex()), ("x-last-bin", b"\0\xff")))
    return repr((digest(request), told(context))).encode()


def large(request, context):
    return b"\x5a" * int(request)


def down(request, context):
    for number in range(5):
        yield b"%d of %s" % (number, request)
        time.sleep(0.2)
    context.set_trailing_metadata((("x-count", "5"),))


def many(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def up(requests, context):
    count, whole = 0, hashlib.sha256()
    for request in requests:
        count += 1
        whole.update(request)
    return f"{count} {whole.hexdigest()}".encode()


def both(requests, context):
    for request in requests:
        yield request[::-1]


def fails(request, context):
    context.set_trailing_metadata((("x-why", "because"), ("x-why-bin", b"\1\2")))
    context.abort(grpc.StatusCode[request.decode()], "it is so: 100 % «wrong»\nin two lines")


def fails_late(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "after two")


def breaks(request, context):
    raise ValueError("a mistake of the site")


def slow(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    if ended.wait(10):
        CANCELLED.set()
    return b"late"


def remaining(request, context):
    left = context.time_remaining()
    # Rounded up on the wire, by a hundredth or so.
    return b"none" if left is None else b"some" if 3 < left <= 5.1 else repr(left).encode()


METHODS = {method.__name__: kind(method) for kind, method in (
    (grpc.unary_unary_rpc_method_handler, unary), (grpc.unary_unary_rpc_method_handler, large),
    (grpc.unary_stream_rpc_method_handler, down), (grpc.unary_stream_rpc_method_handler, many),
    (grpc.stream_unary_rpc_method_handler, up), (grpc.stream_stream_rpc_method_handler, both),
    (grpc.unary_unary_rpc_method_handler, fails), (grpc.unary_stream_rpc_method_handler, fails_late),
    (grpc.unary_unary_rpc_method_handler, breaks), (grpc.unary_unary_rpc_method_handler, slow),
    (grpc.unary_unary_rpc_method_handler, remaining))}

LIMITS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


@contextlib.contextmanager
def site():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=LIMITS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Site", METHODS),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def metadata(pairs):
    return sorted((key, value) for key, value in pairs or () if key not in OWN | {"date"})


def outcome(call, messages):
    """All that a client learns of a call. A library tells of an unknown code or a broken stream by words of its own: those of the site are compared."""
    try:
        messages = messages()
    except grpc.RpcError:
        messages = "failed"
    return messages, metadata(call.initial_metadata()), call.code().name, call.details(), metadata(call.trailing_metadata())


def visit(channel):
    """`{what: how it ended}`."""
    def one(name, request, **options):
        call = channel.unary_unary(f"/test.Site/{name}").future(request, timeout=options.pop("timeout", PATIENCE), **options)
        return outcome(call, call.result)

    def stream(name, request, **options):
        call, seen = channel.unary_stream(f"/test.Site/{name}")(request, timeout=PATIENCE, **options), []

        def messages():
            for message in call:
                seen.append((message, time.monotonic()))
        ended = outcome(call, messages)
        gaps = [later[1] - earlier[1] for earlier, later in zip(seen, seen[1:])]
        return [message for message, _ in seen], ended[1:], name != "down" or all(gap > 0.05 for gap in gaps)

    seen = {}
    pairs = (("x-own", "a, b"), ("x-own", "c"), ("x-own-bin", bytes(range(256))), ("authorization", "Bearer x"), ("te-other", "1"))
    seen["unary"] = one("unary", b"hello", metadata=pairs)
    seen["an empty message"] = one("unary", b"")
    seen["compressed"] = one("unary", b"x" * 100_000, compression=grpc.Compression.Gzip)
    for size in (16_383, 16_384, 65_535, 65_536, 20_000_000):
        seen[f"a message of {size} bytes up"] = one("unary", b"u" * size)
        call = channel.unary_unary("/test.Site/large").future(b"%d" % size, timeout=PATIENCE)
        seen[f"and down, {size}"] = outcome(call, lambda: digest(call.result()))
    seen["server streaming, one by one"] = stream("down", b"five")
    seen["5,000 messages"] = stream("many", b"5000")
    call = channel.stream_unary("/test.Site/up").future((b"%d" % number * 50 for number in range(3000)), timeout=PATIENCE)
    seen["client streaming"] = outcome(call, call.result)
    call = channel.stream_unary("/test.Site/up").future(iter(()), timeout=PATIENCE)
    seen["a stream of nothing"] = outcome(call, call.result)

    # Each message is sent only when the one before came back: what buffers a body, or waits for its end, stops here.
    turn, turns = threading.Semaphore(1), []

    def talk():
        for number in range(50):
            if not turn.acquire(timeout=5):
                return
            yield b"message %d" % number
    call = channel.stream_stream("/test.Site/both")(talk(), timeout=PATIENCE)

    def answers():
        for message in call:
            turns.append(message)
            turn.release()
        return turns
    seen["bidirectional, by turns"] = outcome(call, answers)

    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            seen[f"code {code.name}"] = one("fails", code.name.encode())
    seen["a failure after two messages"] = stream("fails_late", b"")
    seen["the site's exception"] = one("breaks", b"")
    seen["no such method"] = one("nothing", b"")
    seen["no such service"] = outcome(call := channel.unary_unary("/other.Site/x").future(b"", timeout=PATIENCE), call.result)
    seen["no deadline"] = outcome(call := channel.unary_unary("/test.Site/remaining").future(b""), call.result)
    seen["a deadline is told"] = one("remaining", b"", timeout=5)

    CANCELLED.clear()
    began = time.monotonic()
    ended = one("slow", b"", timeout=0.5)
    seen["a deadline that passes"] = ended[2], time.monotonic() - began < 3, CANCELLED.wait(3)
    CANCELLED.clear()
    call = channel.unary_unary("/test.Site/slow").future(b"", timeout=PATIENCE)
    time.sleep(0.3)
    call.cancel()
    seen["cancelled by the client"] = call.code().name, CANCELLED.wait(3)

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        seen["200 calls at once"] = list(pool.map(lambda number: one("unary", b"%d" % number)[0], range(200)))
    return seen


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, site() as port:
        folder = pathlib.Path(name)
        certificate(folder)
        plain, tls, admin = free_port(), free_port(), free_port()
        conf = folder / "edge.yaml"
        conf.write_text(
            f"server:\n  listen: ['127.0.0.1:{plain}']\n  admin: '127.0.0.1:{admin}'\n  h2c: true\n"
            f"  tls: {{listen: ['127.0.0.1:{tls}'], certificates: [{{cert: {folder}/cert.pem, key: {folder}/key.pem}}]}}\n"
            f"routes: [{{upstreams: [{{url: 'http://127.0.0.1:{port}', protocol: h2}}]}}]\n"
            f"writers: {{local: {{directory: {folder}/data}}, spool: {{directory: {folder}/data/spool}}}}\n")
        trusted = grpc.ssl_channel_credentials((folder / "cert.pem").read_bytes())
        with started([binary, "serve", "--config", conf], f"http://127.0.0.1:{plain}/healthz", folder / "edge.log"):
            seen = {}
            for how, channel in (
                    ("directly", grpc.insecure_channel(f"127.0.0.1:{port}", LIMITS)),
                    ("over TLS", grpc.secure_channel(f"localhost:{tls}", trusted, LIMITS)),
                    ("without TLS", grpc.insecure_channel(f"127.0.0.1:{plain}", LIMITS))):
                began = time.monotonic()
                with channel:
                    seen[how] = visit(channel)
                print(f"{len(seen[how])} calls {how} in {time.monotonic() - began:.0f} s", flush=True)
    direct = seen.pop("directly")
    # A deadline and a cancelled call reach the site: without the edge, so the comparison is no empty one.
    assert direct["a deadline that passes"] == ("DEADLINE_EXCEEDED", True, True) and direct["cancelled by the client"] == ("CANCELLED", True)
    assert direct["unary"][2] == "OK" and direct["server streaming, one by one"][2] and direct["code ABORTED"][2] == "ABORTED"
    wrong = 0
    for how, outcomes in seen.items():
        for what in direct:
            if outcomes[what] != direct[what]:
                wrong += 1
                print(f"{how}, {what}:\n  {str(direct[what])[:600]}\n  became {str(outcomes[what])[:600]}")
    print(f"gRPC through the edge: {2 * len(direct) - wrong} passed, {wrong} failed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
