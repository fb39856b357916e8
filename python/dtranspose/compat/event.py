"""Events, messages and results as payloads of dranspose know them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Optional

from ..answers import Result as ResultData
from ..event import Event
from ..event import StreamData as _StreamData

__all__ = ["EventData", "InternalWorkerMessage", "ResultData", "StreamData"]


class Frame(bytes):
    """The bytes of a frame, which also answers as a frame of ZeroMQ does."""

    @property
    def bytes(self) -> Frame:
        return self

    @property
    def buffer(self) -> memoryview:
        return memoryview(self)


class StreamData(_StreamData):
    """Stream data whose frames are bytes: copies, made when they are asked for."""

    __slots__ = ("_copies", "_views")

    def __init__(self, typ: str = "", frames: Sequence[Any] = (), length: Optional[int] = None) -> None:
        super().__init__(typ, frames)
        self._copies: Optional[list[Any]] = None
        self._views: Optional[_StreamData] = None

    @classmethod
    def of(cls, data: _StreamData) -> StreamData:
        made = cls.__new__(cls)
        made.type = data.type
        made._source = data._source
        made._first = data._first
        made._count = data._count
        made._frames = data._frames
        made._array = data._array
        made._copies = None
        made._views = data
        return made

    @property
    def views(self) -> list[memoryview]:
        """The frames without copies, for parsers."""
        return _StreamData.frames.__get__(self)  # type: ignore[no-any-return]

    @property
    def frames(self) -> list[Any]:
        if self._copies is None:
            self._copies = [Frame(view) for view in self.views]
        return self._copies

    def get_bytes(self) -> StreamData:
        return StreamData(self.type, [bytes(f) for f in self.frames])

    def __repr__(self) -> str:
        return (
            f"StreamData(typ={self.type!r}, frames={[bytes(f) for f in self.frames]!r}, length={self._count})"
        )


class EventData(Event):
    """An event whose streams are those above."""

    __slots__ = ("_original",)

    def __init__(self, event_number: int, streams: Optional[dict[str, Any]] = None) -> None:
        super().__init__(event_number, dict(streams or {}))
        self._original: Optional[Event] = None

    @classmethod
    def of(cls, event: Event) -> EventData:
        made = cls.__new__(cls)
        made.number = event.number
        made._source = event._source
        made._first = event._first
        made._count = event._count
        made._missing = event._missing
        made._streams = None
        made._original = event
        return made

    @property
    def streams(self) -> dict[str, Any]:
        if self._streams is None:
            original = self._original
            given = original.streams if original is not None else {}
            self._streams = {name: StreamData.of(data) for name, data in given.items()}
        return self._streams

    @classmethod
    def from_internals(cls, msgs: Sequence[InternalWorkerMessage]) -> EventData:
        """Joins what several ingesters gave to one event."""
        numbers = {m.event_number for m in msgs}
        if len(numbers) != 1:
            raise ValueError(f"messages of different events cannot be joined: {sorted(numbers)}")
        streams: dict[str, Any] = {}
        for message in msgs:
            twice = streams.keys() & message.streams.keys()
            if twice:
                raise ValueError(f"event {message.event_number} has stream {sorted(twice)} twice")
            streams.update(message.streams)
        return cls(numbers.pop(), streams)

    def __repr__(self) -> str:
        return f"event_number={self.number} streams={self.streams!r}"


class InternalWorkerMessage:
    """What one ingester gives to one event; sources of one's own yield it."""

    def __init__(
        self,
        event_number: int,
        streams: Optional[dict[str, Any]] = None,
        created_at: Optional[datetime] = None,
    ) -> None:
        self.event_number = event_number
        self.streams = dict(streams or {})
        self.created_at = created_at or datetime.now(timezone.utc)

    def get_all_frames(self) -> list[Any]:
        return [frame for stream in self.streams.values() for frame in stream.frames]

    def __repr__(self) -> str:
        return f"InternalWorkerMessage(event_number={self.event_number}, streams={self.streams!r})"
