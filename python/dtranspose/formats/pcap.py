"""PandABox position capture as JSON, a row of columns per event. Type tag ``PCAP``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..event import StreamData
from .message import Message, read_json, require

TAG = "PCAP"


def time_of(text: Any) -> datetime:
    """A time as ISO 8601 writes it, with any number of digits of a second; without a zone it is UTC."""
    if isinstance(text, datetime):
        return text
    text = str(text).strip().replace("Z", "+00:00")
    head, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}"
    return datetime.fromisoformat(text)


class PcapMessage(Message):
    message_id: int
    version: int

    def to_stream_data(self) -> StreamData:
        return StreamData(TAG, [self.header_json().encode()])


class Start(PcapMessage):
    message_type: str = "series-start"
    arm_time: datetime

    def __init__(self, **fields: Any) -> None:
        if "arm_time" in fields:
            fields["arm_time"] = time_of(fields["arm_time"])
        super().__init__(**fields)


class Data(PcapMessage):
    """frame_number: counts rows from 0. Columns by name: ``data["INENC3.VAL.Mean"]``."""

    message_type: str = "data"
    frame_number: int


class End(PcapMessage):
    message_type: str = "series-end"


_KINDS: dict[Any, type[PcapMessage]] = {"series-start": Start, "data": Data, "series-end": End}


def parse(data: StreamData) -> Any:
    """Start, Data or End."""
    frames = require(data, TAG)
    if len(frames) != 1:
        raise ValueError(f"a PCAP message of {len(frames)} frames, expected 1")
    content = read_json(frames[0])
    kind = _KINDS.get(content.get("message_type"))
    if kind is None:
        raise ValueError(f"a PCAP message with the unknown message_type '{content.get('message_type')}'")
    return kind(**content)
