"""Messages between the program and its Python processes: docs/python_host.md, byte for byte."""

from __future__ import annotations

import array
import os
import socket
import struct
import threading
from typing import Any, Optional

import numpy as np

from .event import Tables
from .value import Buffer, Decoder, Encoder, encode

#: Version of the protocol; both sides must have the same.
VERSION = 1

# from the program
WELCOME, LOAD, DESCRIBE, BEGIN, SEGMENT, DROP_SEGMENT, NAMES, SET_PARAMETERS = range(1, 9)
BATCH, RESULTS, FLUSH, FINISH, TIMER, PUBLISH, RELOAD, CLOSE = range(9, 17)
# from the host
HELLO, DONE, FAILED, ANSWERS, FOLDED, RELEASED, LOG, TREE = range(100, 108)

# kinds of answers
EMPTY, VALUE, PICKLED, IS_DEFERRED, HAS_FAILED, COLUMN_ROW = range(6)

#: In ``flags`` of an event, and of a batch with such an event: the costly things of once a second may be
#: done for it.
TICK = 1
#: Number of events that a result without an event has.
NO_EVENT = (1 << 64) - 1

HEADER = struct.Struct("<IIQ")
BATCH_HEAD = struct.Struct("<QIIIIII")
ANSWERS_HEAD = struct.Struct("<QdII")
RESULTS_HEAD = struct.Struct("<QII")
FOLDED_HEAD = struct.Struct("<QI")
ANSWER_RELEASED, ANSWER_HAS_COLUMNS = 1, 2

RESULT_RECORD = np.dtype(
    [
        ("event", "<u8"),
        ("events", "<u4"),
        ("worker", "<u4"),
        ("parameters", "<u4"),
        ("kind", "<u4"),
        ("segment", "<u4"),
        ("reserved", "<u4"),
        ("offset", "<u8"),
        ("size", "<u8"),
    ]
)

#: Longer messages are taken for a broken connection.
MOST_BYTES = 1 << 32
_READ_BYTES = 1 << 16
_MOST_BUFFERS = 512


class BrokenConnection(ConnectionError):
    """The other side is gone, or speaks something else."""


class Message:
    """A message as it came in. ``body`` belongs to this message alone and may be kept."""

    __slots__ = ("type", "id", "body", "fds")

    def __init__(self, type: int, id: int, body: memoryview, fds: list[int]) -> None:  # noqa: A002
        self.type = type
        self.id = id
        self.body = body
        self.fds = fds

    def value(self) -> Any:
        """The one value that the body is."""
        return Decoder(self.body).get()


class Connection:
    """One end of the Unix socket. Reading belongs to one thread, sending may be done by any."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = memoryview(b"")
        self._fds: list[int] = []
        self._lock = threading.Lock()
        self._space = socket.CMSG_SPACE(4 * 16)

    def close(self) -> None:
        self.socket.close()
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def send(self, type: int, id: int, parts: Any = (), fds: Any = ()) -> None:  # noqa: A002
        """Sends a message whose body is these buffers one after the other."""
        size = 0
        for p in parts:
            size += memoryview(p).nbytes
        if size > MOST_BYTES:
            raise ValueError(f"a message of {size} bytes; {MOST_BYTES} are allowed")
        buffers: list[Buffer] = [HEADER.pack(type, id, size)]
        if size < 4096:
            buffers[0] = b"".join((buffers[0], *parts))
        else:
            buffers.extend(parts)
        with self._lock:
            self._send_all(buffers, fds)

    def send_value(self, type: int, id: int, value: Any, fds: Any = ()) -> None:  # noqa: A002
        self.send(type, id, [encode(value, lenient=True)], fds)

    def _send_all(self, buffers: list[Buffer], fds: Any) -> None:
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        try:
            while buffers:
                group = buffers[:_MOST_BUFFERS]
                sent = self.socket.sendmsg(group, ancillary)
                ancillary = []
                done = 0
                for part in group:
                    left = memoryview(part).nbytes
                    if sent < left:
                        buffers[done] = memoryview(part).cast("B")[sent:]
                        break
                    sent -= left
                    done += 1
                del buffers[:done]
        except OSError as e:
            raise BrokenConnection(f"cannot send: {e}") from None

    def receive(self) -> Message:
        """The next message; waits for it. Raises BrokenConnection when there will be none."""
        while len(self._buffer) < HEADER.size:
            self._read()
        kind, number, size = HEADER.unpack_from(self._buffer)
        if size > MOST_BYTES:
            raise BrokenConnection(f"a message of {size} bytes: that is no message of this protocol")
        end = HEADER.size + size
        while len(self._buffer) < end and size <= _READ_BYTES:
            self._read()
        if len(self._buffer) >= end:
            body = self._buffer[HEADER.size : end]
            self._buffer = self._buffer[end:]
        else:
            body = self._read_body(size)
        # The kernel hands descriptors over with whatever bytes it gives along with theirs.
        fds = [self._fds.pop(0)] if kind == SEGMENT and self._fds else []
        return Message(kind, number, body, fds)

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self.socket.recvmsg(_READ_BYTES, self._space, socket.MSG_CMSG_CLOEXEC)
        except OSError as e:
            raise BrokenConnection(f"cannot receive: {e}") from None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                self._fds.extend(fds)
        if not data:
            raise BrokenConnection("the other side has closed the connection")
        self._buffer = memoryview(bytes(self._buffer) + data if len(self._buffer) else data)

    def _read_body(self, size: int) -> memoryview:
        """A body that is longer than what has been read of it, straight into memory of its own."""
        body = memoryview(bytearray(size))
        had = self._buffer[HEADER.size :]
        body[: len(had)] = had
        at = len(had)
        self._buffer = memoryview(b"")
        while at < size:
            try:
                got = self.socket.recv_into(body[at:], size - at)
            except OSError as e:
                raise BrokenConnection(f"cannot receive: {e}") from None
            if not got:
                raise BrokenConnection("the other side has closed the connection in the middle of a message")
            at += got
        return body.toreadonly()


class BatchMessage:
    """A batch of events. ``ticks``: one of them has a tick."""

    __slots__ = ("batch", "parameters", "tables", "ticks")

    def __init__(self, body: memoryview) -> None:
        batch, parameters, events, entries, frames, arrays, flags = BATCH_HEAD.unpack_from(body)
        self.batch: int = batch
        self.parameters: int = parameters
        self.tables = Tables(body, BATCH_HEAD.size, (events, entries, frames, arrays))
        self.ticks = bool(flags & TICK)


def pack_batch(batch: int, parameters: int, tables: Any, inline: Buffer = b"") -> list[Buffer]:
    """tables: four arrays of EVENT_RECORD, ENTRY_RECORD, FRAME_RECORD and ARRAY_RECORD."""
    counts = [len(table) for table in tables]
    ticks = TICK if (tables[0]["flags"] & TICK).any() else 0
    head = BATCH_HEAD.pack(batch, parameters, *counts, ticks)
    return [head, *(np.ascontiguousarray(table).tobytes() for table in tables), inline]


class Answer:
    """The answer of one event as it goes over the wire; ``content`` belongs to the kind."""

    __slots__ = ("kind", "content")

    def __init__(self, kind: int, content: Any = None) -> None:
        self.kind = kind
        self.content = content

    def __repr__(self) -> str:
        return f"Answer({self.kind}, {self.content!r})"


def answers_head(
    batch: int, count: int, tick_interval: Optional[float], released: bool, columns: bool
) -> bytes:
    flags = (ANSWER_RELEASED if released else 0) | (ANSWER_HAS_COLUMNS if columns else 0)
    return ANSWERS_HEAD.pack(batch, float("nan") if tick_interval is None else tick_interval, count, flags)


class AnswerPacker:
    """Collects the answers of a batch, in order; what they hold may change afterwards."""

    def __init__(self) -> None:
        self._kinds = bytearray()
        self._contents = Encoder(copies=True)

    def plain(self, kind: int) -> None:
        """EMPTY, IS_DEFERRED or COLUMN_ROW."""
        self._kinds.append(kind)

    def value(self, content: Any) -> None:
        """Raises NotAValue, and has taken nothing then, for what no value can say."""
        self._contents.put_whole(content)
        self._kinds.append(VALUE)

    def pickled(self, content: bytes) -> None:
        self._contents.raw(struct.pack("<Q", len(content)))
        self._contents.raw(content)
        self._kinds.append(PICKLED)

    def failed(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self._contents.raw(struct.pack("<I", len(data)) + data)
        self._kinds.append(HAS_FAILED)

    def clear(self) -> None:
        self._kinds.clear()
        self._contents = Encoder(copies=True)

    def __len__(self) -> int:
        return len(self._kinds)

    def parts(self, columns: Any = None) -> list[Buffer]:
        """What follows the head. Large columns are sent from where they lie."""
        if columns is None:
            return [self._kinds, *self._contents.parts()]
        encoder = Encoder()
        encoder.put(columns)
        return [self._kinds, *self._contents.parts(), *encoder.parts()]


class AnswersMessage:
    """Answers as the program reads them: values decoded, pickles as bytes."""

    def __init__(self, body: memoryview) -> None:
        self.batch, self.tick_interval, count, flags = ANSWERS_HEAD.unpack_from(body)
        self.released = bool(flags & ANSWER_RELEASED)
        at = ANSWERS_HEAD.size + count
        self.answers = [Answer(kind) for kind in body[ANSWERS_HEAD.size : at]]
        decoder = Decoder(body, at)
        for a in self.answers:
            if a.kind == VALUE:
                a.content = decoder.get()
            elif a.kind == PICKLED:
                (size,) = struct.unpack_from("<Q", body, decoder.at)
                a.content = bytes(body[decoder.at + 8 : decoder.at + 8 + size])
                decoder.at += 8 + size
            elif a.kind == HAS_FAILED:
                (size,) = struct.unpack_from("<I", body, decoder.at)
                a.content = str(body[decoder.at + 4 : decoder.at + 4 + size], "utf-8")
                decoder.at += 4 + size
        self.columns = decoder.get() if flags & ANSWER_HAS_COLUMNS else None


def pack_results(batch: int, records: np.ndarray[Any, Any], inline: Buffer = b"") -> list[Buffer]:
    return [RESULTS_HEAD.pack(batch, len(records), 0), records.tobytes(), inline]


def unpack_results(body: memoryview) -> tuple[int, np.ndarray[Any, Any], memoryview]:
    batch, count, _ = RESULTS_HEAD.unpack_from(body)
    records = np.frombuffer(body, RESULT_RECORD, count, RESULTS_HEAD.size)
    return batch, records, body[RESULTS_HEAD.size + count * RESULT_RECORD.itemsize :]


def pack_folded(batch: int, failures: list[tuple[int, str]]) -> list[Buffer]:
    parts = [FOLDED_HEAD.pack(batch, len(failures))]
    for index, text in failures:
        data = text.encode("utf-8", "replace")
        parts.append(struct.pack("<II", index, len(data)) + data)
    return [b"".join(parts)]


def unpack_folded(body: memoryview) -> tuple[int, dict[int, str]]:
    batch, count = FOLDED_HEAD.unpack_from(body)
    at = FOLDED_HEAD.size
    failures = {}
    for _ in range(count):
        index, size = struct.unpack_from("<II", body, at)
        failures[index] = str(body[at + 8 : at + 8 + size], "utf-8")
        at += 8 + size
    return batch, failures
