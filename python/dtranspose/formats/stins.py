"""STINS: images over ZeroMQ, a JSON header and pixels. Type tag ``STINS``."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from ..event import StreamData
from .message import Message, pixels, read_json, require

TAG = "STINS"


class StinsMessage(Message):
    msg_number: int

    apart = ("data",)

    def to_stream_data(self) -> StreamData:
        frames: list[Any] = [self.header_json().encode()]
        data = self.__dict__.get("data")
        if data is not None:
            frames.append(np.ascontiguousarray(data).tobytes())
        return StreamData(TAG, frames)


class Start(StinsMessage):
    """filename: where the raw data goes; empty for a live view."""

    htype: str = "header"
    filename: Optional[str]


class Image(StinsMessage):
    """frame: counts from 0. shape: C order. type: of NumPy. data: the pixels, where compression is
    ``none``.
    """

    htype: str = "image"
    frame: int
    shape: list[int]
    type: str
    compression: str
    data: np.ndarray[Any, Any]

    def __init__(self, **fields: Any) -> None:
        if "shape" in fields:
            fields["shape"] = [int(x) for x in fields["shape"]]
        super().__init__(**fields)


Image._required = tuple(n for n in Image._required if n != "data")


class End(StinsMessage):
    htype: str = "series_end"


_KINDS: dict[Any, type[StinsMessage]] = {"header": Start, "image": Image, "series_end": End}


def parse(data: StreamData) -> Any:
    """Start, Image or End. Pixels are a view of the frame; of other compressions than ``none`` there are
    none.

    Several blobs, one for each index of the first axis, are joined.
    """
    frames = require(data, TAG)
    header = read_json(frames[0])
    kind = _KINDS.get(header.get("htype"))
    if kind is None:
        raise ValueError(f"a STINS message with the unknown htype '{header.get('htype')}'")
    message = kind(**header)
    if isinstance(message, Start) and len(frames) > 1:
        message.__dict__.setdefault("metadata", read_json(frames[1]))
    if isinstance(message, Image) and message.compression == "none":
        if len(frames) < 2:
            raise ValueError("a STINS image without pixels")
        blob = frames[1] if len(frames) == 2 else b"".join(bytes(f) for f in frames[1:])
        message.data = pixels(blob, message.type, message.shape, f"STINS image {message.frame}")
    return message
