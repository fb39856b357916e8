"""What analysis code derives from: a worker that maps events, a reducer that folds results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional, Union

from .answers import Columns, Result
from .event import Event, Events
from .parameters import Parameter, Parameters


class Scan:
    """What is known of a scan when its workers and its reducer are made.

    id: the text that names it. generation: rises when the analysis is reloaded in its midst.
    streams: their names. events: how many there will be, 0 where nobody knows.
    worker: name of the worker, or ``reducer``. tags: those of the worker.
    facts: what the program says of the trigger map.
    """

    def __init__(
        self,
        id: str = "",  # noqa: A002
        streams: Iterable[str] = (),
        events: int = 0,
        worker: str = "",
        tags: Iterable[str] = ("generic",),
        generation: int = 1,
        facts: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.id = id
        self.streams = list(streams)
        self.events = events
        self.worker = worker
        self.tags = list(tags)
        self.generation = generation
        self.facts = dict(facts or {})

    def __repr__(self) -> str:
        return f"Scan(id={self.id!r}, streams={self.streams}, events={self.events}, worker={self.worker!r})"


class ResultDescription:
    """What output files declare before the first event.

    dtype: a name of NumPy's. shape: of one event, or of the scan. per_scan: an entry of the reducer's
    published tree, written at the end; otherwise an entry of the dict that ``process_event`` returned, a row per event.
    axes: names, one per dimension of shape.
    """

    def __init__(
        self,
        name: str,
        dtype: str = "float64",
        shape: Iterable[int] = (),
        per_scan: bool = False,
        unit: str = "",
        axes: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = [int(x) for x in shape]
        self.per_scan = per_scan
        self.unit = unit
        self.axes = list(axes)


class Described:
    """What worker and reducer have in common. All of it may be left out."""

    @classmethod
    def describe_parameters(cls) -> Iterable[Parameter]:
        return []

    @classmethod
    def describe_results(cls, parameters: Parameters) -> Iterable[ResultDescription]:
        """Raise ValueError, naming the parameter, when one of them cannot be used: the scan is then
        refused.
        """
        return []

    def __init__(self, scan: Scan, parameters: Parameters, context: dict[str, Any]) -> None:
        """Once for each scan. ``context`` lives as long as the process, over scans."""
        self.scan = scan
        self.context = context

    @classmethod
    def close(cls, context: dict[str, Any]) -> None:
        """When the process ends."""


class Worker(Described):
    """Maps events. Each worker process has one of its own and calls it from one thread."""

    #: Seconds between ticks, over all workers of a scan; None: no ticks.
    tick_interval: Optional[float] = 1.0

    def process_event(self, event: Event, parameters: Parameters, tick: bool) -> Any:
        """Answers None (nothing to fold), DEFERRED, or a result: best a dict with texts for keys.

        An exception ends this event as failed, with its traceback.
        """
        raise NotImplementedError("a worker needs process_event or process_events")

    def process_events(
        self, events: Events, parameters: Parameters, tick: bool
    ) -> Union[Iterable[Any], Columns]:
        """One answer for each event, in order: a list, a generator, or Columns. By default process_event
        for each.

        When it raises, the answers that a generator has given stand, the event after them fails, and it is
        called again for the rest. A list was not given then: it is called again for each event alone.
        """
        return (self.process_event(event, parameters, tick and k == 0) for k, event in enumerate(events))

    def flush(self) -> Any:
        """A result that covers all events deferred so far; None leaves them empty."""
        return None

    def finish(self, parameters: Parameters) -> Any:
        """At the end of the scan. What it returns, unless None, is folded and covers no event."""
        return None


class Reducer(Described):
    """Folds results, each once and in any order, in one thread."""

    #: The tree that viewers read and the output file holds; ``name_attrs`` are the attributes of ``name``.
    publish: dict[str, Any]

    def __init__(self, scan: Scan, parameters: Parameters, context: dict[str, Any]) -> None:
        super().__init__(scan, parameters, context)
        self.publish = {}

    def process_result(self, result: Result, parameters: Parameters) -> None:
        """Folds one result. Raise before anything is changed: the events of the result then fail."""

    def timer(self, parameters: Parameters) -> Optional[float]:
        """Called every so often; returns the seconds until the next call, None to be left alone."""
        return None

    def finish(self, parameters: Parameters) -> None:
        """At the end of the scan, after the last result: files are closed here."""
