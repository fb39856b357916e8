"""How fast events get through a Python process: a stand-in of the program, a real host, a real socket, real
memory.

    python benchmarks/host_speed.py [--seconds 2] [--json]

| figure | what is measured | aim |
| --- | --- | --- |
| one by one | 2 KiB events, one per message, process_event looks at the frame | 20,000 /s |
| one by one, ahead | the same, with 32 messages under way | |
| batched | 2 KiB events, 500 per message, process_event looks at the frame of each | 200,000 /s |
| batched, columns | the same, process_events looks at all of them at once and gives a result for each | 200,000 /s |
| with results | batched, process_event returns a dict of two numbers for each | |
| payload | batched, a payload written for dranspose that parses STINS and returns a float | |
| touching | 8 MiB frames, one byte of each page is looked at | 3 GB/s |
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import Engine, stins_header  # noqa: E402

from dtranspose import messages  # noqa: E402

WORKERS = """
import numpy as np
import dtranspose

class Looks(dtranspose.Worker):
    def process_event(self, event, parameters, tick):
        if not event["det"].frames[1][0]:
            raise ValueError("a frame of something else")

class Gives(dtranspose.Worker):
    def process_event(self, event, parameters, tick):
        return {"first": event["det"].frames[1][0], "number": float(event.number)}

class Columnwise(dtranspose.Worker):
    def process_events(self, events, parameters, tick):
        frames = events.stack("det", 1, "uint8", (2048,))
        return dtranspose.Columns(first=frames[:, 0], last=frames[:, -1])

class Touches(dtranspose.Worker):
    def process_event(self, event, parameters, tick):
        if not np.frombuffer(event["det"].frames[1], np.uint8)[::4096].all():
            raise ValueError("a frame of something else")

from dtranspose import compat
compat.install()
from dranspose.middlewares.stream1 import parse

class Payload:
    def __init__(self, **kwargs):
        pass
    def process_event(self, event, parameters, tick):
        return float(parse(event.streams["det"]).data[0])
"""


class Bench:
    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds

    def rate(self, worker: str, frame_size: int, per_batch: int, ahead: int = 1) -> float:
        """Events per second."""
        with Engine() as engine:
            engine.load(f"workers:{worker}", self._folder)
            engine.begin()
            segment = engine.add_segment(max(1 << 20, (per_batch + 1) * (frame_size + 4096)))
            frame = b"\1" * frame_size
            header = stins_header(0, (frame_size,), "uint8")
            parts = engine.pack(
                [(k, {"det": ("STINS", [header, frame])}) for k in range(per_batch)], segment=segment
            )
            body = b"".join(bytes(p) for p in parts)
            return self._run(engine, body, per_batch, ahead)

    def _run(self, engine: Engine, body: bytes, per_batch: int, ahead: int) -> float:
        connection = engine.connection
        answered = 0
        under_way: deque[int] = deque()
        number = 1 << 20
        begin = time.perf_counter()
        end = begin + self._seconds
        warm = False
        while True:
            now = time.perf_counter()
            if not warm and now - begin > self._seconds / 5:
                warm, begin, answered = True, now, 0
            if now > end and warm:
                break
            while len(under_way) < ahead:
                number += 1
                connection.send(messages.BATCH, number, [body])
                under_way.append(number)
            reply = connection.receive()
            if reply.type != messages.ANSWERS:
                raise RuntimeError(reply.value())
            if reply.id != under_way.popleft():
                raise RuntimeError("a reply out of order")
            kinds = reply.body[messages.ANSWERS_HEAD.size : messages.ANSWERS_HEAD.size + per_batch]
            if messages.HAS_FAILED in bytes(kinds):
                raise RuntimeError(messages.AnswersMessage(reply.body).answers[0].content)
            answered += per_batch
        rate = answered / (time.perf_counter() - begin)
        for _ in under_way:
            connection.receive()
        return rate


def figures(bench: Bench) -> dict[str, Callable[[], tuple[float, str, float]]]:
    big = 8 << 20

    def events(
        worker: str, per_batch: int, ahead: int, aim: float = 0
    ) -> Callable[[], tuple[float, str, float]]:
        return lambda: (bench.rate(worker, 2048, per_batch, ahead), "/s", aim)

    return {
        "one by one": events("Looks", 1, 1, 20_000),
        "one by one, ahead": events("Looks", 1, 32),
        "batched": events("Looks", 500, 2, 200_000),
        "batched, columns": events("Columnwise", 500, 2, 200_000),
        "with results": events("Gives", 500, 2),
        "payload": events("Payload", 500, 2),
        "touching": lambda: (bench.rate("Touches", big, 4, 2) * big / 1e9, "GB/s", 3.0),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "workers.py").write_text(WORKERS)
        for name, figure in figures(Bench(Path(folder), arguments.seconds)).items():
            rate, unit, aim = figure()
            results[name] = {"value": rate, "unit": unit, "aim": aim or None}
            against = f"   aim {aim:,.0f} {unit}" if aim else ""
            print(f"{name:20} {rate:12,.1f} {unit:5}{against}", flush=True)
    if arguments.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
