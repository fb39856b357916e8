#!/usr/bin/env python3
"""What do viewers cost, and how long do they wait? A scan at half of what the machine takes, without viewers and with
many who poll; their latencies, and what the stream was held up.

    build/venv/bin/python benchmarks/viewers.py build/release/dtranspose [--viewers 50] [--rate 10] [--seconds 20] [--json]
"""

import argparse
import http.client
import json
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

CONFIG = """
[cluster]
name = "viewers"
controller = "127.0.0.1:{join}"
[http]
control = "127.0.0.1:{control}"
results = "127.0.0.1:{results}"
[[stream]]
name = "det"
protocol = "stins"
url = "tcp://127.0.0.1:{stream}"
[worker]
count = {workers}
[analysis]
use = ["sum"]
[[simulate]]
stream = "det"
frames = {frames}
rate = "{rate}"
shape = [256, 256]
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Port:
    """Asks one of the servers."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path):
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return body


class Viewer(threading.Thread):
    """Polls like a page: a picture and the tree from one port, progress from the other."""

    PATHS = ["/api/v1/view?path=/image&width=256&height=256", "/api/v1/tree", "/api/v1/snapshots"]

    def __init__(self, ports, rate, over):
        super().__init__()
        self.results, self.control = Port(ports[2]), Port(ports[1])
        self.interval, self.over = 1 / rate, over
        self.latencies, self.late, self.trouble = [], 0, ""

    def run(self):
        due = time.perf_counter()
        number = 0
        try:
            while not self.over.wait(max(0.0, due - time.perf_counter())):
                began = time.perf_counter()
                self.results.get(self.PATHS[number % len(self.PATHS)])
                self.latencies.append(time.perf_counter() - began)
                if number % 10 == 0:
                    self.control.get("/api/v1/progress")
                number += 1
                due += self.interval
                self.late += time.perf_counter() > due
        except Exception as e:
            self.trouble = str(e)


def quantile(sorted_list, part):
    return sorted_list[min(len(sorted_list) - 1, int(part * len(sorted_list)))] if sorted_list else float("nan")


def run(options, rate, frames, viewers):
    """One scan; what it and its viewers say."""
    ports = free_ports(4)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "viewers.toml"
        config.write_text(CONFIG.format(join=ports[0], control=ports[1], results=ports[2], stream=ports[3],
                                        workers=options.workers, frames=frames, rate=f"{rate:.0f}Hz" if rate else "0"))
        system = subprocess.Popen([options.program, "--role", "all", "--config", config], cwd=folder, stderr=subprocess.DEVNULL)
        over = threading.Event()
        crowd = []
        try:
            sender = subprocess.Popen([options.program, "simulate", "--config", config, "--controller", f"http://127.0.0.1:{ports[1]}",
                                       "--json"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            watcher = Port(ports[1])
            held, looks = 0, 0

            def progress():
                try:
                    return json.loads(watcher.get("/api/v1/progress"))
                except OSError:
                    watcher.connection.close()
                    return {"completed_events": 0, "finished": False}

            while progress()["completed_events"] < min(20, frames // 2):
                time.sleep(0.05)
            while b"/image" not in Port(ports[2]).get("/api/v1/tree"):
                time.sleep(0.05)
            crowd = [Viewer(ports, options.rate, over) for _ in range(viewers)]
            for viewer in crowd:
                viewer.start()
            while not (p := progress())["finished"]:
                stream = json.loads(watcher.get("/api/v1/streams"))["det"]
                looks += 1
                held += "held back" in stream.get("state", "")
                time.sleep(0.1)
            over.set()
            sender.wait(30)
            stream = json.loads(watcher.get("/api/v1/streams"))["det"]
            for viewer in crowd:
                viewer.join(30)
        finally:
            over.set()
            system.terminate()
            system.wait(20)
    latencies = sorted(t for v in crowd for t in v.latencies)
    frames_latency = stream["latency"]
    middle, top = bucket_of(frames_latency, 0.5), bucket_of(frames_latency, 0.99)
    return {"viewers": viewers, "frames_per_second": p["completed_events"] / p["seconds"], "state": p["state"],
            "folded": p["fates"]["folded"] + p["fates"]["empty"], "answers": len(latencies),
            "p50_ms": 1000 * quantile(latencies, 0.5), "p99_ms": 1000 * quantile(latencies, 0.99),
            "most_ms": 1000 * (latencies[-1] if latencies else float("nan")), "late_polls": sum(v.late for v in crowd),
            "held_back": held, "looks": looks, "frame_p50_ms_up_to": 1000 * middle, "frame_p99_ms_up_to": 1000 * top,
            "troubles": [v.trouble for v in crowd if v.trouble]}


def bucket_of(latency, part):
    """The upper end of the bucket in which that part of the frames is reached."""
    wanted, total = part * sum(latency["counts"]), 0
    for end, count in zip(latency["up_to"] + [float("inf")], latency["counts"]):
        total += count
        if total >= wanted:
            return end
    return float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="dtranspose")
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--rate", type=float, default=10, help="polls of each viewer in a second")
    parser.add_argument("--seconds", type=float, default=20, help="of each scan")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.program = str(Path(options.program).resolve())
    most = run(options, 0, 20000, 0)["frames_per_second"]
    half = most / 2
    frames = int(half * options.seconds)
    rows = [run(options, half, frames, viewers) for viewers in (0, options.viewers)]
    if options.json:
        print(json.dumps({"most_frames_per_second": most, "runs": rows}))
        return
    print(f"as fast as it goes: {most:.0f} images of 128 KiB a second; then paced at {half:.0f}/s")
    for row in rows:
        print(f"{row['viewers']:3} viewers: {row['frames_per_second']:.0f} frames/s, {row['folded']} of {frames + 2}, "
              f"frames folded within {row['frame_p50_ms_up_to']:g} ms (p50), {row['frame_p99_ms_up_to']:g} ms (p99), "
              f"held back at {row['held_back']} of {row['looks']} looks; {row['answers']} answers, p50 {row['p50_ms']:.1f} ms, "
              f"p99 {row['p99_ms']:.1f} ms, most {row['most_ms']:.1f} ms, late {row['late_polls']} {row['troubles'][:3]}")


if __name__ == "__main__":
    main()
