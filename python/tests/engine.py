"""Stands in for the program: a real socket, real shared memory, a real host process."""

from __future__ import annotations

import math
import mmap
import os
import pickle
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dtranspose import messages
from dtranspose.event import ARRAY_RECORD, ENTRY_RECORD, EVENT_RECORD, FRAME_RECORD
from dtranspose.messages import AnswersMessage, Connection, Message
from dtranspose.value import Decoder, dtype_code, encode

#: Waiting longer than this for a reply is a fault of the test.
PATIENCE = 60.0


class HostFailed(Exception):
    """The host could not do what was asked; ``traceback`` is what the user would see."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(content["error"])
        self.traceback = content["traceback"]


class Segment:
    """Shared memory of the program: it writes, hosts read."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.fd = os.memfd_create("dtranspose frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        self.memory = mmap.mmap(self.fd, size)
        self.size = size
        self.at = 0

    def put(self, data: Any) -> tuple[int, int]:
        """Copies bytes to the next place, from the beginning again where they would not fit."""
        view = memoryview(data).cast("B")
        if self.at + len(view) > self.size:
            self.at = 0
        offset = self.at
        self.memory[offset : offset + len(view)] = view
        self.at = offset + (len(view) + 63) // 64 * 64
        return offset, len(view)


class Engine:
    """One host and its connection."""

    def __init__(self, python: str = sys.executable, environment: Optional[dict[str, str]] = None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        package = str(Path(__file__).resolve().parent.parent)
        paths = [package, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        surroundings = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in paths if p),
            **(environment or {}),
        }
        self.child = subprocess.Popen(
            [python, "-m", "dtranspose.host", "--fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        ours.settimeout(PATIENCE)
        self.connection = Connection(ours)
        self.segments: dict[int, Segment] = {}
        self.logs: list[dict[str, Any]] = []
        self.released: list[int] = []
        self.types: dict[str, int] = {}
        self.streams: list[str] = []
        self._id = 0
        self._batch = 0
        hello = self.connection.receive()
        assert hello.type == messages.HELLO
        self.hello = hello.value()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: Any) -> None:
        self.connection.close()
        for pipe in (self.child.stdout, self.child.stderr):
            assert pipe is not None
            pipe.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        for segment in self.segments.values():
            os.close(segment.fd)

    # -- requests

    def send(self, kind: int, content: Any = None, fds: Any = ()) -> int:
        self._id += 1
        self.connection.send_value(kind, self._id, content, fds)
        return self._id

    def reply(self) -> Message:
        """The next message that is no log and no release."""
        while True:
            message = self.connection.receive()
            if message.type == messages.LOG:
                self.logs.append(message.value())
            elif message.type == messages.RELEASED:
                self.released += np.frombuffer(message.body, "<u8").tolist()
            elif message.type == messages.FAILED:
                raise HostFailed(message.value())
            else:
                return message

    def nothing_to_read(self, seconds: float) -> bool:
        return not select.select([self.connection.socket], [], [], seconds)[0]

    def ask(self, kind: int, content: Any = None) -> Any:
        number = self.send(kind, content)
        reply = self.reply()
        assert reply.id == number
        if reply.type == messages.ANSWERS:
            return AnswersMessage(reply.body)
        return reply.value()

    def load(self, name: str, directory: Any, role: str = "worker", **more: Any) -> Any:
        self.send(messages.WELCOME, {"protocol": messages.VERSION, "role": role})
        return self.ask(messages.LOAD, {"class": name, "directory": str(directory), **more})

    def begin(self, streams: Any = ("det",), parameters: Any = None, **more: Any) -> Any:
        self.streams = list(streams)
        given = {"version": 1, "values": {k: v.encode() for k, v in (parameters or {}).items()}}
        return self.ask(messages.BEGIN, {"streams": self.streams, "parameters": given, **more})

    def add_segment(self, size: int) -> Segment:
        segment = Segment(len(self.segments) + 1, size)
        self.segments[segment.number] = segment
        self.send(messages.SEGMENT, {"segment": segment.number, "size": size}, [segment.fd])
        return segment

    def add_progress(self) -> memoryview:
        """Where the host notes which batch it has in hand, and which event of it."""
        fd = os.memfd_create("dtranspose progress")
        os.ftruncate(fd, 16)
        self.send(messages.SEGMENT, {"progress": True}, [fd])
        memory = mmap.mmap(fd, 16)
        os.close(fd)
        return memoryview(memory).cast("Q")

    def type_number(self, name: str) -> int:
        if name not in self.types:
            self.types[name] = len(self.types)
            self.send(messages.NAMES, {"kind": "type", "first": self.types[name], "names": [name]})
        return self.types[name]

    # -- batches

    def pack(
        self,
        events: Any,
        segment: Optional[Segment] = None,
        ticks: Any = (),
        missing: Any = None,
        decoded: Any = None,
        parameters: int = 1,
    ) -> list[Any]:
        """A batch of (number, {stream: (type, [frames])}); ``decoded``: array by (number, stream)."""
        event_rows, entry_rows, frame_rows, late_frames, array_rows = [], [], [], [], []
        inline = bytearray()

        def place(data: Any) -> tuple[int, int, int, int]:
            data = data.encode() if isinstance(data, str) else data
            if segment is None:
                inline.extend(memoryview(data).cast("B"))
                size = memoryview(data).nbytes
                return 0, 0, len(inline) - size, size
            return (segment.number, 0, *segment.put(data))

        total = sum(len(frames) for _, streams in events for _, frames in streams.values())
        for k, (number, streams) in enumerate(events):
            lacking = sum(1 << self.streams.index(s) for s in (missing or {}).get(number, ()))
            event_rows.append((number, lacking, len(streams), messages.TICK if k in ticks else 0))
            for name, (kind, frames) in streams.items():
                array = (decoded or {}).get((number, name))
                if array is not None:
                    late_frames.append(place(np.ascontiguousarray(array)))
                    dims = [*array.shape, *[0] * (5 - array.ndim)]
                    array_rows.append(
                        (total + len(late_frames) - 1, dtype_code(array.dtype), array.ndim, 0, dims)
                    )
                which = len(array_rows) if array is not None else 0
                entry_rows.append((self.streams.index(name), self.type_number(kind), len(frames), which, 0))
                frame_rows += [place(f) for f in frames]
        tables = (
            np.array(event_rows, EVENT_RECORD),
            np.array(entry_rows, ENTRY_RECORD),
            np.array(frame_rows + late_frames, FRAME_RECORD),
            np.array(array_rows, ARRAY_RECORD),
        )
        self._batch += 1
        return messages.pack_batch(self._batch, parameters, tables, bytes(inline))

    def process(self, events: Any, **how: Any) -> AnswersMessage:
        parts = self.pack(events, **how)
        return self.exchange(messages.BATCH, parts)

    def exchange(self, kind: int, parts: Any) -> AnswersMessage:
        self._id += 1
        self.connection.send(kind, self._id, parts)
        reply = self.reply()
        assert reply.type == messages.ANSWERS and reply.id == self._id
        return AnswersMessage(reply.body)

    def fold(self, results: Any) -> dict[int, str]:
        """Folds (event, content) or (event, content, how many, worker, version); pickled where content is
        bytes.
        """
        rows = []
        inline = bytearray()
        for event, content, *more in results:
            count, worker, version = (*more, *(1, 0, 1)[len(more) :])
            kind = messages.PICKLED if isinstance(content, bytes) else messages.VALUE
            data = content if kind == messages.PICKLED else encode(content)
            number = messages.NO_EVENT if event is None else event
            rows.append((number, count, worker, version, kind, 0, 0, len(inline), len(data)))
            inline += data
        self._id += 1
        parts = messages.pack_results(1, np.array(rows, messages.RESULT_RECORD), bytes(inline))
        self.connection.send(messages.RESULTS, self._id, parts)
        reply = self.reply()
        assert reply.type == messages.FOLDED
        return messages.unpack_folded(reply.body)[1]

    def published(self, if_changed: bool = False) -> Any:
        """The tree; None where it has not changed."""
        self.send(messages.PUBLISH, {"if_changed": if_changed})
        reply = self.reply()
        assert reply.type == messages.TREE
        return Decoder(reply.body, 1).get() if reply.body[0] else None


def unpickled(answers: AnswersMessage) -> list[Any]:
    """The payloads of pickled answers, None for empty ones."""
    return [pickle.loads(a.content) if a.kind == messages.PICKLED else a.content for a in answers.answers]


def stins_header(number: int, shape: Any = (2, 3), dtype: str = "uint16") -> str:
    sizes = ", ".join(str(x) for x in shape)
    return (
        f'{{"htype": "image", "frame": {number}, "shape": [{sizes}], "type": "{dtype}", '
        f'"compression": "none", "msg_number": {number + 1}}}'
    )


def stins(number: int, shape: Any = (2, 3), dtype: str = "uint16", first: int = 0) -> tuple[str, list[Any]]:
    pixels = np.arange(first, first + math.prod(shape), dtype=dtype)
    return ("STINS", [stins_header(number, shape, dtype), pixels.tobytes()])
