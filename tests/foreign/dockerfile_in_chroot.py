"""Runs the steps of the Dockerfile in chroots that debootstrap made, then the container's own command as its own user, in a
network of its own, under the variables of conf/cloud-run.yaml, until SIGTERM.

usage: dockerfile_in_chroot.py [<real-streaming>]

The steps are read from the Dockerfile, so they cannot differ from it. The image of the stage that compiles is made of what
it is in Docker's library: Debian's with a C compiler and a Rust toolchain, which is this machine's, and the crates that
this machine has fetched. With an argument that stage, which takes minutes, is left out, and the binary taken from there in
the place of what it makes. Exits 0 when all is well; 1 when not; 3 when it cannot be tried: it needs Linux, root and
debootstrap.
"""

import ctypes
import fcntl
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

if os.geteuid() != 0 or not shutil.which("debootstrap"):
    print("missing: root or debootstrap")
    sys.exit(3)

binary = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
root = pathlib.Path(__file__).resolve().parents[2]
base = pathlib.Path(os.environ.get("REAL_STREAMING_CHROOTS", pathlib.Path.home() / ".cache" / "real-streaming-chroots"))


def instructions():
    """Stages as lists of (instruction, text), and their images."""
    text = (root / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    stages = []
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, rest = line.split(None, 1)
            if word == "FROM":
                stages.append((rest.split()[0], []))
            else:
                stages[-1][1].append((word, rest.strip()))
    return stages


def debian(image):
    """A folder like the image `debian:<suite>-slim`: kept, and linked into a new one for each run."""
    suite = re.fullmatch(r"debian:(\w+)-slim", image).group(1)
    archive = base / f"{suite}.tar"
    if not archive.exists():
        base.mkdir(parents=True, exist_ok=True)
        fresh = tempfile.mkdtemp(dir=base)
        subprocess.run(["debootstrap", "--variant=minbase", suite, fresh], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["tar", "-C", fresh, "-cf", f"{archive}.new", "."], check=True)
        os.rename(f"{archive}.new", archive)
        shutil.rmtree(fresh)
    folder = pathlib.Path(tempfile.mkdtemp(dir=base))
    subprocess.run(["tar", "-C", folder, "-xf", archive], check=True)
    folder.chmod(0o755)
    return folder


class Container:
    def __init__(self, image):
        self.folder = debian(image)
        self.user, self.directory, self.environment = "root", "/", {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.command = {}
        shutil.copy("/etc/resolv.conf", self.folder / "etc" / "resolv.conf")

    def start(self, arguments, **options):
        line = shlex.join(["cd", self.directory]) + " && exec " + shlex.join(arguments)
        chroot = ["chroot", f"--userspec={self.user}", str(self.folder), "/bin/sh", "-c", line]
        # In a namespace of mounts that ends with it: nothing has to be unmounted, whatever goes wrong.
        line = shlex.join(["mount", "-t", "proc", "proc", str(self.folder / "proc")]) + " && exec " + shlex.join(chroot)
        return subprocess.Popen(["unshare", "--mount", "/bin/sh", "-c", line], env=self.environment, **options)

    def run(self, arguments):
        done = self.start(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = done.communicate(timeout=3600)
        if done.returncode != 0:
            sys.exit(f"{arguments} ended with {done.returncode}:\n{output.decode()}")
        return output.decode()

    def step(self, word, rest):
        if word == "RUN":
            self.run(["/bin/sh", "-c", rest])
        elif word == "COPY":
            *sources, target = rest.split()
            if sources[0].startswith("--from="):
                # The binary, under the name that the other stage gives it.
                assert sources[1:] == ["/src/target/release/real-streaming"], sources
                self.copy(binary, target, "real-streaming")
            elif sources == ["."]:
                ignored = [root / line for line in (root / ".dockerignore").read_text().split()]
                inside = self.folder / self.directory.lstrip("/")
                shutil.copytree(root, inside, symlinks=True, dirs_exist_ok=True,
                                ignore=lambda folder, names: [name for name in names if pathlib.Path(folder, name) in ignored])
            else:
                ignored = (root / ".dockerignore").read_text().split()
                assert all(source.split("/")[0] not in ignored for source in sources), sources
                for source in sources:
                    self.copy(root / source, target, pathlib.Path(source).name)
        elif word == "ENV":
            name, value = rest.split("=", 1)
            self.environment[name] = value
        elif word == "USER":
            self.user = rest
        elif word == "WORKDIR":
            (self.folder / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            self.directory = rest
        elif word in ("ENTRYPOINT", "CMD"):
            self.command[word] = json.loads(rest)
        elif word == "HEALTHCHECK":
            self.command[word] = json.loads(rest.removeprefix("CMD"))
        elif word != "EXPOSE":
            sys.exit(f"this script does not know {word}")

    def copy(self, source, target, name):
        inside = self.folder / target.lstrip("/")
        if target.endswith("/"):
            inside = inside / name
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, inside)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class RustContainer(Container):
    """From an image `rust:<version>-slim-<suite>`. Copies, no mounts: whatever goes wrong, this machine's own files stay."""

    def __init__(self, image):
        version, suite = re.fullmatch(r"rust:([\d.]+)-slim-(\w+)", image).groups()
        ours = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout
        if not ours.startswith(f"rustc {version}"):
            print(f"the image has Rust {version}, this machine {ours}")
        super().__init__(f"debian:{suite}-slim")
        self.step("RUN", "apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev")
        sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()
        local = self.folder / "usr" / "local"
        leave = shutil.ignore_patterns("doc", "share")
        shutil.copytree(sysroot, local / "rust", symlinks=True, ignore=leave)
        subprocess.run(["cargo", "fetch", "--quiet", "--locked"], cwd=root, check=True)
        crates = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo")) / "registry"
        for part in ("index", "cache"):
            shutil.copytree(crates / part, local / "cargo" / "registry" / part)
        path = self.environment["PATH"]
        self.environment |= {"CARGO_HOME": "/usr/local/cargo", "PATH": f"/usr/local/rust/bin:{path}"}


def network_of_its_own():
    """With a loopback interface and nothing else: ports are free, and nobody outside is asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000) != 0:
        print(f"missing: a network of its own ({os.strerror(ctypes.get_errno())})")
        sys.exit(3)
    with socket.socket() as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def ask(path, body=None, headers={}):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
    connection.request("GET" if body is None else "POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def variables():
    """Those of the container in conf/cloud-run.yaml."""
    text = (root / "conf" / "cloud-run.yaml").read_text().replace("YOUR-PROJECT", "my-project-1")
    found = {}
    for name, value in re.findall(r"- name: (APP_\w+)\n\s+value: (.*)", text):
        found[name] = json.loads(value) if value.startswith('"') else value.strip("'").replace("''", "'")
    return found


def check(container, environment, code):
    """Starts it, looks at it from outside, stops it."""
    container.environment.update(environment)
    command = container.command["ENTRYPOINT"] + container.command["CMD"]
    process = container.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        started = time.monotonic()
        while True:
            try:
                status, _ = ask("/healthz")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() - started > 30:
                    process.kill()
                    sys.exit(f"it does not come up:\n{process.stdout.read().decode()}")
                time.sleep(0.05)
        assert status == 200, status
        container.run(container.command["HEALTHCHECK"])
        identity = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(r"^Uid:\s+10001\s+10001", identity, re.MULTILINE), identity
        event = json.dumps({"event_name": "page_view", "event_params": []})
        headers = {"Content-Type": "application/json", "X-Forwarded-For": "203.0.113.9,198.51.100.1"}
        for _ in range(20):
            status, body = ask("/api/v1/streaming/1", event, headers)
            assert status == 200, body
        stopped = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        seconds = time.monotonic() - stopped
    finally:
        process.kill()
    assert seconds < 10, f"it took {seconds:.1f} s to stop"
    assert process.returncode == code, f"it ended with {process.returncode} and not {code}:\n{output.decode()}"
    for line in output.decode().splitlines():
        entry = json.loads(line)
        assert {"severity", "time", "message"} <= entry.keys(), line
    return seconds


(build, first), (image, steps) = instructions()
assert any("cargo build --release" in rest for _, rest in first), "the first stage builds the binary"
container = Container(image)
try:
    if binary is None:
        started = time.monotonic()
        compiler = RustContainer(build)
        try:
            for word, rest in first:
                compiler.step(word, rest)
            binary = container.folder / "tmp" / "real-streaming"
            shutil.copy(compiler.folder / "src/target/release/real-streaming", binary)
        finally:
            compiler.remove()
        print(f"{len(first)} steps of the stage that compiles, {time.monotonic() - started:.0f} s", flush=True)
    for word, rest in steps:
        container.step(word, rest)
    network_of_its_own()
    home = container.folder / container.directory.lstrip("/")
    before = {path for path in container.folder.rglob("*") if home not in path.parents}
    delivered = check(container, {}, 0)
    assert list((home / "data" / "events").rglob("*.parquet")), "the rows are in the lake"
    # Google is out of reach here: rows stay in the spool, and the end must come all the same.
    unreached = check(container, {**variables(), "PORT": "8080"}, 1)
    after = {path for path in container.folder.rglob("*") if home not in path.parents}
    assert before == after, f"written outside of its folder: {sorted(after - before)}"
    size = (container.folder / "usr/local/bin/real-streaming").stat().st_size
finally:
    container.remove()
print(f"{len(steps)} steps of the Dockerfile; a binary of {size >> 20} MB; stopped in {delivered:.1f} s, with Google out of reach in {unreached:.1f} s")
