"""LeCroy oscilloscopes: traces of several channels per event. Type tag ``lecroy_9fwdWp6Rq7``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..event import StreamData
from ..pickled import load
from .message import Message, pixels, read_json, require

TAG = "lecroy_9fwdWp6Rq7"
PREPARE, START, SEQUENCE_END, STOP = range(4)


class LecroyMessage(Message):
    frame: int

    def to_stream_data(self) -> StreamData:
        return StreamData(TAG, [self.header_json().encode()])


class Prepare(LecroyMessage):
    htype: str = "msg"
    what: int = PREPARE


class SequenceStart(LecroyMessage):
    htype: str = "msg"
    what: int = START
    ntriggers: int
    seqno: int
    channels: list[int]


class SequenceEnd(LecroyMessage):
    htype: str = "msg"
    what: int = SEQUENCE_END


class Stop(LecroyMessage):
    what: int = STOP
    frames: int


class Traces(LecroyMessage):
    """The header of the traces of one channel: ch, ts (s since 1970), shape [traces, samples], axis in
    seconds.
    """

    htype: str = "traces"
    ch: int
    ts: float
    shape: list[int]
    dtype: str
    horiz_offset: float
    horiz_interval: float


class Sequence(SequenceStart):
    """One event: meta (a Traces per channel), data (arrays [traces, samples]), timestamps (s since 1970)."""

    meta: list[Any] = []
    data: list[Any] = []
    timestamps: list[Any] = []

    def times(self, k: int) -> np.ndarray[Any, Any]:
        """The time axis of channel k of ``channels``, in seconds."""
        header = self.meta[k]
        axis: np.ndarray[Any, Any] = header.horiz_offset + header.horiz_interval * np.arange(header.shape[-1])
        return axis


def parse(data: StreamData) -> Any:
    """Prepare, Sequence or Stop."""
    frames = require(data, TAG)
    header = read_json(frames[0])
    what = header.get("what")
    if what == PREPARE:
        return Prepare(**header)
    if what == STOP:
        return Stop(**header)
    if what != START:
        raise ValueError(f"a LeCroy event that begins with what={what}")
    message = Sequence(**header, meta=[], data=[], timestamps=[])
    channels = (len(frames) - 1) // 3
    if channels < len(message.channels):
        raise ValueError(f"a LeCroy event of {len(frames)} frames for {len(message.channels)} channels")
    for k in range(1, 1 + 3 * len(message.channels), 3):
        traces = Traces(**read_json(frames[k]))
        message.meta.append(traces)
        message.data.append(pixels(frames[k + 1], traces.dtype, traces.shape, f"LeCroy channel {traces.ch}"))
        message.timestamps.append(load(frames[k + 2]))
    return message
