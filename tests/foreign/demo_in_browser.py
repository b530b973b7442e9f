#!/usr/bin/env python3
"""The newcomer's first minute: start the demo, open it in Chromium, find its events in the lake with DuckDB.

    demo_in_browser.py path/to/real-streaming
"""

import contextlib
import glob
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import duckdb

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
]
SAFARI = ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
          "Safari/605.1.15")
PATIENCE = 60


def rows(data, after):
    """What the lake has, but for the events of visitors seen before."""
    files = glob.glob(f"{data}/events/**/*.parquet", recursive=True)
    if not files:
        return []
    found = duckdb.sql(
        f"""
        SELECT event_name AS name, device.category AS category, device.web_info.browser AS browser,
               device.web_info.browser_version AS version, device.operating_system_version AS system,
               device.mobile_model_name AS model, device.language AS language, user_pseudo_id AS visitor,
               rs_info.bot_evidence AS evidence, rs_info.event_id AS id, rs_info.notes AS notes,
               (SELECT p.value.string_value FROM UNNEST(event_params) AS t(p) WHERE p.key = 'page_title') AS title
        FROM read_parquet({files})""")
    all_rows = [dict(zip(found.columns, row)) for row in found.fetchall()]
    return [row for row in all_rows if row["visitor"] not in after]


@contextlib.contextmanager
def started(command, **options):
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_for(what, condition):
    deadline = time.time() + PATIENCE
    while not (value := condition()):
        assert time.time() < deadline, f"never came true: {what}"
        time.sleep(0.2)
    return value


def visit(folder, *flags, after=()):
    """Opens the shop, and keeps the page open until all that it reports has come: its view and its list of items."""
    profile = tempfile.mkdtemp(dir=folder)
    command = ["chromium", *FLAGS, *flags, f"--user-data-dir={profile}", "http://127.0.0.1:8080/"]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        def all_of_them():
            found = rows(f"{folder}/data", after)
            return found if {"page_view", "view_item_list"} <= {row["name"] for row in found} else None
        found = wait_for("the page's events are in the lake", all_of_them)
    print(*found, sep="\n")
    # A random UUID is the page's own, an ordered one was made at receipt.
    assert all(row["id"][14] == "4" for row in found), "the script gives each event its id"
    assert len({row["visitor"] for row in found}) == 1, "one visitor is one, however fast the page reports"
    views = [row for row in found if row["name"] == "page_view"]
    assert len(views) == 1 and not views[0]["notes"], found
    return views[0]


def answers():
    try:
        return urllib.request.urlopen("http://127.0.0.1:8080/", timeout=1).read().decode()
    except OSError:
        return None


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with started([binary, "demo"], cwd=folder, stdout=open(f"{folder}/log", "w"), stderr=subprocess.STDOUT) as demo:
            assert "/static/v6.js" in wait_for("the demo answers", answers), "the demo page carries the script"

            view = visit(folder, "--lang=de-CH", "--accept-lang=de-CH")
            assert view["category"] == "desktop" and view["browser"] == "Chrome" and view["title"], view
            assert view["visitor"].split(".")[0].isdigit(), view
            # The text says `x.0.0.0`, the hints have all four numbers.
            assert not view["version"].endswith(".0.0.0"), view
            assert view["language"] == "de-ch", view
            # A browser that listens to a debugger tells its pages so.
            assert view["evidence"] == ["ua_name", "webdriver"], view

            # Brands count beside Chromium's own text only.
            view = visit(folder, f"--user-agent={SAFARI}", after=[view["visitor"]])
            assert (view["browser"], view["version"], view["system"]) == ("Safari", "17.4", "Macintosh Intel 10.15"), view
            assert "webdriver" in view["evidence"], view
        print(pathlib.Path(f"{folder}/log").read_text()[-2000:])
        assert demo.returncode == 0, f"exit code {demo.returncode}"
    print("the demo's events are in the lake: 2 passed, 0 failed")


if __name__ == "__main__":
    main()
