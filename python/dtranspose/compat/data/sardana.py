"""Sardana."""

from typing import Union

from ...formats.sardana import DataDescription as SardanaDataDescription
from ...formats.sardana import RecordData as SardanaRecordData
from ...formats.sardana import RecordEnd as SardanaRecordEnd

SardanaPacket = Union[SardanaDataDescription, SardanaRecordData, SardanaRecordEnd]

__all__ = [
    "SardanaDataDescription",
    "SardanaRecordData",
    "SardanaRecordEnd",
    "SardanaPacket",
]
