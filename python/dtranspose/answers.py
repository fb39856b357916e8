"""What a worker answers of an event, and what the reducer is given of it."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np


class Deferred:
    """The answer "held back in my state until ``flush`` gives a result that covers it". Return DEFERRED."""

    def __repr__(self) -> str:
        return "DEFERRED"

    def __reduce__(self) -> str:
        return "DEFERRED"


#: Answer of ``process_event`` for an event that a later ``flush`` covers.
DEFERRED = Deferred()


class Columns:
    """Results of many events at once, one array per name, whose first axis is the event.

    ``process_events`` may return it in place of a list: much cheaper than a dict for each event. The result
    of an event is the map of its row of each array. There is a row for every event of the batch; or, after
    ``at(places)``, for those at these places, in rising order, and the others have none.
    """

    __slots__ = ("arrays", "rows", "places")

    def __init__(self, **arrays: Any) -> None:
        self.arrays = {name: np.asarray(a) for name, a in arrays.items()}
        lengths = {name: len(a) if a.ndim else -1 for name, a in self.arrays.items()}
        if not lengths or len(set(lengths.values())) > 1 or -1 in lengths.values():
            raise ValueError(f"columns need one row per event each; here are {lengths}")
        self.rows = next(iter(lengths.values()))
        self.places: Optional[np.ndarray[Any, Any]] = None

    def at(self, places: Any) -> Columns:
        """The same rows, for the events at these places of the batch (``events.where``)."""
        chosen = np.asarray(places)
        if chosen.shape != (self.rows,) or (np.diff(chosen) <= 0).any() or (chosen < 0).any():
            raise ValueError(
                f"{self.rows} rows need as many places, in rising order; here are {chosen.tolist()}"
            )
        self.places = chosen
        return self

    def has_row(self, events: int) -> list[bool]:
        """For each event of a batch: does it have a row? Raises ValueError where rows and events do not
        fit.
        """
        if self.places is None:
            if self.rows != events:
                raise ValueError(f"process_events gave {self.rows} rows for {events} events")
            return [True] * events
        if self.rows and self.places[-1] >= events:
            raise ValueError(f"process_events gave a row for place {self.places[-1]} of {events} events")
        there = np.zeros(events, np.bool_)
        there[self.places] = True
        answer: list[bool] = there.tolist()
        return answer

    def answers(self, events: int) -> list[Any]:
        """The result of each event on its own, None for those without a row."""
        rows = iter(range(self.rows))
        return [self.row(next(rows)) if there else None for there in self.has_row(events)]

    def row(self, k: int) -> dict[str, Any]:
        return {name: a[k] for name, a in self.arrays.items()}


class Result:
    """A result on its way into the fold.

    event_number: the first event that it covers; -1 for what ``finish`` of a worker returned.
    events: how many events it covers, 1 except for results of ``flush``.
    payload, content: what the worker returned.
    """

    __slots__ = ("event_number", "events", "worker", "parameters_hash", "payload")

    def __init__(
        self,
        event_number: int,
        payload: Any,
        worker: str = "",
        parameters_hash: Optional[str] = None,
        events: int = 1,
    ) -> None:
        self.event_number = event_number
        self.events = events
        self.worker = worker
        self.parameters_hash = parameters_hash
        self.payload = payload

    @property
    def content(self) -> Any:
        return self.payload

    def __repr__(self) -> str:
        return (
            f"event_number={self.event_number} worker={self.worker!r} "
            f"parameters_hash={self.parameters_hash!r} payload={self.payload!r}"
        )
