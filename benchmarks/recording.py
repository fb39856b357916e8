#!/usr/bin/env python3
"""How fast are streams recorded and replayed, beside `dd` to and from the same disk in the same turn?

A recording is a whole scan in one process: from the first frame until every byte is on the disk. What is
replayed, and what `dd` reads, comes from the disk, not from the system's memory.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PATIENCE = 300  # seconds that a scan may take


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def forget(path):
    """The system keeps nothing of the file in memory."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def dd(*arguments):
    """Seconds that a copy takes."""
    began = time.monotonic()
    subprocess.run(["dd", "bs=1M", "iflag=fullblock", *arguments], check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def write_config(folder, size, frames, packed):
    rest, stream = free_port(), free_port()
    config = folder / "site.toml"
    config.write_text(f"""
[cluster]
controller = "127.0.0.1:{free_port()}"
[http]
control = "127.0.0.1:{rest}"
results = "127.0.0.1:{free_port()}"
[[stream]]
name = "det"
protocol = "stins"
url = "tcp://127.0.0.1:{stream}"
[analysis]
use = ["none"]
[recording]
directory = "{folder / 'recordings'}"
packed = "{packed}"
[[simulate]]
stream = "det"
frames = {frames}
shape = [{size // 1024}, 512]
dtype = "uint16"
""")
    return config, f"http://127.0.0.1:{rest}/api/v1"


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            result = condition()
        except OSError:
            result = None
        if result:
            return result
        time.sleep(0.02)
    raise RuntimeError(f"waited in vain for {what}")


def record(program, folder, size, frames, packed):
    """Seconds of the scan, and the file."""
    config, url = write_config(folder, size, frames, packed)
    system = subprocess.Popen([program, "--role", "all", "--config", config], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: get(f"{url}/config")["reducer"], "the system")
        subprocess.run([program, "simulate", "--config", config, "--controller", url.rsplit("/api", 1)[0]],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE)
        done = wait_for(lambda: (p := get(f"{url}/progress"))["finished"] and p, "the end of the scan")
        if done["state"] != "finished" or done["fates"]["empty"] < frames:
            raise RuntimeError(f"the scan {done['state']}: {done}")
    finally:
        system.terminate()
        system.wait(20)
    return done["seconds"], next((folder / "recordings").glob("det-ingester-*"))


def replay(program, file):
    """Seconds of the scan."""
    done = subprocess.run([program, "replay", file, "--analysis", "roi", "--json"], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PATIENCE)
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def one_turn(program, scratch, size, total, packed):
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        frames = max(total // size, 10)
        bare = folder / "bare"
        bytes_in_all = frames * size
        written = dd("if=/dev/zero", f"of={bare}", f"count={bytes_in_all >> 20}", "conv=fsync")
        seconds, file = record(program, folder, size, frames, packed)
        for path in (bare, file):
            forget(path)
        read = dd(f"if={bare}", "of=/dev/null")
        replayed = replay(program, file)
        return {"bytes": bytes_in_all, "file_bytes": file.stat().st_size, "dd_write": written, "record": seconds,
                "dd_read": read, "replay": replayed}


def spread(values):
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="build/release/dtranspose")
    parser.add_argument("--folder", default="build", help="on the disk that is meant")
    parser.add_argument("--size", type=int, action="append", help="bytes of a frame; default: 512 KiB and 2 MiB")
    parser.add_argument("--total", type=int, default=1 << 30, help="bytes of a recording")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--packed", default="none", choices=["none", "gzip", "zstd"])
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    figures = []
    print(f"{'bytes':>8} {'what':<8} {'GB/s':>6}  ratio to dd: min / median / max")
    for size in options.size or [512 << 10, 2 << 20]:
        turns = [one_turn(os.path.abspath(options.program), options.folder, size, options.total, options.packed)
                 for _ in range(options.runs)]
        for what, bound in (("record", "dd_write"), ("replay", "dd_read")):
            ratios = [t[bound] / t[what] for t in turns]
            rate = statistics.median(t["bytes"] / t[what] for t in turns) * 1e-9
            print(f"{size:>8} {what:<8} {rate:>6.2f}  {spread(ratios)}", flush=True)
            figures.append({"bytes": size, "what": what, "ratios": ratios, "gb_per_s": rate, "turns": turns})
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
