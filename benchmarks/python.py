"""Analyses in Python run by the program, beside the one in C++: events per second, and bytes of frames.

    python.py [--program PATH] [--interpreter PATH] [--events N] [--runs N] [--json]

Each figure is the best of some replays of one recording with one worker. The interpreter has to have NumPy; the
package is taken from this clone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PATIENCE = 300  # seconds for one replay

CODE = '''
import dtranspose
import numpy as np


class OneByOne(dtranspose.Worker):
    """A sum for each event."""

    def process_event(self, event, parameters, tick):
        image = event.image("det")
        return None if image is None else {"sum": int(image.sum())}


class ByBatch(dtranspose.Worker):
    """The same, of all at once."""

    def process_events(self, events, parameters, tick):
        places = events.where("det", frames=2)
        images = events.stack("det", 1, "uint16", (1024,), places)
        return dtranspose.Columns(sum=images.sum(1, dtype=np.uint64)).at(places)


class Touch(dtranspose.Worker):
    """A byte of each page of each frame."""

    def process_event(self, event, parameters, tick):
        for stream in event.streams.values():
            for frame in stream.frames:
                np.frombuffer(frame, np.uint8)[::4096].sum()


class Fold(dtranspose.Reducer):
    """One number of all."""

    def __init__(self, scan, parameters, context):
        super().__init__(scan, parameters, context)
        self.total = 0

    def process_result(self, result, parameters):
        self.total += result.content["sum"]
'''


def cbor_head(major, size):
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if size < 24:
            return bytes([major << 5 | size])
        if size < 1 << 8 * width:
            return bytes([major << 5 | code]) + size.to_bytes(width, "big")
    raise ValueError(size)


def cbor_bytes(content):
    return cbor_head(2, len(content)) + content


def cbor_text(content):
    return cbor_head(3, len(content)) + content.encode()


def write_dump(path, images, pixels):
    """A start, images and an end of one stream, as ingesters record them."""
    with open(path, "wb") as file:
        for event in range(images + 2):
            what = "header" if event == 0 else "series_end" if event > images else "image"
            header = {"htype": what, "filename": "", "msg_number": event}
            parts = [b""]
            if what == "image":
                header |= {"frame": event - 1, "shape": [pixels], "type": "uint16", "compression": "none"}
                parts.append(event.to_bytes(2, "little") * pixels)
            parts[0] = json.dumps(header).encode()
            frames = cbor_head(4, len(parts)) + b"".join(map(cbor_bytes, parts))
            stream = cbor_text("det") + cbor_head(6, 42878) + cbor_head(4, 2) + cbor_text("STINS") + frames
            item = cbor_head(4, 2) + cbor_head(0, event) + cbor_head(5, 1) + stream
            file.write(cbor_head(6, 55799) + cbor_head(6, 42877) + item)
    return path


def replay(options, folder, file, *analysis):
    """The summary of the fastest run."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "python")}
    best = None
    for _ in range(options.runs):
        run = subprocess.run([options.program, "replay", file, "--workers", "1", "--json", *analysis], check=True,
                             cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             timeout=PATIENCE)
        summary = json.loads(run.stdout.splitlines()[-1])
        if summary["folded"] + summary["empty"] != summary["events"]:
            raise SystemExit(f"events are missing: {summary}")
        if best is None or summary["seconds"] < best["seconds"]:
            best = summary
    return best


def python(options, worker, reducer=None):
    classes = ["-w", f"python:code_of_benchmark:{worker}", "--interpreter", options.interpreter]
    return classes + (["-r", f"python:code_of_benchmark:{reducer}"] if reducer else [])


def measure(options):
    """[what, figure, unit, aim or None]"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "code_of_benchmark.py").write_text(CODE)
        small = write_dump(folder / "small.cbors", options.events, 1024)
        rows = []
        for what, analysis, aim in [
            ("roi, C++", ["--analysis", "roi"], None),
            ("process_event", python(options, "OneByOne"), 20_000),
            ("process_event, folded in Python", python(options, "OneByOne", "Fold"), 20_000),
            ("process_events and Columns", python(options, "ByBatch"), 200_000),
            ("process_events and Columns, folded in Python", python(options, "ByBatch", "Fold"), 200_000),
        ]:
            rows.append([f"2 KiB, {what}", replay(options, folder, small, *analysis)["events_per_second"],
                         "events/s", aim])
        large = write_dump(folder / "large.cbors", max(100, options.events // 200), 4 << 20)
        for what, analysis, aim in [("roi, C++", ["--analysis", "roi"], None),
                                    ("one byte of each page", python(options, "Touch"), 3e9)]:
            rows.append([f"8 MiB, {what}", replay(options, folder, large, *analysis)["bytes_per_second"],
                         "bytes/s", aim])
        return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--program", default=str(REPOSITORY / "build/release/dtranspose"))
    parser.add_argument("--interpreter", default=sys.executable)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options)
    if options.json:
        print(json.dumps([dict(zip(("what", "figure", "unit", "aim"), row)) for row in rows]))
        return
    for what, figure, unit, aim in rows:
        print(f"{what:52} {figure:15,.0f} {unit}" + (f"  (aim {aim:,.0f})" if aim else ""))


if __name__ == "__main__":
    main()
