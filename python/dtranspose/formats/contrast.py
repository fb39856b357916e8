"""Contrast: positions and detectors of each point of a scan, as pickles read as data. Type tag
``contrast``.
"""

from __future__ import annotations

import pickle
from typing import Any

from ..event import StreamData
from ..pickled import load
from .message import Message, require

TAG = "contrast"


class ContrastMessage(Message):
    def to_stream_data(self) -> StreamData:
        return StreamData(TAG, [pickle.dumps(self.as_dict(), protocol=4)])


class Started(ContrastMessage):
    """snapshot: values by name of motor, before the scan."""

    status: str = "started"
    path: str
    scannr: int
    description: str


class Running(ContrastMessage):
    """One point: dt in seconds since the start, and an attribute for each motor and detector."""

    status: str = "running"
    dt: float


class Finished(ContrastMessage):
    status: str = "finished"
    path: str
    scannr: int
    description: str


class Heartbeat(ContrastMessage):
    status: str = "heartbeat"


_KINDS: dict[Any, type[ContrastMessage]] = {
    "started": Started,
    "running": Running,
    "finished": Finished,
    "interrupted": Finished,
    "heartbeat": Heartbeat,
}


def parse(data: StreamData) -> Any:
    """Started, Running, Finished (an interrupted scan too) or Heartbeat."""
    frames = require(data, TAG)
    if len(frames) != 1:
        raise ValueError(f"a Contrast message of {len(frames)} frames, expected 1")
    content = load(frames[0])
    if not isinstance(content, dict):
        raise ValueError("a Contrast message that is no dict")
    kind = _KINDS.get(content.get("status"))
    if kind is None:
        raise ValueError(f"a Contrast message with the unknown status '{content.get('status')}'")
    return kind(**content)
