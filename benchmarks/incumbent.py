"""The incumbent on this machine: its rates and its latency, with the sender of the other benchmarks.

    incumbent.py FOLDER INSTALLATION [--runs N] [--json FILE]

FOLDER holds `bare_sender`. INSTALLATION is a folder that takes what is missing: the package `dranspose` from PyPI in an
environment of its own, and Debian's redis-server, unpacked there and not installed.
"""

import argparse
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VERSION = "0.2.0"
REDIS_PACKAGES = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "liblua5.1-0", "lua-cjson", "lua-bitop"]
KIB = 1024
SMALL, LARGE = 2 * KIB, 512 * KIB
PATIENCE = 120
WARM_UP = 0.1
WORKERS = 2
PART = 1000  # events of a part of the map


def install(folder):
    """What is missing; raises when it cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "venv/bin/dranspose").exists():
        subprocess.run(["/usr/bin/python3", "-m", "venv", folder / "venv"], check=True)
        subprocess.run([folder / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check",
                        f"dranspose=={VERSION}"], check=True)
    if not (folder / "redis/usr/bin/redis-server").exists():
        subprocess.run(["apt-get", "-qq", "download", *REDIS_PACKAGES], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, folder / "redis"], check=True)


def free_port():
    while True:
        port = random.randint(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() >= deadline:
            raise RuntimeError(f"waited {PATIENCE} s in vain for {what}")
        time.sleep(0.02)
    return result


class Sender:
    """`bare_sender`: listens, and sends when it is told to."""

    def __init__(self, folder, size, frames, rate=0):
        command = [folder / "bare_sender", "--url", "tcp://127.0.0.1:*", "--size", str(size),
                   "--frames", str(frames), "--rate", str(rate), "--wait"]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.child.stdout.readline().split()[1]

    def go(self):
        self.child.stdin.write("go\n")
        self.child.stdin.flush()


class Incumbent:
    """Its processes, one for each part; they end with this."""

    def __init__(self, installation, url, scratch, with_latency):
        self.children = []
        self.port = free_port()
        redis = installation / "redis/usr"
        redis_port = free_port()
        self.environment = {
            **os.environ,
            "SERVICE_REDIS_DSN": f"redis://127.0.0.1:{redis_port}/0",
            "REDUCER_URL": f"tcp://127.0.0.1:{free_port()}",
            "INGESTER_URL": f"tcp://127.0.0.1:{free_port()}",
            "LD_LIBRARY_PATH": str(redis / "lib/x86_64-linux-gnu"),
            "PYTHONPATH": str(Path(__file__).resolve().parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LATENCY_FILE": str(scratch / "times"),
        }
        self.scratch = scratch
        python = str(installation / "venv/bin/python")
        program = [str(installation / "venv/bin/dranspose")]
        classes = (["-c", "incumbent_latency:LatencyWorker"], ["-c", "incumbent_latency:LatencyReducer"])
        worker, reducer = classes if with_latency else ([], [])
        self.start("redis", str(redis / "bin/redis-server"), "--port", str(redis_port), "--save", "",
                   "--appendonly", "no")
        wait_until(lambda: self.answers(redis_port), "redis-server")
        self.start("controller", python, "-m", "uvicorn", "dranspose.controller:app", "--port", str(self.port))
        self.start("reducer", *program, "reducer", "--host", "127.0.0.1", "-p", str(free_port()), *reducer)
        self.start("ingester", *program, "ingester", "-c", "ZmqPullSingleIngester", "-n", "det", "-u", url)
        for i in range(WORKERS):
            self.start(f"worker{i}", *program, "worker", "-n", f"worker{i}", *worker)
        wait_until(self.complete, "the incumbent's processes to find each other")

    def start(self, name, *command):
        with open(self.scratch / f"{name}.log", "wb") as log:
            self.children.append(subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log, cwd=self.scratch))

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()

    @staticmethod
    def answers(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, f"/api/v1/{path}", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status} {text.decode()[:500]}")
            return json.loads(text)
        except ConnectionError:
            return None
        finally:
            connection.close()

    def complete(self):
        for child in self.children:
            if child.poll() is not None:
                raise RuntimeError("a process of the incumbent has ended:\n" + self.logs())
        config = self.ask("GET", "config")
        if not config or not config["reducer"] or len(config["workers"]) < WORKERS:
            return False
        connected = all(len(worker["ingesters"]) == 1 for worker in config["workers"])
        return connected and any("det" in ingester["streams"] for ingester in config["ingesters"])

    def logs(self):
        return "\n".join(f"{p.name}: {p.read_text(errors='replace')[-800:]}" for p in self.scratch.glob("*.log"))

    def begin(self, frames, events_of_constraint):
        slots = [[{"constraint": i // events_of_constraint}] for i in range(PART)]
        body = {"parts": {"main": {"det": slots}}, "sequence": ["main"] * (frames // PART)}
        self.ask("POST", "sequence", json.dumps(body))


def rate(folder, installation, size, frames, events_of_constraint):
    """Events per second behind the warm-up."""
    with tempfile.TemporaryDirectory() as scratch:
        sender = Sender(folder, size, frames)
        system = None
        try:
            system = Incumbent(installation, sender.url, Path(scratch), False)
            system.begin(frames, events_of_constraint)
            sender.go()

            def progress():
                """Completed events, and when: half-way through a question that may take long to be answered."""
                asked = time.monotonic()
                completed = system.ask("GET", "progress")["completed_events"]
                return completed, (asked + time.monotonic()) / 2

            def reached(events):
                return wait_until(lambda: (now := progress())[0] >= events and now, f"{events} events")

            warm, start = reached(frames * WARM_UP)
            done, end = reached(frames)
            return (done - warm) / (end - start)
        finally:
            sender.child.kill()
            sender.child.wait()
            if system:
                system.close()


def latency(folder, installation, hertz, frames):
    """Median in us, from stamp to fold, one constraint for each event."""
    with tempfile.TemporaryDirectory() as scratch:
        sender = Sender(folder, SMALL, frames, hertz)
        system = None
        try:
            system = Incumbent(installation, sender.url, Path(scratch), True)
            system.begin(frames, 1)
            sender.go()
            file = Path(scratch) / "times"
            wait_until(lambda: time.sleep(0.5) or file.exists(), "the end of the scan")
            times = sorted(int(line) / 1000 for line in file.read_text().split()[frames // 10:])
            return times[len(times) // 2]
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{system.logs() if system else ''}") from error
        finally:
            sender.child.kill()
            sender.child.wait()
            if system:
                system.close()


def main():
    parser = argparse.ArgumentParser(description="measures the incumbent")
    parser.add_argument("folder", type=Path, help="of bare_sender")
    parser.add_argument("installation", type=Path, help="folder that takes what is missing")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    installation = options.installation.resolve()
    install(installation)
    figures = {}

    def add(name, figure):
        figures.setdefault(name, []).append(figure)

    for _ in range(options.runs):
        where = (options.folder, installation)
        add("small_events_per_second", rate(*where, SMALL, 20_000, 100))
        add("small_one_constraint", rate(*where, SMALL, 4_000, 1))
        add("large_gigabytes_per_second", rate(*where, LARGE, 8_000, 100) * LARGE * 1e-9)
        add("latency_us", latency(*where, 100, 1000))
        print({name: round(values[-1], 2) for name, values in figures.items()}, flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
