"""Runs analysis code on recordings, with no server: in a notebook, in a test, or from the command line.

outcome = dtranspose.replay("dump.cbors", worker=MyWorker, reducer=MyReducer, parameters={"rows": 5})
outcome.published, outcome.results, outcome.failed

python3 -m dtranspose replay dump.cbors --worker src.worker:MyWorker --reducer src.reducer:MyReducer
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import pickle
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, Union

from . import compat
from .answers import DEFERRED, Columns, Result
from .event import Event, Events
from .loading import Loader
from .parameters import Parameters
from .parts import (
    Failure,
    ReducerPart,
    WorkerPart,
    close_class,
    current_failure,
    describe_parameters,
    make_reducer,
    make_worker,
)
from .payload import Scan
from .recording import merge, read_dump
from .value import NotAValue, decode, encode

logger = logging.getLogger("dtranspose")
PathOrSource = Union[str, "os.PathLike[str]", Iterable[Any]]


class Outcome:
    """What came of a replay.

    published: the reducer's tree at the end. results: the Result objects in the order in which they were
    folded.
    folded, empty: how many events. failed: the traceback by event number. complaints: what else went wrong.
    worker, reducer: the instances, the workers as a list.
    """

    def __init__(self) -> None:
        self.published: Any = None
        self.results: list[Result] = []
        self.folded = 0
        self.empty = 0
        self.failed: dict[int, str] = {}
        self.complaints: list[str] = []
        self.workers: list[Any] = []
        self.reducer: Any = None
        self.parameters = Parameters()

    @property
    def events(self) -> int:
        return self.folded + self.empty + len(self.failed)

    def __repr__(self) -> str:
        return f"Outcome({self.folded} folded, {self.empty} empty, {len(self.failed)} failed)"


def replay(
    recording: Union[PathOrSource, Sequence[PathOrSource]],
    worker: Any,
    reducer: Any = None,
    parameters: Optional[Mapping[str, Any]] = None,
    workers: int = 2,
    batch: int = 16,
    seed: int = 0,
    broadcast_first: bool = True,
    strict: bool = False,
) -> Outcome:
    """Takes every event of a recording through workers and a reducer, as the program does.

    recording: a dump, several of one scan, or sources: iterables of things with ``event_number`` and
    ``streams``.
    worker, reducer: classes, or their names ``module:Class``. parameters: values by name, or their written
    forms as
    bytes. workers: how many; the first event goes to all of them, the others each to one. batch: events per
    call of ``process_events``. strict: raise when an event fails, with its traceback, rather than go on.
    """
    given = (
        [recording]
        if isinstance(recording, (str, os.PathLike)) or not isinstance(recording, Sequence)
        else recording
    )
    sources = [read_dump(s) if isinstance(s, (str, os.PathLike)) else s for s in given]
    compat.install()
    loader = Loader() if isinstance(worker, str) or isinstance(reducer, str) else None
    if isinstance(worker, str) and loader is not None:
        worker = loader.load(worker)
    if isinstance(reducer, str) and loader is not None:
        reducer = loader.load(reducer)
    run = _Run(worker, reducer, parameters or {}, workers, seed, strict)
    run.all(merge(sources), batch, broadcast_first)
    return run.outcome


class _Run:
    def __init__(
        self,
        worker: type,
        reducer: Optional[type],
        given: Mapping[str, Any],
        workers: int,
        seed: int,
        strict: bool,
    ) -> None:
        described = {d.name: d for cls in (worker, reducer) if cls for d in describe_parameters(cls)}
        self.parameters = Parameters(
            described.values(), {n: _written(described.get(n), x) for n, x in given.items()}
        )
        self.outcome = Outcome()
        self.outcome.parameters = self.parameters
        self._strict = strict
        self._random = random.Random(seed)
        self._contexts: list[dict[str, Any]] = [{} for _ in range(workers + 1)]
        self._names = [f"replay-worker-{k}" for k in range(workers)]
        self._classes = (worker, reducer)
        self._workers: list[WorkerPart] = [
            make_worker(worker, Scan(worker=name), self.parameters, self._contexts[k])
            for k, name in enumerate(self._names)
        ]
        self._deferred: list[list[int]] = [[] for _ in range(workers)]
        self._reducer: Optional[ReducerPart] = None
        if reducer is not None:
            self._reducer = make_reducer(reducer, Scan(worker="reducer"), self.parameters, self._contexts[-1])
        self._next_tick = 0.0
        self._next_timer = 0.0 if self._reducer is not None else float("inf")
        self._ended: dict[int, int] = {}

    def all(self, events: Iterable[Event], batch: int, broadcast_first: bool) -> None:
        waiting: list[list[Event]] = [[] for _ in self._workers]
        first = broadcast_first
        for event in events:
            chosen = range(len(waiting)) if first else [self._random.randrange(len(waiting))]
            for k in chosen:
                waiting[k].append(event)
                if len(waiting[k]) >= batch or first:
                    self._process(k, waiting[k])
                    waiting[k] = []
            first = False
        for k, left in enumerate(waiting):
            self._process(k, left)
        for k in range(len(self._workers)):
            self._flush(k)
        for k, part in enumerate(self._workers):
            self._finish_worker(k, part)
        self._finish_reducer()

    # -- workers

    def _process(self, k: int, events: list[Event]) -> None:
        if not events:
            return
        part = self._workers[k]
        numbers = iter([event.number for event in events])
        given = part.process(
            Events(events), self.parameters, self._ticks(part), lambda x: self._take(k, next(numbers), x)
        )
        if given is not None:
            for number, answer in zip(numbers, given[0].answers(len(events))):
                self._take(k, number, answer)
        self._call_timer()

    def _ticks(self, part: WorkerPart) -> list[int]:
        """The first event of a batch has a tick when the interval is over."""
        now = time.monotonic()
        if now < self._next_tick:
            return []
        interval = part.tick_interval(self.parameters)
        if interval is None:
            return []
        self._next_tick = now + interval
        return [0]

    def _take(self, k: int, number: int, answer: Any) -> None:
        if answer is DEFERRED:
            self._deferred[k].append(number)
        elif isinstance(answer, Failure):
            self._fail([number], answer.text)
        elif answer is None:
            self._end([number], 1)
        else:
            self._fold(k, [number], answer)

    def _flush(self, k: int) -> None:
        numbers, self._deferred[k] = self._deferred[k], []
        if not numbers:
            return
        try:
            content = self._workers[k].flush()
        except Exception:
            self._fail(numbers, current_failure().text)
            return
        if content is None:
            self._end(numbers, 1)
        else:
            self._fold(k, numbers, content)

    def _finish_worker(self, k: int, part: WorkerPart) -> None:
        try:
            content = part.finish(self.parameters)
        except Exception:
            self._complain("finish of a worker failed", current_failure().text)
            return
        if content is not None:
            self._fold(k, [], content)

    # -- the reducer

    def _fold(self, k: int, numbers: list[int], content: Any) -> None:
        try:
            content = _carried(content, self._workers[k].ours)
            result = Result(
                numbers[0] if numbers else -1,
                content,
                self._names[k],
                self.parameters.hash,
                max(1, len(numbers)),
            )
            if self._reducer is not None:
                self._reducer.process(result, self.parameters)
        except Exception:
            self._fail(numbers, current_failure().text)
            return
        self.outcome.results.append(result)
        self._end(numbers, 2)

    def _call_timer(self) -> None:
        if self._reducer is None or time.monotonic() < self._next_timer:
            return
        try:
            seconds = self._reducer.timer(self.parameters)
        except Exception:
            self._complain("timer failed", current_failure().text)
            seconds = 1.0
        self._next_timer = float("inf") if seconds is None else time.monotonic() + seconds

    def _finish_reducer(self) -> None:
        for k, part in enumerate(self._workers):
            close_class(self._classes[0], part.worker, self._contexts[k])
        self.outcome.workers = [part.worker for part in self._workers]
        fates = list(self._ended.values())
        self.outcome.folded = fates.count(2)
        self.outcome.empty = fates.count(1)
        if self._reducer is None or self._classes[1] is None:
            return
        try:
            self._reducer.finish(self.parameters)
        except Exception:
            self._complain("finish of the reducer failed", current_failure().text)
        with self._reducer.lock():
            self.outcome.published = self._reducer.published()
        self.outcome.reducer = self._reducer.reducer
        close_class(self._classes[1], self._reducer.reducer, self._contexts[-1])

    # -- fates

    def _end(self, numbers: list[int], fate: int) -> None:
        for number in numbers:
            if number not in self.outcome.failed:
                self._ended[number] = max(fate, self._ended.get(number, 0))

    def _fail(self, numbers: list[int], text: str) -> None:
        self._complain(f"event {numbers[0]} failed" if numbers else "a result failed", text)
        for number in numbers:
            self.outcome.failed[number] = text
            self._ended.pop(number, None)

    def _complain(self, what: str, text: str) -> None:
        if self._strict:
            raise RuntimeError(f"{what}:\n{text}")
        self.outcome.complaints.append(f"{what}:\n{text}")
        logger.error("%s:\n%s", what, text)


def _carried(content: Any, ours: bool) -> Any:
    """What arrives at the reducer of a result: the same bytes as live, so what cannot travel fails here
    too.
    """
    if isinstance(content, Columns):
        raise TypeError("Columns answer process_events only")
    if ours:
        try:
            return decode(encode(content))
        except NotAValue:
            pass
    return pickle.loads(pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL))


def _written(description: Any, value: Any) -> bytes:
    """The written form of a parameter that was given as a value, or in its written form as bytes."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if description is not None:
        return bytes(description.to_bytes(value))
    return str(value).encode()


def read_parameters(path: Any) -> dict[str, bytes]:
    """A parameter file of the form ``[{"name": "rows", "data": "5"}]``, JSON or CBOR."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        listed = json.loads(data)
    except ValueError:
        from .cbor import Reader

        listed = Reader(data).item()
    if not isinstance(listed, list) or not all(isinstance(p, dict) and "name" in p for p in listed):
        raise ValueError(f"{path}: no list of parameters; an example is " + '[{"name": "rows", "data": "5"}]')
    return {p["name"]: p["data"].encode() if isinstance(p["data"], str) else bytes(p["data"]) for p in listed}


def _source(name: str) -> Sequence[Iterable[Any]]:
    """The generators of a source class of one's own."""
    found: Any = Loader().load(name)
    generators: Sequence[Iterable[Any]] = found().get_source_generators()
    return generators


def main(given: Optional[list[str]] = None) -> int:
    """Returns 0 only when nothing has failed."""
    parser = argparse.ArgumentParser(
        "python3 -m dtranspose replay", description="Runs analysis code on recordings."
    )
    parser.add_argument("recording", nargs="*", help="dumps of one scan (.cbors, .cbors.gz)")
    parser.add_argument("-w", "--worker", required=True, metavar="MODULE:CLASS")
    parser.add_argument("-r", "--reducer", metavar="MODULE:CLASS")
    parser.add_argument(
        "-s", "--source", metavar="MODULE:CLASS", help="a source of events in place of recordings"
    )
    parser.add_argument("-p", "--parameters", metavar="FILE", help='JSON: [{"name": "rows", "data": "5"}]')
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-v", "--verbose", action="store_true", help="log records below info, too")
    arguments = parser.parse_args(given)
    if bool(arguments.recording) == bool(arguments.source):
        parser.error("name recordings or a source")
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.INFO, stream=sys.stderr)
    parameters: dict[str, Any] = read_parameters(arguments.parameters) if arguments.parameters else {}
    for pair in arguments.param:
        name, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"--param {pair}: NAME=VALUE is expected")
        parameters[name] = value.encode()
    compat.install()
    try:
        recording = list(arguments.recording) or _source(arguments.source)
        outcome = replay(
            recording, arguments.worker, arguments.reducer, parameters, workers=max(1, arguments.workers)
        )
    except (OSError, ValueError, ImportError) as e:
        print(e, file=sys.stderr)
        return 1
    fates = f"{outcome.folded} folded, {outcome.empty} empty, {len(outcome.failed)} failed"
    print(f"{outcome.events} events: {fates}")
    return 1 if outcome.complaints else 0
