#!/usr/bin/env python3
"""The Autobahn test suite's cases (run by `kosoku`) for web sockets that pass through the edge, in both directions.

    websocket_conformance.py path/to/real-streaming [--all | --cases 12.3.18,13.1.*]

The suite plays the client in front of a server of `websockets`, then the server behind a client of it; each time directly and
through the edge. A case has to end in the same way both times, verdict and close code; what a library gets wrong directly it
may get wrong through the edge. `--all` adds the slow cases: every size in every fragmentation, and every setting of compression.
`--cases` runs these alone. The suite bounds how long a case may take; the longest is told, directly and through the edge.
"""

import argparse
import asyncio
import collections
import contextlib
import logging
import pathlib
import sys
import tempfile
import time

import kosoku
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from loopback import free_port
from sites_in_browser import certificate, edge

# Large messages, small fragments of them, and all of compression but its first cases: minutes of processor time, most of it Python's.
SLOW = ["9.*", "12.2.*", "12.3.*", "12.4.*", "12.5.*", "13.2.*", "13.3.*", "13.4.*", "13.5.*", "13.6.*", "13.7.*"]
SLOW += [f"{family}.{case}" for family in ("12.1", "13.1") for case in range(3, 19)]


async def echo(socket):
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


async def as_client(url, chosen, at_once=4):
    """The suite's client against what is at `url`."""
    try:
        return await kosoku.run_fuzzingclient(url, **chosen, concurrency=at_once)
    except kosoku.FailureError as error:
        return error.results


async def as_server(port, url, chosen):
    """The suite's server on `port`, a client that comes by `url`."""
    async with kosoku.run_fuzzingserver(**chosen, port=port) as server:
        async def answer(path):
            with contextlib.suppress(ConnectionClosed):
                async with connect(f"{url}{path}", max_size=None) as socket:
                    return await socket.recv() if path == "/getCaseCount" else await echo(socket)

        for case in range(1, int(await answer("/getCaseCount")) + 1):
            await answer(f"/runCase?case={case}&agent=websockets")
        await answer("/updateReports?agent=websockets")
        try:
            return await asyncio.wait_for(server.get_result(), 30)
        except kosoku.FailureError as error:
            return error.results


def out_of_time(result):
    """Whether the suite's patience was over, which says nothing of who was slow."""
    return result.result.startswith("Case did not finish within")


async def again(ask, direct, through):
    """The results with cases asked again, one by one, that ran out of time through the edge alone."""
    slow = [late.case_id for soon, late in zip(direct, through) if out_of_time(late) and not out_of_time(soon)]
    if not slow:
        return direct, through
    print(f"  once more, by themselves: {slow}", flush=True)
    repeated = [{result.case_id: result for result in await ask(which, {"cases": slow})} for which in (0, 1)]
    return [[new.get(result.case_id, result) for result in results] for new, results in zip(repeated, (direct, through))]


def compared(what, direct, through):
    """Prints the verdicts and what differs between them; the numbers of cases that do not, and that do. Whoever runs out of time
    directly is not counted."""
    def verdicts(results):
        # NON_STRICT is as right as OK: which of two a case is called may depend on what comes in one read.
        return {result.case_id: (str(result.behavior).replace("NON_STRICT", "OK"), str(result.behavior_close), result.remote_close_code)
                for result in results}

    told = {result.case_id: (result.duration, slower.duration, slower.result) for result, slower in zip(direct, through)}
    undecided = {result.case_id for result in direct if out_of_time(result)}
    direct, through = verdicts(direct), verdicts(through)
    assert direct and direct.keys() == through.keys(), (len(direct), len(through))
    print(f"{what}:", dict(collections.Counter(behavior for behavior, _, _ in through.values())))
    wrong = [case for case in direct if direct[case] != through[case] and case not in undecided]
    for case in wrong:
        print(f"  {case}: {direct[case]} became {through[case]}; ms directly, through the edge, what the suite says: {told[case]}")
    if undecided:
        print(f"  out of the suite's time directly, and so not decided: {sorted(undecided)}")
    case = max(told, key=lambda case: max(told[case][:2]))
    print(f"  the longest case: {case}, {told[case][0]} ms directly, {told[case][1]} ms through the edge")
    return len(direct) - len(wrong) - len(undecided), len(wrong)


async def run(binary, chosen):
    totals = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        certificate(folder)
        port = free_port()
        async with serve(echo, "127.0.0.1", port, max_size=None):
            # The edge is waited for without asyncio, so in a thread: the server has to answer meanwhile.
            with contextlib.ExitStack() as stack:
                plain, _ = await asyncio.to_thread(stack.enter_context, edge(binary, folder, f"http://127.0.0.1:{port}"))
                results, urls = [], [url.replace("http", "ws") for url in (f"http://127.0.0.1:{port}", plain)]
                for url in urls:
                    began = time.time()
                    results.append(await as_client(url, chosen))
                    print(f"{len(results[-1])} cases at {url} in {time.time() - began:.0f} s", flush=True)
                results = await again(lambda which, chosen: as_client(urls[which], chosen, 1), *results)
                totals.append(compared("client, edge, server under test", *results))
        port = free_port()
        with edge(binary, folder, f"http://127.0.0.1:{port}") as (plain, _):
            results, urls = [], [url.replace("http", "ws") for url in (f"http://127.0.0.1:{port}", plain)]
            for url in urls:
                began = time.time()
                results.append(await as_server(port, url, chosen))
                print(f"{len(results[-1])} cases for {url} in {time.time() - began:.0f} s", flush=True)
            results = await again(lambda which, chosen: as_server(port, urls[which], chosen), *results)
            totals.append(compared("client under test, edge, server", *results))
    right, wrong = map(sum, zip(*totals))
    print(f"web sockets through the edge: {right} passed, {wrong} failed")
    return wrong or not right


if __name__ == "__main__":
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # that cases break connections is their purpose
    options = argparse.ArgumentParser()
    options.add_argument("binary", type=pathlib.Path)
    options.add_argument("--all", action="store_true")
    options.add_argument("--cases", type=lambda names: names.split(","))
    options = options.parse_args()
    selection = {"cases": options.cases} if options.cases else {} if options.all else {"exclude_cases": SLOW}
    sys.exit(bool(asyncio.run(run(options.binary.resolve(), selection))))
