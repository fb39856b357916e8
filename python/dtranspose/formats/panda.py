"""PandABox over TCP: text rows whose columns the header names. Type tag ``PCAP_RAW``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Optional

from ..event import StreamData
from .message import Message, require
from .pcap import time_of

TAG = "PCAP_RAW"


class Field(Message):
    """A column: name with the kind of capture (``INENC1.VAL.Mean``), type as in the header, and in a row
    the value.
    """

    name: str
    type: str
    value: Any = None

    def parse(self, text: str) -> Field:
        value: Any = int(text, 0) if self.type in ("uint32", "int32", "int64") else float(text)
        return Field(name=self.name, type=self.type, value=value)


class Start(Message):
    arm_time: datetime

    def to_stream_data(self, fields: Any = ()) -> StreamData:
        lines = [
            f"arm_time: {self.arm_time.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}",
            "missed: 0",
            "process: Scaled",
            "format: ASCII",
            "fields:",
        ]
        for field in fields:
            name, _, capture = field.name.rpartition(".")
            lines.append(f" {name} {field.type} {capture}")
        return StreamData(TAG, ["\n".join(lines) + "\n"])


class Values(Message):
    """fields: columns by name, each with its value."""

    fields: dict[str, Field] = {}

    def __init__(self, **given: Any) -> None:
        super().__init__(fields=dict(given.get("fields", {})))

    def __getitem__(self, name: str) -> Any:
        return self.fields[name].value

    def to_stream_data(self) -> StreamData:
        return StreamData(TAG, [" " + " ".join(str(f.value) for f in self.fields.values()) + "\n"])


class End(Message):
    def to_stream_data(self) -> StreamData:
        return StreamData(TAG, ["END 0 Disarmed\n"])


class Parser:
    """Knows the columns from the header on: give it the events of a stream in their order."""

    def __init__(self) -> None:
        self.arm_time: Optional[datetime] = None
        self.fields: list[Field] = []

    def parse(self, data: StreamData) -> Any:
        """Start, Values or End. Raises ValueError for a row before any header, or of another number of
        columns.
        """
        text = str(require(data, TAG)[0], "utf-8", "replace")
        if text.startswith("arm_time:"):
            return self._start(text)
        if text.startswith("END"):
            return End()
        if self.arm_time is None:
            raise ValueError("a row of a PandABox before its header")
        texts = text.split()
        if len(texts) != len(self.fields):
            raise ValueError(f"a row of {len(texts)} columns, but the header names {len(self.fields)}")
        return Values(fields={f.name: f.parse(t) for f, t in zip(self.fields, texts)})

    def _start(self, text: str) -> Start:
        self.fields = []
        for line in text.split("\n"):
            if line.startswith("arm_time:"):
                self.arm_time = time_of(line.partition(":")[2])
            elif line.startswith(" "):
                words = line.split()
                self.fields.append(Field(name=f"{words[0]}.{words[2]}", type=words[1]))
        assert self.arm_time is not None
        return Start(arm_time=self.arm_time)
