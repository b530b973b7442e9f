#!/usr/bin/env python3
"""Two sites that others wrote, in Chromium: asked directly, then through the edge, over HTTP/1.1 and over TLS with HTTP/2.

    sites_in_browser.py path/to/real-streaming NEXT    NEXT is a folder with `sites/next`, installed and built

What comes out has to be the same each time: statuses, headers, bodies, cookies, redirects, events, messages. The differences
that the edge is meant to make are the lists `FROM_EDGE` and `TO_SITE`.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import av
from playwright.sync_api import sync_playwright

from loopback import free_port

HERE = pathlib.Path(__file__).resolve().parent
UPLOAD = 50_000_000
PATIENCE = 30_000

# Belongs to one connection, or is the time.
HOP = {"connection", "keep-alive", "transfer-encoding", "date"}
# What the edge adds to answers: nothing.
FROM_EDGE = set()
# What the edge tells the site.
TO_SITE = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"}


@contextlib.contextmanager
def started(command, url, log, **options):
    """A server that answers at `url`."""
    with open(log, "w") as out:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=subprocess.STDOUT, **options)
        try:
            for _ in range(300):
                assert process.poll() is None, pathlib.Path(log).read_text()[-3000:]
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(url, timeout=2).read()
                    break
                time.sleep(0.1)
            else:
                raise AssertionError(f"nothing at {url}: {pathlib.Path(log).read_text()[-3000:]}")
            yield process
        finally:
            process.terminate()
            process.wait(timeout=20)


def film(path):
    """A minute of flicker: large enough that a browser does not take all of it before it jumps."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        stream.options = {"deadline": "realtime", "cpu-used": "16", "crf": "4", "b": "4M", "g": "10"}
        noise = hashlib.shake_128(b"film")
        for number in range(600):
            noise.update(bytes([number % 251]))
            frame = av.VideoFrame(128, 128, "yuv420p")
            frame.planes[0].update(noise.digest(128 * 128))
            frame.planes[1].update(bytes([number % 256]) * (64 * 64))
            frame.planes[2].update(bytes([128]) * (64 * 64))
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)


@contextlib.contextmanager
def edge(binary, folder, site):
    """The edge in front of a site: its address without TLS, and that with it."""
    plain, tls, admin = free_port(), free_port(), free_port()
    conf = folder / "edge.yaml"
    conf.write_text(
        f"server:\n  listen: ['127.0.0.1:{plain}']\n  admin: '127.0.0.1:{admin}'\n"
        f"  tls: {{listen: ['127.0.0.1:{tls}'], certificates: [{{cert: {folder}/cert.pem, key: {folder}/key.pem}}]}}\n"
        f"routes: [{{upstreams: ['{site}']}}]\n"
        f"writers: {{local: {{directory: {folder}/data}}, spool: {{directory: {folder}/data/spool}}}}\n")
    with started([binary, "serve", "--config", conf], f"http://127.0.0.1:{plain}/healthz", folder / "edge.log"):
        yield f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"


def rows(component):
    """What React sends of a page: rows that come, and are numbered, as they are ready. Next.js names the title and the view port of
    each answer after a number that it draws: two visits without an edge differ in it, too."""
    component = re.sub(rb'"[\w-]{21}([mv])"', rb'"DRAWN-\1"', component)
    return b"\n".join(sorted(re.sub(rb"\$([A-Z@]?)[0-9a-f]+\b", rb"$\1N", re.sub(rb"^[0-9a-f]+:", b"", row)) for row in component.splitlines()))


class Record:
    """What one visit saw, with all that differs between any two visits taken out."""

    def __init__(self, base):
        self.base, self.steps, self.protocols = base, {}, set()

    def masked(self, text):
        text = text.replace(self.base, "SITE").replace(self.base.split("//")[1], "HOST")
        text = re.sub(r"(csrfmiddlewaretoken\W+value=\W)\w{64}", r"\1TOKEN", text)
        return re.sub(r"((?:csrftoken|sessionid|messages)=)[^;\s]{32,}", r"\1TOKEN", text)

    def headers(self, pairs):
        kept = []
        for name, value in pairs:
            name = name.lower()
            if name in HOP or name in FROM_EDGE:
                continue
            if name in ("expires", "last-modified"):
                value = "THEN"
            value = re.sub(r"expires=[^;]+", "expires=THEN", self.masked(value), flags=re.I)
            # Whether a cookie is for TLS alone is the site's to say, and follows the scheme.
            kept.append((name, value))
        return sorted(kept)

    def response(self, response, data):
        body = None
        if data is not None:
            if "text/" in response.headers.get("content-type", "") or "json" in response.headers.get("content-type", ""):
                data = self.masked(data.decode()).encode()
            if "x-component" in response.headers.get("content-type", ""):
                data = rows(data)
            body = hashlib.sha256(data).hexdigest()
        pairs = [(pair["name"], pair["value"]) for pair in response.headers_array()]
        if response.status == 204:
            # Daphne says how long nothing is, which RFC 9110, 8.6 forbids: the edge leaves it out.
            pairs = [(name, value) for name, value in pairs if name.lower() != "content-length"]
        return {"status": response.status, "headers": self.headers(pairs), "body": body}

    def note(self, step, value):
        assert step not in self.steps, step
        self.steps[step] = json.loads(self.masked(json.dumps(value)))


class Visit:
    """A browser of its own: no cookie, nothing cached."""

    def __init__(self, browser, base):
        self.record = Record(base)
        self.context = browser.new_context(base_url=base, ignore_https_errors=True, locale="de-CH")
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.seen, self.asked, self.open, self.bodies = [], 0, set(), {}
        self.page.on("request", self.begun)
        self.page.on("requestfinished", self.finished)
        self.page.on("requestfailed", lambda request: self.open.discard(request))
        self.page.on("response", lambda response: self.seen.append(response))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text.split(" (")[0]))
        self.errors = []

    def begun(self, request):
        self.asked += 1
        self.open.add(request)

    def finished(self, request):
        """Reads what came at once: a browser forgets it with the page."""
        with contextlib.suppress(Exception):
            response = request.response()
            if response.status not in (204, 205) and not 300 <= response.status < 400 and response.status != 206:
                self.bodies[response] = response.body()
        self.open.discard(request)

    def settle(self):
        """Waits until nothing is being loaded, and nothing new is for a third of a second."""
        self.page.wait_for_load_state("networkidle")
        deadline, quiet, asked = time.monotonic() + 10, time.monotonic(), self.asked
        while time.monotonic() < min(deadline, quiet + 0.3):
            self.page.wait_for_timeout(50)
            if self.open or self.asked != asked:
                quiet, asked = time.monotonic(), self.asked

    def step(self, name, *values):
        """Notes all that was loaded since the last step, and what is told."""
        self.settle()
        loaded = {}
        for response in self.seen:
            key = f"{response.request.method} {self.record.masked(response.url)}"
            # Loaded again or not, as the cache of a browser likes, which keeps nothing from who shows a certificate of his own.
            if "/_next/static/" in key:
                continue
            loaded.setdefault(key, []).append(self.record.response(response, self.bodies.get(response)))
        self.seen.clear()
        self.bodies.clear()
        self.record.note(name, {"loaded": loaded, "values": list(values), "url": self.page.url, "title": self.page.title()})

    def cookies(self, name):
        now = time.time()
        self.record.note(name, sorted(
            [cookie["name"], cookie["path"], cookie["domain"], cookie["httpOnly"], cookie["sameSite"], cookie["secure"],
             "session" if cookie["expires"] < 0 else round((cookie["expires"] - now) / 60), len(cookie["value"])]
            for cookie in self.context.cookies()))

    def end(self):
        self.record.note("errors in the console", sorted(self.errors))
        self.context.close()
        return self.record


# Run in the page. Each tells what it saw.
EVENTS = """path => new Promise(done => {
  const source = new EventSource(path), seen = [], times = [];
  source.onmessage = event => { seen.push([event.lastEventId, event.data]); times.push(performance.now()); };
  source.addEventListener('done', event => {
    source.close();
    // The site takes a second from the first to the last; what gathers them hands them out at once.
    done({seen, last: event.data, one_by_one: times.at(-1) - times[0] > 500});
  });
  source.onerror = () => { source.close(); done({seen, error: true}); };
})"""

PARTS = """
  const seen = window.partsSeen = {};
  new MutationObserver(() => {
    for (const id of ['waiting', 'late']) if (document.getElementById(id)) seen[id] ??= performance.now();
  }).observe(document, {childList: true, subtree: true});
"""

SOCKET = """size => new Promise(done => {
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/socket?q=%20', ['chat', 'other']);
  socket.binaryType = 'arraybuffer';
  const seen = [];
  const large = 'ü'.repeat(500000), bytes = new Uint8Array(size).map((_, index) => index * 31);
  socket.onopen = () => {
    seen.push(['open', socket.protocol]);
    for (const message of ['hello', '', large, bytes, new ArrayBuffer(0), 'last']) socket.send(message);
  };
  socket.onmessage = ({data}) => {
    seen.push(typeof data === 'string'
      ? ['text', data.length, data === large || data.slice(0, 9)]
      : ['bytes', data.byteLength, new Uint8Array(data).every((byte, index) => byte === bytes[index])]);
    // Not before all is back: Daphne gives a browser a second to answer its close, then resets the connection, and what was on its way is lost.
    if (data === 'last') socket.send('close');
  };
  socket.onclose = ({code, reason, wasClean}) => done({seen: [...seen, ['close', code, reason]], clean: wasClean});
})"""

RANGES = """async path => {
  const hex = async buffer => [...new Uint8Array(await crypto.subtle.digest('SHA-256', buffer))].join();
  const seen = [];
  const etag = (await fetch(path, {method: 'HEAD', cache: 'no-store'})).headers;
  const tests = ['bytes=0-0', 'bytes=1000-1999', 'bytes=5000000-', 'bytes=-700', 'bytes=999999999-', 'bytes=0-10,20-30', 'lines=1-2'];
  const ask = async headers => {
    const response = await fetch(path, {headers, cache: 'no-store'});
    const body = await response.arrayBuffer();
    seen.push([JSON.stringify(headers), response.status, response.headers.get('content-range'), response.headers.get('content-type'),
               response.headers.get('accept-ranges'), body.byteLength, globalThis.crypto.subtle ? await hex(body) : null]);
  };
  for (const range of tests) await ask({Range: range});
  for (const name of ['etag', 'last-modified']) {
    const tag = etag.get(name);
    if (!tag) continue;
    await ask({Range: 'bytes=7-9', 'If-Range': tag});
    await ask({[name === 'etag' ? 'If-None-Match' : 'If-Modified-Since']: tag});
  }
  await ask({Range: 'bytes=7-9', 'If-Range': '"another"'});
  return seen;
}"""

FILM = """path => new Promise(done => {
  const video = document.body.appendChild(document.createElement('video'));
  video.muted = true; video.preload = 'metadata'; video.src = path;
  const seen = [];
  const jumps = [50, 3, 58.55];
  // A jump is over before its picture is painted.
  let painted;
  const jump = () => { painted = new Promise(resolve => { video.requestVideoFrameCallback(resolve); setTimeout(resolve, 2000); }); video.currentTime = jumps[0]; };
  const shot = () => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 128;
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    return context.getImageData(0, 0, 128, 128).data.reduce((sum, byte) => (sum * 31 + byte) % 4294967291, 7);
  };
  video.onerror = () => done([...seen, 'error', video.error.code]);
  video.onloadeddata = () => { seen.push([video.duration, video.videoWidth, video.videoHeight]); jump(); };
  video.onseeked = async () => {
    await painted;
    seen.push([video.currentTime, shot()]);
    jumps.shift();
    if (jumps.length) jump();
    else { video.removeAttribute('src'); video.load(); video.remove(); done(seen); }
  };
})"""

MIRROR = """async path => {
  const seen = [];
  const targets = ['', '?q=a%2Fb&q=%C3%A4&empty=&x', '?' + 'long=' + 'x'.repeat(7000)];
  for (const target of targets) seen.push(await (await fetch(path + target, {headers: {'X-Own': 'a, b'}})).json());
  for (const method of ['POST', 'PUT', 'DELETE'])
    seen.push(await (await fetch(path, {method, body: method + 'x'.repeat(70000), headers: {'Content-Type': 'application/x-own'}})).json());
  return seen;
}"""

UPLOAD_BY_SCRIPT = """async ([path, size]) => {
  const bytes = new Uint8Array(size).map((_, index) => index * 31 + (index >> 8));
  const response = await fetch(path, {method: 'POST', body: bytes, headers: {'Content-Type': 'application/octet-stream'}});
  return [response.status, await response.json()];
}"""


def mirrored(seen):
    """What the site saw of requests, without what the edge tells it."""
    for request in seen:
        request["headers"] = {
            name.lower(): value for name, value in request["headers"].items()
            # Browsers tell priorities over HTTP/2 alone.
            if name.lower() not in TO_SITE and name.lower() not in HOP and name.lower() != "priority"}
    return seen


def ranges_seen(visit):
    """What a browser asks for while it jumps depends on how fast it gets it; that it gets parts does not."""
    visit.settle()
    statuses = sorted({response.status for response in visit.seen})
    visit.seen.clear()
    return statuses


def django(visit, folder):
    page = visit.page
    page.goto("/")
    visit.step("home")
    visit.cookies("cookies of a visitor")
    page.click("#next")
    visit.step("a link")
    page.go_back()
    visit.step("back")
    page.go_forward()
    visit.step("forward")

    page.goto("/admin/")
    visit.step("the door of the admin")
    page.fill("#id_username", "alice")
    page.fill("#id_password", "wrong")
    page.click("#content [type=submit]")
    visit.step("a wrong password", page.inner_text(".errornote"))
    page.fill("#id_username", "alice")
    page.fill("#id_password", "correct horse")
    page.click("#content [type=submit]")
    visit.step("logged in", page.inner_text("#user-tools"))
    visit.cookies("cookies of who is logged in")
    page.goto("/admin/auth/group/add/")
    page.fill("#id_name", "readers")
    page.click("[name=_save]")
    visit.step("a form saved", page.inner_text(".messagelist"))
    page.click("#result_list tbody th a")
    page.click(".deletelink")
    page.click("#content [type=submit]")
    visit.step("and deleted", page.inner_text(".messagelist"))
    page.click("#logout-form button")
    visit.step("logged out")
    visit.cookies("cookies of who has left")

    page.goto("/")
    page.fill("[name=note]", "grüße")
    page.set_input_files("[name=file]", folder / "upload.bin")
    page.click("button")
    page.wait_for_url("**/page?q=*")
    visit.step("50 MB by a form", page.inner_text("#text"))
    page.evaluate("() => { document.cookie = 'by-script=1; path=/; max-age=60' }")
    rest(visit, "/events", "/echo", "/video.webm", 1_000_000)  # Daphne resets the connection over a larger message.
    statuses = page.evaluate("""async () => {
      const seen = [];
      for (const code of [200, 201, 202, 204, 206, 400, 401, 403, 404, 405, 409, 410, 418, 422, 429, 451, 500, 501, 502, 503, 504, 599]) {
        const response = await fetch('/status/' + code);
        seen.push([code, response.status, response.headers.get('x-site'), await response.text()]);
      }
      return seen;
    }""")
    visit.step("the site's own statuses", statuses)


def next_js(visit, _folder):
    page = visit.page
    page.goto("/")
    visit.step("home")
    page.click("#slow")
    page.wait_for_selector("#late")
    visit.step("a page that comes in parts", page.inner_text("main"))
    page.go_back()
    page.wait_for_selector("#private")
    visit.step("back")
    page.go_forward()
    page.wait_for_selector("#late")
    visit.step("forward")
    page.add_init_script(PARTS)
    page.goto("/slow", wait_until="commit")
    page.wait_for_selector("#late")
    waited = page.evaluate("() => partsSeen.late - partsSeen.waiting > 300")
    visit.step("its frame is there before the rest", waited)

    page.goto("/private")
    visit.step("sent to the door")
    page.fill("[name=name]", "älice")
    page.fill("[name=password]", "wrong")
    page.click("button")
    page.wait_for_url("**/login?wrong=1")
    visit.step("a wrong password")
    page.fill("[name=name]", "älice")
    page.fill("[name=password]", "correct horse")
    page.click("button")
    page.wait_for_selector("#who")
    page.wait_for_function("document.title !== ''")
    visit.step("logged in by a server action", page.inner_text("#who"))
    visit.cookies("cookies of who is logged in")
    page.reload()
    visit.step("and stays so", page.inner_text("#who"))
    visit.step("50 MB by script", page.evaluate(UPLOAD_BY_SCRIPT, ["/api/upload", UPLOAD]))
    rest(visit, "/api/events", "/api/echo", "/video.webm", 3_000_000)
    page.goto("/nowhere")
    visit.step("a page that is not there", page.inner_text("body"))


def rest(visit, events, echo, video, message):
    page = visit.page
    visit.step("server-sent events", page.evaluate(EVENTS, events))
    visit.step("a web socket", page.evaluate(SOCKET, message))
    told = mirrored(page.evaluate(MIRROR, echo))
    visit.seen.clear()
    visit.step("what the site sees", told)
    asked = page.evaluate(RANGES, video)
    visit.seen.clear()
    visit.step("ranges", asked)
    frames = page.evaluate(FILM, video)
    visit.record.note("jumps in a film", [frames, ranges_seen(visit)])


def differences(one, other, path=""):
    if type(one) is not type(other) and not path.endswith("/body"):
        yield f"{path}: {one!r} became {other!r}"
    elif isinstance(one, dict):
        for key in sorted({*one, *other}):
            if key not in one or key not in other:
                yield f"{path}/{key}: only {'directly' if key in one else 'through the edge'}: {one.get(key, other.get(key))!r}"
            else:
                yield from differences(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other)):
            yield from differences(*pair, f"{path}/{index}")
    # A body that the browser has thrown away already says nothing; `visits` sees to it that these are few.
    elif path.endswith("/body") and None in (one, other):
        pass
    # After the closing handshake Daphne resets the connection, which Chromium calls unclean. Behind the edge it ends in order: it
    # may become cleaner, never less so.
    elif path.endswith("/clean") and other is True:
        pass
    elif one != other:
        yield f"{path}: {one!r} became {other!r}"


def bodies(steps):
    """The digests of all that was loaded."""
    return [response["body"] for step in steps.values() if isinstance(step, dict) and "loaded" in step
            for loaded in step["loaded"].values() for response in loaded if not 300 <= response["status"] < 400]


def scheme_apart(steps):
    """The same over TLS: what a browser or a site says only there, or only without, is left out."""
    text = json.dumps(steps).replace("https", "http").replace("wss", "ws")
    return json.loads(text)


def visits(chromium, binary, folder, name, script, command, **options):
    """One visit directly, one through the edge, one through the edge over TLS, each of a site that has seen nobody. What differs."""
    records = {}
    port = free_port()
    site = f"http://127.0.0.1:{port}"
    for how in ("directly", "through the edge", "through the edge over TLS"):
        with started([*command(port)], site, folder / f"{name}.log", **options), edge(binary, folder, site) as (plain, tls):
            visit = Visit(chromium, {"directly": site, "through the edge": plain}.get(how, tls))
            began = time.time()
            try:
                script(visit, folder)
            except Exception:
                print(f"{name}, {how}: at {visit.page.url}", (folder / "edge.log").read_text()[-2000:], *visit.errors, sep="\n")
                raise
            records[how] = visit.end().steps
            known = bodies(records[how])
            assert known.count(None) * 2 < len(known), f"{name}, {how}: {known.count(None)} of {len(known)} bodies are unknown"
            print(f"{name}, {how}: {len(records[how])} steps, {len(known)} bodies ({known.count(None)} unknown) in {time.time() - began:.0f} s", flush=True)
    if keep := os.environ.get("KEEP_RECORDS"):
        (pathlib.Path(keep) / f"{name}.json").write_text(json.dumps(records, indent=1))
    wrong = [f"{name}: {line}" for line in differences(records["directly"], records["through the edge"])]
    return wrong + [f"{name}, TLS: {line}" for line in differences(
        scheme_apart(records["through the edge"]), scheme_apart(records["through the edge over TLS"]))]


def main():
    binary, built = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, sync_playwright() as playwright:
        folder = pathlib.Path(name)
        certificate(folder)
        (folder / "root").mkdir()
        film(folder / "root/video.webm")
        (folder / "upload.bin").write_bytes(hashlib.shake_128(b"upload").digest(1_000_000) * (UPLOAD // 1_000_000))
        (built / "public").mkdir(exist_ok=True)
        (built / "public/video.webm").write_bytes((folder / "root/video.webm").read_bytes())
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        wrong = visits(chromium, binary, folder, "django", django, lambda port: [sys.executable, HERE / "sites/django_site.py", port, folder])
        wrong += visits(chromium, binary, folder, "next.js", next_js, lambda port: ["node", "server.mjs", port], cwd=built,
                        env={**os.environ, "NODE_ENV": "production", "NEXT_TELEMETRY_DISABLED": "1"})
        chromium.close()
    print(*wrong, sep="\n")
    print(f"two sites in a browser, each the same through the edge: {2 if not wrong else 0} passed, {len(wrong)} failed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
