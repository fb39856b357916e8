"""AlbaEM electrometer: currents in ampere. Type tag ``albaem``."""

from __future__ import annotations

from typing import Any

from ..event import StreamData
from .message import Message, read_json, require

TAG = "albaem"


class AlbaemMessage(Message):
    message_id: int
    version: int

    def to_stream_data(self) -> StreamData:
        return StreamData(TAG, [self.header_json().encode()])


class Start(AlbaemMessage):
    message_type: str = "series-start"


class Data(AlbaemMessage):
    """frame_number: counts from 0. timestamp: s. acquisition_timestamp: ns since 1970. channel1 ..: A."""

    message_type: str = "data"
    frame_number: int
    timestamp: float
    acquisition_timestamp: int

    def channels(self) -> dict[str, float]:
        return {n: x for n, x in self.__dict__.items() if n.startswith("channel")}


class End(AlbaemMessage):
    message_type: str = "series-end"


_KINDS: dict[Any, type[AlbaemMessage]] = {"series-start": Start, "data": Data, "series-end": End}


def parse(data: StreamData) -> Any:
    """Start, Data or End."""
    frames = require(data, TAG)
    content = read_json(frames[0])
    kind = _KINDS.get(content.get("message_type"))
    if kind is None:
        raise ValueError(f"an AlbaEM message with the unknown message_type '{content.get('message_type')}'")
    return kind(**content)
