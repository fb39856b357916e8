"""Events as analysis code sees them: all that a worker is given of one trigger."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union, overload

import numpy as np

from .value import DTYPES

if TYPE_CHECKING:
    from .formats.message import Message

#: The tables of a message with events (docs/python_host.md, "Batch").
EVENT_RECORD = np.dtype([("number", "<u8"), ("missing", "<u8"), ("entries", "<u4"), ("flags", "<u4")])
ENTRY_RECORD = np.dtype(
    [("stream", "<u2"), ("type", "<u2"), ("frames", "<u4"), ("array", "<u4"), ("reserved", "<u4")]
)
FRAME_RECORD = np.dtype([("segment", "<u4"), ("reserved", "<u4"), ("offset", "<u8"), ("size", "<u8")])
ARRAY_RECORD = np.dtype(
    [("frame", "<u4"), ("dtype", "u1"), ("ndim", "u1"), ("reserved", "<u2"), ("dims", "<u8", (5,))]
)


_TOO_LATE = "an event can be looked at during the call that got it; keep copies of what you need for longer"


_EVENT, _ENTRY, _FRAME = struct.Struct("<QQII"), struct.Struct("<HHIII"), struct.Struct("<IIQQ")


class Tables:
    """The four tables of a batch, read out of the message when somebody looks: as arrays, or as lists of
    tuples.
    """

    __slots__ = ("_body", "_at", "counts")

    def __init__(self, body: memoryview, at: int, counts: tuple[int, int, int, int]) -> None:
        events, entries, frames, arrays = counts
        first = at + 24 * events
        second = first + 16 * entries
        third = second + 24 * frames
        self._body = body
        self._at = (at, first, second, third, third + 48 * arrays)
        self.counts = counts
        if self._at[4] > len(body):
            raise ValueError("a batch that is cut off")

    @property
    def inline(self) -> memoryview:
        """What lies in the message itself."""
        return self._body[self._at[4] :]

    @property
    def events(self) -> np.ndarray[Any, Any]:
        return np.frombuffer(self._body, EVENT_RECORD, self.counts[0], self._at[0])

    @property
    def entries(self) -> np.ndarray[Any, Any]:
        return np.frombuffer(self._body, ENTRY_RECORD, self.counts[1], self._at[1])

    @property
    def frames(self) -> np.ndarray[Any, Any]:
        return np.frombuffer(self._body, FRAME_RECORD, self.counts[2], self._at[2])

    @property
    def arrays(self) -> np.ndarray[Any, Any]:
        return np.frombuffer(self._body, ARRAY_RECORD, self.counts[3], self._at[3])

    def event_rows(self) -> Iterator[Any]:
        return _EVENT.iter_unpack(self._body[self._at[0] : self._at[1]])

    def entry_rows(self) -> list[Any]:
        return list(_ENTRY.iter_unpack(self._body[self._at[1] : self._at[2]]))

    def frame_rows(self) -> list[Any]:
        return list(_FRAME.iter_unpack(self._body[self._at[2] : self._at[3]]))


class StreamData:
    """What one stream gave to an event: a type tag and frames.

    Frames are read-only views; they may be kept, but what is kept takes memory that the program shares
    with this process: copy what you need for longer than a call (``bytes(frame)``, ``array.copy()``).
    """

    __slots__ = ("type", "_source", "_first", "_count", "_frames", "_array")

    def __init__(self, type: str, frames: Sequence[Any] = ()) -> None:  # noqa: A002
        self.type = type
        self._source: Optional[Events] = None
        self._first = 0
        self._count = len(frames)
        self._frames: Optional[list[memoryview]] = [
            memoryview(f.encode() if isinstance(f, str) else getattr(f, "buffer", f)).toreadonly()
            for f in frames
        ]
        self._array = 0

    @property
    def typ(self) -> str:
        return self.type

    @property
    def frames(self) -> list[memoryview]:
        """The parts of the message as they came in."""
        if self._frames is None:
            source = self._source
            assert source is not None
            views = source._views
            if not views:
                raise RuntimeError(_TOO_LATE)
            self._frames = [
                views[segment][offset : offset + size]
                for segment, _, offset, size in source._frames[self._first : self._first + self._count]
            ]
        return self._frames

    def __len__(self) -> int:
        return self._count

    @property
    def length(self) -> int:
        return self._count

    def frame(self, k: int) -> memoryview:
        """One frame, without making views of all of them."""
        return self.frames[k]

    @property
    def bytes(self) -> int:
        """Sum of the sizes of the frames."""
        return sum(len(f) for f in self.frames)

    @property
    def array(self) -> Optional[np.ndarray[Any, Any]]:
        """The image that the program has decompressed already; nothing where it has not."""
        if not self._array or self._source is None:
            return None
        record = self._source._arrays[self._array - 1]
        segment, _, offset, size = self._source._frames[int(record["frame"])]
        view = self._source._views[segment][offset : offset + size]
        shape = record["dims"][: record["ndim"]].tolist()
        return np.frombuffer(view, DTYPES[record["dtype"]]).reshape(shape)

    def image(self) -> Optional[np.ndarray[Any, Any]]:
        """The image, or the spectra, in C order; nothing in starts, ends and types that carry none."""
        decoded = self.array
        if decoded is not None:
            return decoded
        from . import formats

        return formats.image_of(self)

    def parse(self) -> Message:
        """The message that these frames are, as an object of its kind (docs/python.md lists them)."""
        from . import formats

        message: Message = formats.parse(self)
        return message

    def __repr__(self) -> str:
        sizes = ", ".join(str(len(f)) for f in self.frames)
        return f"StreamData(type={self.type!r}, frames of [{sizes}] bytes)"


class Event:
    """All streams of one trigger: ``event["pilatus"].image()``."""

    __slots__ = ("number", "_source", "_first", "_count", "_missing", "_streams")

    def __init__(self, number: int, streams: Optional[dict[str, StreamData]] = None) -> None:
        self.number = number
        self._source: Optional[Events] = None
        self._first = 0
        self._count = 0
        self._missing = 0
        self._streams: Optional[dict[str, StreamData]] = streams if streams is not None else {}

    @property
    def event_number(self) -> int:
        return self.number

    @property
    def streams(self) -> dict[str, StreamData]:
        """The streams that the trigger map sends here in this event, by name."""
        if self._streams is None:
            source = self._source
            assert source is not None
            self._streams = source._streams_of(self._first, self._count)
        return self._streams

    def __getitem__(self, stream: str) -> StreamData:
        try:
            return self.streams[stream]
        except KeyError:
            raise KeyError(
                f"event {self.number} has no stream '{stream}', but {sorted(self.streams)}"
            ) from None

    def __contains__(self, stream: object) -> bool:
        return stream in self.streams

    def __iter__(self) -> Iterator[str]:
        return iter(self.streams)

    def get(self, stream: str) -> Optional[StreamData]:
        return self.streams.get(stream)

    @property
    def missing(self) -> list[str]:
        """Streams that belong here and whose data is missing: only where incomplete events are delivered."""
        if self._source is None:
            return []
        return [name for k, name in enumerate(self._source._names) if self._missing >> k & 1]

    def image(self, stream: Optional[str] = None) -> Optional[np.ndarray[Any, Any]]:
        """The image of that stream, or of the first that has one; nothing where the event has none."""
        if stream is not None:
            data = self.streams.get(stream)
            return data.image() if data is not None else None
        for data in self.streams.values():
            image = data.image()
            if image is not None:
                return image
        return None

    def __repr__(self) -> str:
        return f"Event(number={self.number}, streams={self.streams!r})"


class Events(Sequence[Event]):
    """A batch of events, in rising order: what ``process_events`` is given. Slices are batches again."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._list: Optional[list[Event]] = list(events)
        self._tables: Optional[Tables] = None

    @classmethod
    def of_tables(
        cls, tables: Tables, names: list[str], types: Mapping[int, str], views: Mapping[int, memoryview]
    ) -> Events:
        """Of the tables of a message; events are made when somebody looks at them.

        names: the streams of the scan. types: type tags by their number. views: segments by theirs.
        """
        events = cls()
        events._list = None
        events._tables = tables
        events._names = names
        events._types = types
        events._views = views
        events._entry_list = None
        return events

    _names: list[str] = []
    _types: Mapping[int, str] = {}
    _views: Mapping[int, memoryview] = {}
    _entry_list: Optional[list[Any]] = None
    _frames: list[Any] = []
    _first_frames: list[int] = []
    _arrays: Any = ()

    def forget(self) -> None:
        """After the call that got them: what was not looked at cannot be any more."""
        self._list = []
        self._tables = None
        self._entry_list = None
        self._arrays = ()

    def _all(self) -> list[Event]:
        if self._list is not None:
            return self._list
        assert self._tables is not None
        made = []
        first = 0
        new = Event.__new__
        for number, missing, count, _ in self._tables.event_rows():
            event = new(Event)
            event.number = number
            event._source = self
            event._first = first
            event._count = count
            event._missing = missing
            event._streams = None
            first += count
            made.append(event)
        self._list = made
        return made

    def _unpack_entries(self) -> list[Any]:
        if self._tables is None:
            raise RuntimeError(_TOO_LATE)
        entries = self._tables.entry_rows()
        self._frames = self._tables.frame_rows()
        self._arrays = self._tables.arrays if self._tables.counts[3] else ()
        at = 0
        self._first_frames = []
        for entry in entries:
            self._first_frames.append(at)
            at += entry[2]
        self._entry_list = entries
        return entries

    def _streams_of(self, first: int, count: int) -> dict[str, StreamData]:
        entries = self._entry_list
        if entries is None:
            entries = self._unpack_entries()
        starts = self._first_frames
        streams = {}
        new = StreamData.__new__
        for k in range(first, first + count):
            stream, kind, frames, array, _ = entries[k]
            data = new(StreamData)
            data.type = self._types[kind]
            data._source = self
            data._first = starts[k]
            data._count = frames
            data._frames = None
            data._array = array
            streams[self._names[stream]] = data
        return streams

    def __len__(self) -> int:
        if self._list is not None:
            return len(self._list)
        assert self._tables is not None
        return self._tables.counts[0]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._all())

    @overload
    def __getitem__(self, k: int) -> Event: ...

    @overload
    def __getitem__(self, k: slice) -> Events: ...

    def __getitem__(self, k: Union[int, slice]) -> Union[Event, Events]:
        if isinstance(k, slice):
            return Events(self._all()[k])
        return self._all()[k]

    @property
    def numbers(self) -> np.ndarray[Any, Any]:
        """The numbers of the events."""
        if self._tables is not None:
            return self._tables.events["number"].copy()
        return np.array([e.number for e in self], np.uint64)

    def where(self, stream: str, frames: int = 1) -> np.ndarray[Any, Any]:
        """Places in the batch of the events that have that stream, with at least so many frames."""
        if self._tables is not None:
            return self._located(stream, frames - 1)[0]
        having = [k for k, e in enumerate(self) if stream in e and len(e[stream]) >= frames]
        return np.array(having, np.intp)

    def stack(
        self, stream: str, frame: int, dtype: Any, shape: Sequence[int] = (), places: Any = None
    ) -> np.ndarray[Any, Any]:
        """One frame of each event as one array [events, *shape]; ``places``: of these events only, in
        rising order.

        Where the frames lie at equal distances, as those of equal size do, it is a view of all of them at
        once, otherwise a copy. Raises ValueError for an event without that frame, or where its size is
        another.
        """
        wanted = np.dtype(dtype)
        size = wanted.itemsize * math.prod(shape)
        chosen = np.arange(len(self)) if places is None else np.asarray(places, np.intp)
        if self._tables is None:
            return self._stacked_one_by_one(stream, frame, wanted, tuple(shape), chosen)
        having, frames = self._located(stream, frame)
        at = np.searchsorted(having, chosen)
        lacking = (
            (at >= len(having)) | (having[np.minimum(at, len(having) - 1)] != chosen)
            if len(having)
            else chosen >= 0
        )
        if lacking.any():
            self._complain(int(chosen[lacking][0]), stream, frame, size)
        frames = frames[at]
        if (frames["size"] != size).any():
            self._complain(int(chosen[frames["size"] != size][0]), stream, frame, size)
        offsets = frames["offset"].astype(np.int64)
        segments = frames["segment"]
        distances = np.diff(offsets)
        if not len(frames):
            return np.empty((0, *shape), wanted)
        if (segments == segments[0]).all() and (len(distances) == 0 or (distances == distances[0]).all()):
            distance = int(distances[0]) if len(distances) else size
            inner = [wanted.itemsize * math.prod(shape[k + 1 :]) for k in range(len(shape))]
            view = self._views[int(segments[0])]
            return np.ndarray((len(frames), *shape), wanted, view, int(offsets[0]), (distance, *inner))
        stacked = np.empty((len(frames), *shape), wanted)
        for k, (segment, _, offset, length) in enumerate(frames.tolist()):
            stacked[k] = np.frombuffer(self._views[segment][offset : offset + length], wanted).reshape(shape)
        return stacked

    def _stacked_one_by_one(
        self,
        stream: str,
        frame: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        places: np.ndarray[Any, Any],
    ) -> np.ndarray[Any, Any]:
        stacked = np.empty((len(places), *shape), dtype)
        size = dtype.itemsize * math.prod(shape)
        for k, place in enumerate(places.tolist()):
            data = self[place].get(stream)
            if data is None or len(data) <= frame or len(data.frames[frame]) != size:
                self._complain(place, stream, frame, size)
            else:
                stacked[k] = np.frombuffer(data.frames[frame], dtype).reshape(shape)
        return stacked

    def _complain(self, place: int, stream: str, frame: int, size: int) -> None:
        event = self[place]
        data = event.get(stream)
        found = f"frames of {[len(f) for f in data.frames]} bytes" if data is not None else "not there"
        raise ValueError(
            f"event {event.number}, stream '{stream}': {found}; frame {frame} was to have {size} bytes"
        )

    def _located(self, stream: str, frame: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Places of the events that have that frame, and its records."""
        tables = self._tables
        assert tables is not None
        number = self._names.index(stream) if stream in self._names else -1
        entries = tables.entries
        found = np.flatnonzero((entries["stream"] == number) & (entries["frames"] > frame))
        owners = np.repeat(np.arange(tables.counts[0]), tables.events["entries"])
        first = np.cumsum(entries["frames"], dtype=np.int64) - entries["frames"]
        return owners[found], tables.frames[first[found] + frame]
