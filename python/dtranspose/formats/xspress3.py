"""Xspress3: spectra of each detector element with the counters of their dead time. Type tag ``xspress``."""

from __future__ import annotations

import pickle
from typing import Any, Optional

import numpy as np

from ..event import StreamData
from ..pickled import load
from .message import Message, pixels, read_json, require

TAG = "xspress"
#: Names of the arrays in the third frame. A ninth one, where there is one, is ``window_counts``, an
#: attribute.
COUNTERS = (
    "ocr",
    "AllEvents",
    "AllGood",
    "ClockTicks",
    "TotalTicks",
    "ResetTicks",
    "event_widths",
    "dtc",
)


class XspressMessage(Message):
    apart = ("data", "meta", "window_counts")

    def to_stream_data(self) -> StreamData:
        frames: list[Any] = [self.header_json().encode()]
        if "data" in self.__dict__:
            frames.append(np.ascontiguousarray(self.__dict__["data"]).tobytes())
        if "meta" in self.__dict__:
            more = [self.__dict__["window_counts"]] if "window_counts" in self.__dict__ else []
            frames.append(pickle.dumps([*self.__dict__["meta"].values(), *more], protocol=4))
        return StreamData(TAG, frames)


class Start(XspressMessage):
    htype: str = "header"
    filename: str


class Image(XspressMessage):
    """data: counts [elements, channels]. meta: counters by name, each [elements]. exptime: in seconds."""

    htype: str = "image"
    frame: int
    shape: list[int]
    type: str
    exptime: Optional[float] = 1
    compression: Optional[str] = "none"
    data: np.ndarray[Any, Any]
    meta: dict[str, Any]


Image._required = tuple(n for n in Image._required if n not in ("data", "meta"))


class End(XspressMessage):
    htype: str = "series_end"


_KINDS: dict[Any, type[XspressMessage]] = {"header": Start, "image": Image, "series_end": End}


def parse(data: StreamData) -> Any:
    """Start, Image or End. The pickle of the counters is read as data."""
    frames = require(data, TAG)
    header = read_json(frames[0])
    kind = _KINDS.get(header.get("htype"))
    if kind is None:
        raise ValueError(f"an Xspress3 message with the unknown htype '{header.get('htype')}'")
    message = kind(**header)
    if isinstance(message, Image):
        if len(frames) != 3:
            raise ValueError(f"an Xspress3 image of {len(frames)} frames, expected 3")
        message.data = pixels(frames[1], message.type, message.shape, f"Xspress3 image {message.frame}")
        counters = load(frames[2])
        message.meta = dict(zip(COUNTERS, counters))
        if len(counters) > len(COUNTERS):
            message.__dict__["window_counts"] = counters[len(COUNTERS)]
    return message
