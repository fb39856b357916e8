"""Names that payloads use as annotations, and the parameters in force."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NewType

from ..parameters import WorkParameter

StreamName = NewType("StreamName", str)
WorkerName = NewType("WorkerName", str)
WorkerTag = NewType("WorkerTag", str)
IngesterName = NewType("IngesterName", str)
ParameterName = NewType("ParameterName", str)
MappingName = NewType("MappingName", str)
HashDigest = NewType("HashDigest", str)
EventNumber = NewType("EventNumber", int)
VirtualConstraint = NewType("VirtualConstraint", int)
GENERIC_WORKER = WorkerTag("generic")


class WorkerState(SimpleNamespace):
    """What a worker finds as ``state``."""


class ReducerState(SimpleNamespace):
    """What a reducer finds as ``state``."""


__all__ = [
    "EventNumber",
    "GENERIC_WORKER",
    "HashDigest",
    "IngesterName",
    "MappingName",
    "ParameterName",
    "ReducerState",
    "StreamName",
    "VirtualConstraint",
    "WorkParameter",
    "WorkerName",
    "WorkerState",
    "WorkerTag",
]
