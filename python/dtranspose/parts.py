"""Runs analysis code of either kind, ours and what was written for dranspose, and catches what it throws."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import logging
import os
import sys
import traceback
import uuid
from types import SimpleNamespace
from typing import Any, Callable, Optional

from .answers import Columns, Result
from .event import Events
from .parameters import Parameters
from .payload import Reducer, Scan, Worker

logger = logging.getLogger("dtranspose")

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_MOST_TEXT = 8000


class Failure:
    """What analysis code threw: ``text`` is the traceback without our own part of it, the error last."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Failure({self.text.splitlines()[-1]!r})"


def current_failure() -> Failure:
    """Of the exception in flight."""
    kind, error, trace = sys.exc_info()
    while (
        trace is not None
        and trace.tb_next is not None
        and trace.tb_frame.f_code.co_filename.startswith(_HERE)
    ):
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")
    except Exception:  # an exception whose text cannot be had
        text = f"{kind.__name__ if kind else 'exception'} without a text"
    if len(text) > _MOST_TEXT:
        text = text[: _MOST_TEXT // 2] + "\n  ...\n" + text[-_MOST_TEXT // 2 :]
    return Failure(text)


def fitted(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """Calls ``function`` with as many of the arguments as it takes, which have these names.

    Those that it takes by position are handed on like that, as far as it declares them; those that it names
    behind ``*`` by name; all others are left out, except where it takes anything.
    """
    try:
        declared = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return function
    by_position = [p for p in declared if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = {p.name for p in declared if p.kind is p.KEYWORD_ONLY}
    any_position = any(p.kind is p.VAR_POSITIONAL for p in declared)
    any_name = any(p.kind is p.VAR_KEYWORD for p in declared)
    if (any_position or len(by_position) >= len(names)) and not by_name & set(names):
        return function
    positions = min(len(by_position), len(names))
    named = [(k, n) for k, n in enumerate(names) if k >= positions and (n in by_name or any_name)]

    def call(*arguments: Any) -> Any:
        return function(*arguments[:positions], **{n: arguments[k] for k, n in named})

    return call


def fitted_by_name(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Calls ``function`` with those of the arguments that it takes by name."""
    try:
        declared = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return function(**arguments)
    if any(p.kind is p.VAR_KEYWORD for p in declared):
        return function(**arguments)
    taken = {p.name for p in declared if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return function(**{n: a for n, a in arguments.items() if n in taken})


def is_ours(cls: type) -> bool:
    """Is it derived from our Worker or Reducer? Anything else is taken for a payload of dranspose."""
    return issubclass(cls, (Worker, Reducer))


def describe_parameters(cls: type) -> list[Any]:
    """What a class says of its parameters; what it throws is logged."""
    describe = getattr(cls, "describe_parameters", None)
    if describe is None:
        return []
    try:
        return list(describe())
    except Exception:
        logger.error("describe_parameters of %s failed:\n%s", cls.__name__, current_failure().text)
        return []


def _state(scan: Scan) -> SimpleNamespace:
    """What payloads of dranspose find as ``state``."""
    try:
        mapping: Optional[uuid.UUID] = uuid.UUID(scan.id)
    except ValueError:
        mapping = None
    return SimpleNamespace(
        name=scan.worker,
        tags=set(scan.tags),
        mapping_uuid=mapping,
        service_uuid=uuid.uuid4(),
        dranspose_version=None,
        mapreduce_version=None,
        parameters_hash=None,
        processed_events=0,
        event_rate=0.0,
        ingesters=[],
        url=None,
    )


#: Is given the answer of an event: None, DEFERRED, a Failure, or what the code returned.
Take = Callable[[Any], None]


def _complete(given: Any, events: int) -> list[Any]:
    """The answers of a batch that were given all at once."""
    answers = given.answers(events) if isinstance(given, Columns) else list(given)
    if len(answers) != events:
        raise ValueError(f"process_events gave {len(answers)} answers for {events} events")
    return answers


class WorkerPart:
    """A worker class at work on one scan.

    mark: where it notes at ``mark[1]`` the place in its batch of the event that it is at.
    """

    ours = True
    mark: Any = memoryview(bytearray(16)).cast("Q")

    def __init__(self, cls: type, scan: Scan, parameters: Parameters, context: dict[str, Any]) -> None:
        self.worker: Any = cls(scan, parameters, context)
        self._by_event = cls.process_events is Worker.process_events  # type: ignore[attr-defined]

    def process(
        self, events: Events, parameters: Parameters, ticks: list[int], take: Take
    ) -> Optional[tuple[Columns, list[bool]]]:
        """Hands the answer of each event to ``take``, in order and before the next event is looked at.

        What an answer holds may change with the next event: ``take`` writes it down at once. Columns are
        returned instead, with whether each event has a row of them. ticks: places of the events for which the costly
        things may be done.
        """
        if self._by_event:
            self._each(events, parameters, ticks, take)
            return None
        total, done = len(events), 0
        while done < total:
            self.mark[1] = done
            rest = events if done == 0 else events[done:]
            tick = bool(ticks) and ticks[-1] >= done
            before, in_turn = done, False
            try:
                given = self.worker.process_events(rest, parameters, tick)
                if isinstance(given, Columns) and done == 0:
                    return given, given.has_row(total)
                if inspect.isgenerator(given):
                    in_turn = True
                    for answer in itertools.islice(given, total - done):
                        take(answer)
                        done += 1
                        self.mark[1] = done
                else:
                    for answer in _complete(given, len(rest)):
                        take(answer)
                        done += 1
                if done < total:
                    raise ValueError(f"process_events gave {done - before} answers for {len(rest)} events")
            except Exception:
                failure = current_failure()
                if not in_turn and done == before and len(rest) > 1:
                    self._one_by_one(rest, parameters, tick, take)
                    return None
                take(failure)
                done += 1
        return None

    def _each(self, events: Events, parameters: Parameters, ticks: list[int], take: Take) -> None:
        process = self.worker.process_event
        mark = self.mark
        for k, event in enumerate(events):
            mark[1] = k
            try:
                answer = process(event, parameters, k in ticks)
            except Exception:
                answer = current_failure()
            take(answer)

    def _one_by_one(self, events: Events, parameters: Parameters, tick: bool, take: Take) -> None:
        first = self.mark[1]
        for k in range(len(events)):
            self.mark[1] = first + k
            try:
                (answer,) = _complete(self.worker.process_events(events[k : k + 1], parameters, tick), 1)
            except Exception:
                answer = current_failure()
            take(answer)
            tick = False

    def tick_interval(self, parameters: Parameters) -> Optional[float]:
        """Seconds between ticks; None to have none."""
        interval = self.worker.tick_interval
        return None if interval is None else float(interval)

    def flush(self) -> Any:
        return self.worker.flush()

    def finish(self, parameters: Parameters) -> Any:
        return self.worker.finish(parameters)


class PayloadWorker(WorkerPart):
    """A worker class written for dranspose."""

    ours = False

    def __init__(self, cls: type, scan: Scan, parameters: Parameters, context: dict[str, Any]) -> None:
        self.worker = fitted_by_name(
            cls, {"parameters": parameters.work_parameters(), "context": context, "state": _state(scan)}
        )
        self._process = fitted(self.worker.process_event, ("event", "parameters", "tick"))

    def process(
        self, events: Events, parameters: Parameters, ticks: list[int], take: Take
    ) -> Optional[tuple[Columns, list[bool]]]:
        from .compat.event import EventData

        work = parameters.work_parameters()
        process = self._process
        mark = self.mark
        for k, event in enumerate(events):
            mark[1] = k
            try:
                answer = process(EventData.of(event), work, k in ticks)
            except Exception:
                answer = current_failure()
            take(answer)
        return None

    def tick_interval(self, parameters: Parameters) -> Optional[float]:
        if not hasattr(self.worker, "get_tick_interval"):
            return None
        try:
            call = fitted(self.worker.get_tick_interval, ("parameters",))
            return float(call(parameters.work_parameters()))
        except Exception:
            logger.error("get_tick_interval failed:\n%s", current_failure().text)
            return None

    def flush(self) -> Any:
        return None

    def finish(self, parameters: Parameters) -> Any:
        if hasattr(self.worker, "finish"):
            fitted(self.worker.finish, ("parameters",))(parameters.work_parameters())
        return None


class ReducerPart:
    """A reducer class at work on one scan."""

    ours = True

    def __init__(self, cls: type, scan: Scan, parameters: Parameters, context: dict[str, Any]) -> None:
        self.reducer: Any = cls(scan, parameters, context)

    def process(self, result: Result, parameters: Parameters) -> None:
        self.reducer.process_result(result, parameters)

    def timer(self, parameters: Parameters) -> Optional[float]:
        """Seconds until the next call; None to be left alone."""
        seconds = self.reducer.timer(parameters)
        return None if seconds is None else max(0.0, float(seconds))

    def finish(self, parameters: Parameters) -> None:
        self.reducer.finish(parameters)

    def published(self) -> Any:
        return getattr(self.reducer, "publish", None)

    def lock(self) -> Any:
        """Held while somebody copies out of what is published."""
        return getattr(self.reducer, "publish_rlock", None) or contextlib.nullcontext()


class PayloadReducer(ReducerPart):
    """A reducer class written for dranspose."""

    ours = False

    def __init__(self, cls: type, scan: Scan, parameters: Parameters, context: dict[str, Any]) -> None:
        self.reducer = fitted_by_name(
            cls, {"parameters": parameters.work_parameters(), "context": context, "state": _state(scan)}
        )
        self._process = fitted(self.reducer.process_result, ("result", "parameters"))
        self._complained = False

    def process(self, result: Result, parameters: Parameters) -> None:
        self._process(result, parameters.work_parameters())

    def timer(self, parameters: Parameters) -> Optional[float]:
        if not hasattr(self.reducer, "timer"):
            return None
        try:
            seconds = fitted(self.reducer.timer, ("parameters",))(parameters.work_parameters())
        except Exception:
            logger.error("timer failed:\n%s", current_failure().text)
            return 1.0
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            if not self._complained:
                logger.warning("timer returned %r, which is no number of seconds: taken for 1", seconds)
            self._complained = True
            return 1.0
        return max(0.0, float(seconds))

    def finish(self, parameters: Parameters) -> None:
        if hasattr(self.reducer, "finish"):
            fitted(self.reducer.finish, ("parameters",))(parameters.work_parameters())


def make_worker(cls: type, scan: Scan, parameters: Parameters, context: dict[str, Any]) -> WorkerPart:
    return (WorkerPart if is_ours(cls) else PayloadWorker)(cls, scan, parameters, context)


def make_reducer(cls: type, scan: Scan, parameters: Parameters, context: dict[str, Any]) -> ReducerPart:
    return (ReducerPart if is_ours(cls) else PayloadReducer)(cls, scan, parameters, context)


def close_class(cls: type, instance: Any, context: dict[str, Any]) -> None:
    """The last call, when the process ends; what it throws is logged."""
    target = instance if instance is not None else cls
    close = getattr(target, "close", None)
    if close is None or (instance is None and not is_ours(cls)):
        return
    try:
        fitted(close, ("context",))(context)
    except Exception:
        logger.error("close failed:\n%s", current_failure().text)
