"""Sardana's records: one per point of a scan. Type tag ``sardana``."""

from __future__ import annotations

from typing import Any

from ..event import StreamData
from .message import Message, read_json, require

TAG = "sardana"


class SardanaMessage(Message):
    def to_stream_data(self) -> StreamData:
        return StreamData(TAG, [self.header_json().encode()])


class DataDescription(SardanaMessage):
    type: str = "DataDescription"
    serialno: int
    scandir: str
    title: str


class RecordData(SardanaMessage):
    """timestamp: s since the start. point_nb, where it is there, counts points; one attribute per column."""

    type: str = "RecordData"
    timestamp: float


class RecordEnd(SardanaMessage):
    type: str = "RecordEnd"


def parse(data: StreamData) -> Any:
    """DataDescription, RecordData or RecordEnd."""
    frames = require(data, TAG)
    content = read_json(frames[0])
    named = {"DataDescription": DataDescription, "RecordData": RecordData, "RecordEnd": RecordEnd}
    kind = named.get(content.get("type", ""))
    if kind is None:
        kind = (
            DataDescription if "serialno" in content else RecordData if "timestamp" in content else RecordEnd
        )
    return kind(**content)
