"""Analysis code in Python for dtranspose: what it derives from, what it is given, and how to try it.

import dtranspose

class MyWorker(dtranspose.Worker):
    def process_event(self, event, parameters, tick):
        image = event.image("pilatus")
        return None if image is None else {"mean": float(image.mean())}
"""

from __future__ import annotations

__version__ = "0.1.0"

from .answers import DEFERRED, Columns, Deferred, Result
from .event import Event, Events, StreamData
from .growing import GrowingArray
from .parameters import (
    BinaryParameter,
    BoolParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Parameters,
    StrParameter,
)
from .payload import Reducer, ResultDescription, Scan, Worker
from .recording import read_events
from .replaying import Outcome, replay

__all__ = [
    "BinaryParameter",
    "BoolParameter",
    "Columns",
    "DEFERRED",
    "Deferred",
    "Event",
    "Events",
    "FloatParameter",
    "GrowingArray",
    "IntParameter",
    "Outcome",
    "Parameter",
    "Parameters",
    "Reducer",
    "Result",
    "ResultDescription",
    "Scan",
    "StrParameter",
    "StreamData",
    "Worker",
    "__version__",
    "read_events",
    "replay",
]
