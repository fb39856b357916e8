"""Recordings: what ingesters have dumped, event by event, and raw captures of messages."""

from __future__ import annotations

import gzip
import mmap
import os
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Optional, Union

from .cbor import CutOff, Reader, Tag
from .event import Event, StreamData
from .formats.pcap import time_of

_SELF_DESCRIBED, _EVENT, _STREAM = 55799, 42877, 42878
Path = Union[str, "os.PathLike[str]"]


class RecordedPart:
    """What one ingester recorded of one event."""

    __slots__ = ("event_number", "streams", "created_at")

    def __init__(
        self, event_number: int, streams: dict[str, StreamData], created_at: Optional[datetime]
    ) -> None:
        self.event_number = event_number
        self.streams = streams
        self.created_at = created_at

    def __repr__(self) -> str:
        return f"RecordedPart(event_number={self.event_number}, streams={self.streams!r})"


def _open(path: Path) -> memoryview:
    name = os.fspath(path)
    if name.removesuffix(".gz").endswith(".pkls"):
        raise ValueError(f"{name}: pickled events are programs, not data; record them as .cbors")
    with open(name, "rb") as file:
        if name.endswith(".gz"):
            return memoryview(gzip.decompress(file.read()))
        if os.fstat(file.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _items(path: Path) -> Iterator[Any]:
    reader = Reader(_open(path))
    while reader.more():
        begin = reader.at
        try:
            yield reader.item()
        except CutOff:
            warnings.warn(f"{os.fspath(path)}: the last item, from byte {begin} on, is cut off", stacklevel=3)
            return
        except ValueError as e:
            raise ValueError(f"{os.fspath(path)}: {e}") from None


def read_dump(path: Path) -> Iterator[RecordedPart]:
    """What ingesters dumped (``.cbors``, or ``.cbors.gz``), item by item in the order of the file.

    Frames are views of the mapped file. An item that is cut off ends it with a warning.
    """
    for item in _items(path):
        while isinstance(item, Tag) and item.number == _SELF_DESCRIBED:
            item = item.content
        if isinstance(item, list) and item and all(isinstance(x, memoryview) for x in item):
            raise ValueError(
                f"{os.fspath(path)} is a capture of raw messages, without event numbers: "
                "see dtranspose.recording.read_capture"
            )
        if not isinstance(item, Tag) or item.number != _EVENT:
            raise ValueError(f"{os.fspath(path)} is no dump of events")
        yield _part(item.content, os.fspath(path))


def _part(content: Any, name: str) -> RecordedPart:
    if not isinstance(content, list) or len(content) not in (2, 3) or not isinstance(content[0], int):
        raise ValueError(f"{name}: an event that is no array of number and streams")
    number, streams = content[0], content[1]
    if not isinstance(streams, dict):
        raise ValueError(f"{name}: event {number} has no map of streams")
    return RecordedPart(
        number,
        {
            stream: _stream(data, f"{name}: event {number}, stream '{stream}'")
            for stream, data in streams.items()
        },
        _time(content[2]) if len(content) == 3 else None,
    )


def _stream(data: Any, what: str) -> StreamData:
    if not isinstance(data, Tag) or data.number != _STREAM:
        raise ValueError(f"{what} is no stream data")
    content = data.content
    if not isinstance(content, list) or len(content) != 2 or not isinstance(content[1], list):
        raise ValueError(f"{what} has no type and frames")
    return StreamData(str(content[0]), content[1])


def _time(x: Any) -> Optional[datetime]:
    if isinstance(x, Tag):
        x = x.content
    if isinstance(x, (int, float)):
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=x)
    try:
        return time_of(x)
    except ValueError:
        return None


def read_capture(path: Path) -> Iterator[list[memoryview]]:
    """The messages of a raw capture, each as its parts."""
    for item in _items(path):
        if not isinstance(item, list) or not all(isinstance(x, memoryview) for x in item):
            raise ValueError(
                f"{os.fspath(path)} is no capture of raw messages; see dtranspose.recording.read_dump"
            )
        yield item


def _ours(data: Any) -> StreamData:
    """Stream data of our class, also of what dranspose's own class holds."""
    return data if isinstance(data, StreamData) else StreamData(data.typ, data.frames)


def merge(sources: Iterable[Iterable[Any]]) -> Iterator[Event]:
    """Events of several recordings, read in step: each time all that have the lowest number.

    It ends with the first of them that ends. A source yields anything with ``event_number`` and ``streams``.
    """
    iterators = [iter(s) for s in sources]
    heads: list[Any] = [None] * len(iterators)
    while iterators:
        for k, iterator in enumerate(iterators):
            if heads[k] is None:
                heads[k] = next(iterator, None)
                if heads[k] is None:
                    return
        number = min(h.event_number for h in heads)
        streams: dict[str, StreamData] = {}
        for k, head in enumerate(heads):
            if head.event_number == number:
                twice = streams.keys() & head.streams.keys()
                if twice:
                    raise ValueError(f"event {number} has stream {sorted(twice)} in two recordings")
                streams.update({name: _ours(data) for name, data in head.streams.items()})
                heads[k] = None
        yield Event(number, streams)


def read_events(*paths: Path) -> Iterator[Event]:
    """The events of one or several dumps of the same scan."""
    return merge([read_dump(p) for p in paths])
