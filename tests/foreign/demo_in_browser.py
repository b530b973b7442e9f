#!/usr/bin/env python3
"""The newcomer's first minute: start the demo, open it in Chromium, find the page view in the lake with DuckDB.

    demo_in_browser.py path/to/real-streaming
"""

import glob
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import duckdb


def rows(data):
    files = glob.glob(f"{data}/events/**/*.parquet", recursive=True)
    if not files:
        return []
    return duckdb.sql(
        f"""
        SELECT event_name, device.category, device.web_info.browser, user_pseudo_id,
               (SELECT p.value.string_value FROM UNNEST(event_params) AS t(p) WHERE p.key = 'page_title')
        FROM read_parquet({files})"""
    ).fetchall()


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        demo = subprocess.Popen([binary, "demo"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for _ in range(100):
                try:
                    urllib.request.urlopen("http://127.0.0.1:8080/healthz", timeout=1)
                    break
                except OSError:
                    time.sleep(0.1)
            page = urllib.request.urlopen("http://127.0.0.1:8080/").read().decode()
            assert "/static/v6.js" in page, "the demo page carries the script"
            subprocess.run(
                ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 f"--user-data-dir={folder}/profile", "--timeout=5000", "--dump-dom", "http://127.0.0.1:8080/"],
                check=True, capture_output=True, timeout=60)
            deadline = time.time() + 12
            while not (found := rows(f"{folder}/data")) and time.time() < deadline:
                time.sleep(0.2)
            print(found)
            views = [row for row in found if row[0] == "page_view"]
            assert len(views) == 1, found
            _, category, browser, visitor, title = views[0]
            assert category == "desktop" and browser == "Chrome" and title, found
            assert visitor and visitor.split(".")[0].isdigit(), found
            assert {row[3] for row in found} == {visitor}, "one visitor is one, however fast the page reports"
        finally:
            demo.terminate()
            output, _ = demo.communicate(timeout=20)
            print(output[-2000:])
        assert demo.returncode == 0, f"exit code {demo.returncode}"
    print("the demo's page view is in the lake: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
