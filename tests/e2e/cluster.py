"""The product as its users start it: one process per role, on this machine, watched over REST.

A `Cluster` owns a folder, the ports, the configuration and the processes. Nothing outlives it.
"""

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import requests

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("DTRANSPOSE", REPOSITORY / "build/release/dtranspose")).resolve()

PATIENCE = 20  # seconds that anything may take before its test fails
FATES = ("folded", "empty", "discarded", "failed", "incomplete", "lost")

_taken_ports = set()


def free_port():
    """A port of the loopback that nobody has, below those that connections are made from."""
    while True:
        port = random.randint(15000, 32000)
        if port in _taken_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken_ports.add(port)
        return port


def wait_until(condition, what, patience=PATIENCE, interval=0.02):
    """Waits for something true and returns it."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {patience} s in vain: {what}"
        time.sleep(interval)


def toml(value):
    """A TOML value; JSON is the same for texts, numbers, truth and lists."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(content)}" for key, content in value.items()) + " }"
    return json.dumps(value)


def toml_table(title, content):
    return f"\n{title}\n" + "".join(f"{key} = {toml(value)}\n" for key, value in content.items())


class Process:
    """A dtranspose command, its output in files. `prefix` is a command that it is started by."""

    def __init__(self, name, folder, *arguments, prefix=()):
        self.name = name
        self.out_path = folder / f"{name}.out"
        self.log_path = folder / f"{name}.log"
        self.arguments = [str(a) for a in arguments]
        with open(self.out_path, "wb") as out, open(self.log_path, "wb") as log:
            self.child = subprocess.Popen([*prefix, str(BINARY), *self.arguments], stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=log, cwd=folder)

    @property
    def pid(self):
        return self.child.pid

    @property
    def role(self):
        return self.arguments[1]

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def out(self):
        return self.out_path.read_text(errors="replace")

    @property
    def summary(self):
        """What `--json` printed: the last line of standard output."""
        return json.loads(self.out.strip().splitlines()[-1])

    def running(self):
        return self.child.poll() is None

    def send(self, which):
        self.child.send_signal(which)

    def wait(self, patience=PATIENCE):
        """The exit status."""
        return self.child.wait(patience)

    def end(self, patience=3):
        """Ended and reaped, whatever it takes."""
        if self.running():
            self.child.terminate()
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                self.child.kill()
        return self.child.wait()

    def report(self):
        status = "runs" if self.running() else f"status {self.child.returncode}"
        return f"$ dtranspose {' '.join(self.arguments)}   [{status}]\n{self.out}{self.log}"


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        self.hosts = {"controller": "127.0.0.1", "streams": "127.0.0.1"}
        self.join_port = free_port()
        self.http_port = free_port()
        self.results_port = free_port()
        self.processes = []
        self.fallen = []  # what a test has killed
        self.started = Counter()
        self.stream_ports = {}
        self.config = folder / "site.toml"
        self.controller_url = f"http://127.0.0.1:{self.http_port}"
        self.results_url = f"http://127.0.0.1:{self.results_port}"
        self.session = requests.Session()
        self.defaults = {}  # keys of [cluster], unless a test says otherwise

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, streams=("det",), analysis="none", parameters=None, workers=2, scan=None,
                  stream=None, cluster=None, worker=None, output="", simulate=(), of_stream=None, http=None,
                  sections=None):
        """Writes the configuration; a second call replaces it and keeps the ports.

        `scan`, `stream`, `cluster`, `worker` and `http` hold keys for those sections, `simulate` whole
        entries, `of_stream` keys of single streams by name, `sections` further sections by name. Of several
        analyses `parameters` are by analysis."""
        controller = self.hosts["controller"]
        for name in streams:
            self.stream_ports.setdefault(name, free_port())
        text = toml_table("[cluster]", {"name": "e2e", "controller": f"{controller}:{self.join_port}",
                                        **self.defaults, **(cluster or {})})
        text += toml_table("[http]", {"control": f"{controller}:{self.http_port}",
                                      "results": f"127.0.0.1:{self.results_port}", **(http or {})})
        for name in streams:
            text += toml_table("[[stream]]", {"name": name, "protocol": "stins", "url": self.url(name),
                                              "rearm_timeout": "200ms", **(stream or {}),
                                              **(of_stream or {}).get(name, {})})
        text += toml_table("[scan]", {"stop_timeout": "1s", **(scan or {})})
        text += toml_table("[worker]", {"count": workers, **(worker or {})})
        several = isinstance(analysis, (list, tuple))
        text += toml_table("[analysis]", {"use": [str(a) for a in analysis] if several else [str(analysis)]})
        for name, own in (parameters or {}).items() if several else ():
            text += toml_table(f"[analysis.{name}]", own)
        if parameters and not several:
            name = Path(str(analysis)).stem.removeprefix("lib")
            text += toml_table(f"[analysis.{name}]", parameters)
        if output:
            text += toml_table("[output]", {"file": str(self.folder / output)})
        for title, content in (sections or {}).items():
            text += toml_table(f"[{title}]", content)
        for entry in simulate:
            text += toml_table("[[simulate]]", entry)
        self.config.write_text(text)
        return self

    def url(self, stream):
        return f"tcp://{self.hosts['streams']}:{self.stream_ports[stream]}"

    # --- processes -------------------------------------------------------------------------------

    def run(self, name, *arguments, prefix=()):
        process = Process(name, self.folder, *arguments, prefix=prefix)
        self.processes.append(process)
        return process

    def next_name(self, kind):
        self.started[kind] += 1
        return f"{kind}-{self.started[kind] - 1}"

    def start(self, role, *options, name=None, config=None, prefix=()):
        """A process that plays a role."""
        return self.run(name or self.next_name(role), "--role", role, "--config", config or self.config,
                        "--json", *options, prefix=prefix)

    def start_all(self, *options):
        """Everything in one process, ready."""
        process = self.start("all", *options)
        self.wait_for_members()
        return process

    def start_parts(self, worker_processes=2):
        """A process for each role, ready."""
        parts = {"controller": self.start("controller"), "ingester": self.start("ingester")}
        for i in range(worker_processes):
            parts[f"worker{i}"] = self.start("worker")
        parts["reducer"] = self.start("reducer")
        self.wait_for_members(processes=worker_processes)
        return parts

    def simulate(self, *options, patience=PATIENCE, prefix=()):
        """Instruments and the map that fits them, posted once everybody that it needs is there."""
        return self.run(self.next_name("simulate"), "simulate", "--config", self.config, "--controller",
                        self.controller_url, "--timeout", patience, "--json", *options, prefix=prefix)

    def kill(self, process):
        """Ended by what it cannot see coming."""
        process.child.kill()
        process.child.wait()
        self.bury(process)

    def bury(self, process):
        """One that has ended, as it should have."""
        self.processes.remove(process)
        self.fallen.append(process)

    def of_role(self, role):
        return [p for p in self.of_all_roles() if p.role == role]

    def of_all_roles(self):
        return [p for p in self.processes if p.arguments[0] == "--role"]

    def close(self):
        """Ends and reaps everything; returns the roles that did not end as they should."""
        ended_here = [p for p in self.processes if p.running()]
        for process in ended_here:
            process.send(signal.SIGCONT)
            process.child.terminate()
        for process in self.processes:
            process.end()
        self.session.close()
        return {p.name: p.child.returncode for p in ended_here
                if p.arguments[0] == "--role" and p.child.returncode != 0}

    def report(self):
        told = [("status", self.status_to_tell())] if self.of_all_roles() else []
        return told + [(p.name, p.report()) for p in self.fallen + self.processes]

    def status_to_tell(self):
        """What a failed test may have been about."""
        try:
            status = self.ask("GET", "status", timeout=3).json()
        except (requests.RequestException, ValueError) as e:
            return str(e)
        status.pop("completed_events", None)
        return "\n".join(f"{key}: {json.dumps(content)}" for key, content in status.items())

    # --- REST ------------------------------------------------------------------------------------

    def ask(self, method, path, **options):
        options.setdefault("timeout", PATIENCE)
        return self.session.request(method, f"{self.controller_url}/api/v1/{path}", **options)

    def get(self, path):
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get_or_none(self, path):
        """None while nobody answers yet."""
        try:
            return self.get(path)
        except requests.ConnectionError:
            return None

    def post_map(self, parts, sequence=None, wrap=True):
        """Posts a sequence; the answer as it came. `parts` may be one part, {stream: slots}."""
        if sequence is None:
            parts, sequence = {"main": parts}, ["main"]
        return self.ask("POST", "sequence", params={"all_wrap": str(wrap).lower()},
                        json={"parts": parts, "sequence": sequence})

    def begin(self, parts, sequence=None, wrap=True):
        """Posts a sequence that must be taken; returns the scan's id."""
        answer = self.post_map(parts, sequence, wrap)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self):
        answer = self.ask("POST", "stop")
        assert (answer.status_code, answer.json()) == (200, None)

    def stream_status(self, stream="det"):
        return self.get("status")["streams"][stream]

    # --- waiting ---------------------------------------------------------------------------------

    def wait_for(self, condition, what, patience=PATIENCE):
        """Like `wait_until`, but gives up at once when a role ended by itself."""

        def check():
            dead = [p.name for p in self.processes if not p.running() and p.child.returncode != 0]
            assert not dead, f"{dead} ended while waiting for {what}"
            return condition()

        return wait_until(check, what, patience)

    def wait_for_members(self, processes=1, patience=PATIENCE):
        """Every stream, a reducer and the workers of so many processes have joined."""

        def complete():
            config = self.get_or_none("config")
            if not config or not config["reducer"]:
                return False
            streams = {s for i in config["ingesters"] for s in i["streams"]}
            with_workers = {w["process"] for w in config["workers"]}
            return streams == set(self.stream_ports) and len(with_workers) >= processes

        self.wait_for(complete, "everybody to join", patience)

    def wait_for_progress(self, condition, what, patience=PATIENCE):
        def look():
            progress = self.get_or_none("progress")  # while a controller is started again
            return progress if progress and condition(progress) else None

        return self.wait_for(look, what, patience)

    def wait_for_events(self, events):
        return self.wait_for_progress(lambda p: p["completed_events"] >= events,
                                      f"{events} events to complete")

    def wait_for_end(self, scan=None, patience=PATIENCE):
        """Progress once the scan has finished; every event has a fate then."""
        progress = self.wait_for_progress(
            lambda p: p["finished"] and scan in (None, p["scan"]), "the scan to end", patience)
        assert progress["completed_events"] == progress["total_events"]
        assert sum(progress["fates"].values()) == progress["total_events"]
        return progress


def assert_ends(process, which=signal.SIGTERM, within=2.0):
    """A signal ends the process in time and without complaint."""
    start = time.monotonic()
    process.send(which)
    status = process.wait(3 * within)
    seconds = time.monotonic() - start
    assert status == 0, f"{process.name} ended with status {status}"
    assert seconds <= within, f"{process.name} took {seconds:.1f} s to end"
