"""The process that runs analysis code for the program: ``python3 -m dtranspose.host --fd 3``.

It does what docs/python_host.md says, in one thread. Nothing that analysis code raises ends it; SystemExit,
crashes and endless loops are the business of whoever started it.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable, Optional

import numpy as np

from . import __version__, compat, messages
from .answers import DEFERRED, Columns, Result
from .event import Events
from .loading import Loader
from .logs import LogHandler
from .messages import BrokenConnection, Connection, Message
from .parameters import Parameters
from .parts import (
    Failure,
    ReducerPart,
    WorkerPart,
    close_class,
    current_failure,
    describe_parameters,
    is_ours,
    make_reducer,
    make_worker,
)
from .payload import Scan
from .segments import Segments, progress_in
from .value import Buffer, Decoder, Encoder, NotAValue

logger = logging.getLogger("dtranspose")

#: Objects that came and stayed since the last collection of garbage from which on there is another one.
_YOUNG_GARBAGE = 700
#: Looking through everything takes at most this share of the time.
_SHARE_OF_FULL_COLLECTIONS = 0.05
#: After the program has gone, what is running may end within this time.
_SECONDS_TO_END = 2.0


class WrongVersion(Exception):
    """The program and this package do not understand each other."""


class Ended(Exception):
    """The program has asked for the end."""


class Refused(Exception):
    """A request that cannot be met; the text says why. Needs no traceback."""


class Host:
    """Serves one connection until the program ends it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._segments = Segments()
        self._names: dict[str, dict[int, str]] = {"type": {}, "worker": {}}
        self._role = ""
        self._pickles = True
        self._as_values = False
        self._loader: Optional[Loader] = None
        self._class_name = ""
        self._class: Optional[type] = None
        self._context: dict[str, Any] = {}
        self._descriptions: list[Any] = []
        self._scan = Scan()
        self._written: Mapping[str, Any] = {}
        self._parameters = Parameters()
        self._hashes: dict[int, str] = {}
        self._versions: dict[int, Parameters] = {}
        self._worker: Optional[WorkerPart] = None
        self._reducer: Optional[ReducerPart] = None
        self._last_tree: Optional[bytes] = None
        self._tree_complaints: set[str] = set()
        self._returned: list[int] = []
        self._mark: Any = memoryview(bytearray(16)).cast("Q")
        self._thread = threading.get_ident()
        self._next_full_collection = 0.0
        self._handlers: dict[int, Callable[[Message], None]] = {
            messages.BATCH: self._batch,
            messages.RESULTS: self._results,
            messages.FLUSH: self._flush,
            messages.FINISH: self._finish,
            messages.TIMER: self._timer,
            messages.PUBLISH: self._publish,
            messages.LOAD: self._load,
            messages.DESCRIBE: self._describe,
            messages.BEGIN: self._begin,
            messages.SEGMENT: self._segment,
            messages.DROP_SEGMENT: self._drop_segment,
            messages.NAMES: self._take_names,
            messages.SET_PARAMETERS: self._set_parameters,
            messages.RELOAD: self._reload,
            messages.CLOSE: self._close,
            messages.WELCOME: self._welcome,
        }

    def serve(self) -> None:
        """Until the program asks for the end or has gone."""
        self._connection.send_value(
            messages.HELLO,
            0,
            {
                "protocol": messages.VERSION,
                "dtranspose": __version__,
                "python": sys.version.split()[0],
                "numpy": np.__version__,
                "pid": os.getpid(),
                "executable": sys.executable,
            },
        )
        receive = self._connection.receive
        while True:
            try:
                message = receive()
            except BrokenConnection:
                return
            handler = self._handlers.get(message.type)
            try:
                if handler is None:
                    raise Refused(f"message of the unknown type {message.type}")
                handler(message)
            except (Ended, BrokenConnection):
                return
            except WrongVersion:
                raise
            except Refused as e:
                self._fail(message, str(e), "")
            except Exception:
                failure = current_failure()
                self._fail(message, failure.text.splitlines()[-1], failure.text)
            if self._returned:
                self._tell_returned()
            if gc.get_count()[0] > _YOUNG_GARBAGE:
                self._collect()

    # -- what is sent

    def _done(self, message: Message, content: Any = None) -> None:
        self._connection.send_value(messages.DONE, message.id, content)

    def _fail(self, message: Message, error: str, trace: str) -> None:
        for fd in message.fds:
            os.close(fd)
        self._connection.send_value(messages.FAILED, message.id, {"error": error, "traceback": trace})

    def _take_back(self, batch: int) -> None:
        """Nobody looks at the frames of that batch any more. In this thread it is told between two
        messages.
        """
        self._returned.append(batch)
        if threading.get_ident() != self._thread:
            self._tell_returned()

    def _tell_returned(self) -> None:
        returned, self._returned = self._returned, []
        self._connection.send(messages.RELEASED, 0, [np.array(returned, "<u8").tobytes()])

    # -- what goes before a scan

    def _welcome(self, message: Message) -> None:
        said = message.value()
        if said.get("protocol") != messages.VERSION:
            raise WrongVersion(
                f"the program speaks version {said.get('protocol')} of the protocol, "
                f"this package version {messages.VERSION}: install the package that came with the program"
            )
        self._role = said.get("role", "worker")

    def _load(self, message: Message) -> None:
        said = message.value()
        if self._loader is not None:
            self._loader.forget()
        self._class = None
        self._worker = self._reducer = None
        self._loader = Loader(said.get("directory") or "", said.get("path") or [])
        os.chdir(self._loader.directory)
        self._pickles = said.get("pickles", True)
        self._as_values = said.get("values", False)
        logging.getLogger().setLevel(str(said.get("log_level", "info")).upper())
        self._class_name = said["class"]
        self._class = self._loader.reload(self._class_name)
        self._loader.switch()
        self._descriptions = self._described(said.get("parameters"))
        gc.collect()
        gc.freeze()
        self._done(message, self._what_it_is())

    def _described(self, more: Any) -> list[Any]:
        """The parameters of this class, and those that the program knows of the other part."""
        assert self._class is not None
        own = describe_parameters(self._class)
        names = {d.name for d in own}
        kinds = {k.dtype: k for k in compat.parameter_classes()}
        for d in more or []:
            kind = kinds.get(d.get("type"))
            if kind is not None and d.get("name") not in names:
                own.append(kind(d["name"], kind.from_bytes(bytes(d.get("default", b"")))))
        return own

    def _what_it_is(self) -> dict[str, Any]:
        assert self._class is not None
        return {
            "class": f"{self._class.__module__}:{self._class.__qualname__}",
            "file": getattr(sys.modules.get(self._class.__module__), "__file__", None),
            "kind": "dtranspose" if is_ours(self._class) else "dranspose",
            "incumbent": compat.which(),
            "parameters": [
                {
                    "name": d.name,
                    "type": d.dtype,
                    "default": d.to_bytes(d.default),
                    "description": d.description,
                }
                for d in self._descriptions
            ],
        }

    def _describe(self, message: Message) -> None:
        """What it gives under these parameters; one that cannot be used refuses them."""
        cls = self._loaded()
        described: Any = []
        if is_ours(cls):
            said = message.value() or {}
            parameters = Parameters(self._descriptions, said.get("parameters") or {})
            try:
                described = list(cls.describe_results(parameters))  # type: ignore[attr-defined]
            except ValueError as e:
                raise Refused(str(e)) from None
        answer = self._what_it_is()
        answer["results"] = [
            {
                "name": d.name,
                "type": d.dtype,
                "shape": d.shape,
                "per_scan": d.per_scan,
                "unit": d.unit,
                "axes": d.axes,
            }
            for d in described
        ]
        self._done(message, answer)

    def _loaded(self) -> type:
        if self._class is None:
            raise Refused("no class has been loaded")
        return self._class

    def _segment(self, message: Message) -> None:
        said = message.value()
        if len(message.fds) != 1:
            raise Refused(f"a segment comes with one descriptor, not with {len(message.fds)}")
        if said.get("progress"):
            self._mark = progress_in(message.fds.pop())
        else:
            self._segments.add(said["segment"], message.fds.pop(), said["size"])

    def _drop_segment(self, message: Message) -> None:
        self._segments.drop(message.value()["segment"])

    def _take_names(self, message: Message) -> None:
        said = message.value()
        names = self._names.setdefault(said["kind"], {})
        for k, name in enumerate(said["names"], said.get("first", 0)):
            names[k] = sys.intern(name)

    def _reload(self, message: Message) -> None:
        self._loaded()
        assert self._loader is not None
        self._class = self._loader.reload(self._class_name)
        self._descriptions = self._described(message.value() and message.value().get("parameters"))
        self._done(message, self._what_it_is())

    def _close(self, message: Message) -> None:
        if self._class is not None:
            part = self._worker.worker if self._worker else self._reducer.reducer if self._reducer else None
            close_class(self._class, part, self._context)
        self._done(message)
        raise Ended

    # -- a scan

    def _begin(self, message: Message) -> None:
        said = message.value()
        cls = self._loaded()
        assert self._loader is not None
        self._worker = self._reducer = None
        self._loader.switch()
        self._last_tree = None
        self._versions.clear()
        self._hashes.clear()
        self._full_collection()
        self._scan = Scan(
            said.get("scan", ""),
            said.get("streams") or [],
            said.get("events", 0),
            said.get("worker") or self._role,
            said.get("tags") or ["generic"],
            said.get("generation", 1),
            said.get("facts") or {},
        )
        self._take_parameters(said)
        answer: dict[str, Any] = {}
        if self._role == "reducer":
            self._reducer = make_reducer(cls, self._scan, self._parameters, self._context)
            answer["timer"] = hasattr(self._reducer.reducer, "timer")
        else:
            self._worker = make_worker(cls, self._scan, self._parameters, self._context)
            answer["tick_interval"] = self._worker.tick_interval(self._parameters)
        self._done(message, answer)

    def _take_parameters(self, said: Any) -> None:
        given = said.get("parameters") or {}
        version = given.get("version", 1)
        self._parameters = Parameters(self._descriptions, given.get("values") or {}, given.get("hash", ""))
        self._hashes[version] = self._parameters.hash
        self._versions[version] = self._parameters
        for old in sorted(self._versions)[:-16]:
            del self._versions[old]

    def _set_parameters(self, message: Message) -> None:
        self._take_parameters(message.value())
        answer = {}
        if self._worker is not None:
            answer["tick_interval"] = self._worker.tick_interval(self._parameters)
        self._done(message, answer)

    def _finish(self, message: Message) -> None:
        if self._role == "reducer":
            reducer = self._folding()
            reducer.finish(self._parameters)
            self._done(message)
        else:
            self._answer_one(message, self._mapping().finish(self._parameters))
        self._full_collection()

    # -- mapping

    def _mapping(self) -> WorkerPart:
        if self._worker is None:
            raise Refused("no scan has begun, or its worker could not be made")
        return self._worker

    def _batch(self, message: Message) -> None:
        worker = self._mapping()
        unpacked = messages.BatchMessage(message.body)
        tables = unpacked.tables
        lease = self._segments.lease() if tables.counts[2] else self._segments.lease([])
        lease.views[0] = tables.inline
        events = Events.of_tables(tables, self._scan.streams, self._names["type"], lease.views)
        parameters = self._versions.get(unpacked.parameters, self._parameters)
        ticks = np.flatnonzero(tables.events["flags"] & messages.TICK).tolist() if unpacked.ticks else []
        worker.mark = mark = self._mark
        mark[1] = 0
        mark[0] = unpacked.batch
        packer = messages.AnswerPacker()
        ours = worker.ours or self._as_values
        try:
            given = worker.process(events, parameters, ticks, lambda x: self._take_answer(packer, x, ours))
        finally:
            mark[0] = 0
        interval = worker.tick_interval(parameters) if ticks else None
        parts, has_columns = self._answer_parts(packer, given)
        count, apart = len(packer), len(parts) > 2
        events.forget()
        del events, tables, given
        batch = unpacked.batch
        # Large columns are sent from where they lie, which may be a frame: that is given back after it.
        released = not apart and lease.drop(lambda: self._take_back(batch))
        head = messages.answers_head(batch, count, interval, released, has_columns)
        self._connection.send(messages.ANSWERS, message.id, [head, *parts])
        del parts
        if apart and lease.drop(lambda: self._take_back(batch)):
            self._returned.append(batch)

    def _answer_parts(
        self, packer: messages.AnswerPacker, given: Optional[tuple[Columns, list[bool]]]
    ) -> tuple[list[Buffer], bool]:
        """What follows the head, and whether there are columns."""
        if given is None:
            return packer.parts(), False
        columns, has_row = given
        for there in has_row:
            packer.plain(messages.COLUMN_ROW if there else messages.EMPTY)
        try:
            return packer.parts(columns.arrays), True
        except NotAValue as e:
            packer.clear()
            for _ in has_row:
                packer.failed(f"the columns have {e}: that cannot be handed on as data")
            return packer.parts(), False

    def _take_answer(self, packer: messages.AnswerPacker, x: Any, as_value: bool) -> None:
        if x is None:
            packer.plain(messages.EMPTY)
        elif x is DEFERRED:
            packer.plain(messages.IS_DEFERRED)
        elif type(x) is Failure:
            packer.failed(x.text)
        else:
            self._pack_result(packer, x, as_value)

    def _pack_result(self, packer: messages.AnswerPacker, x: Any, as_value: bool) -> None:
        if as_value:
            try:
                return packer.value(x)
            except NotAValue as e:
                if not self._pickles:
                    return packer.failed(f"the result has {e}: that cannot be handed on as data")
        if not self._pickles:
            return packer.failed("results are pickles here, and the configuration forbids those")
        try:
            packer.pickled(pickle.dumps(x, protocol=pickle.HIGHEST_PROTOCOL))
        except Exception:
            packer.failed("the result cannot be pickled\n" + current_failure().text)

    def _answer_one(self, message: Message, x: Any) -> None:
        packer = messages.AnswerPacker()
        self._take_answer(packer, x, self._mapping().ours or self._as_values)
        head = messages.answers_head(0, 1, None, True, False)
        self._connection.send(messages.ANSWERS, message.id, [head, *packer.parts()])

    def _flush(self, message: Message) -> None:
        self._answer_one(message, self._mapping().flush())

    # -- folding

    def _folding(self) -> ReducerPart:
        if self._reducer is None:
            raise Refused("no scan has begun, or its reducer could not be made")
        return self._reducer

    def _results(self, message: Message) -> None:
        reducer = self._folding()
        batch, records, inline = messages.unpack_results(message.body)
        lease = self._segments.lease() if records["segment"].any() else self._segments.lease([])
        views = lease.views
        views[0] = inline
        workers = self._names["worker"]
        failures = []
        for k, record in enumerate(records.tolist()):
            number, events, worker, version, kind, segment, _, offset, size = record
            try:
                payload = self._content(kind, views[segment][offset : offset + size])
                parameters = self._versions.get(version, self._parameters)
                result = Result(
                    -1 if number == messages.NO_EVENT else number,
                    payload,
                    workers.get(worker, str(worker)),
                    self._hashes.get(version),
                    events,
                )
                reducer.process(result, parameters)
            except Exception:
                failures.append((k, current_failure().text))
        lease.drop(lambda: None)
        self._connection.send(messages.FOLDED, message.id, messages.pack_folded(batch, failures))

    def _content(self, kind: int, data: memoryview) -> Any:
        if kind == messages.VALUE:
            return Decoder(data).get()
        if kind == messages.PICKLED:
            if not self._pickles:
                raise Refused("results are pickles here, and the configuration forbids those")
            return pickle.loads(data)
        raise Refused(f"a result of the unknown kind {kind}")

    def _timer(self, message: Message) -> None:
        self._done(message, {"seconds": self._folding().timer(self._parameters)})

    def _publish(self, message: Message) -> None:
        """Sends the published tree, or only that it is what was sent last."""
        if_changed = (message.value() or {}).get("if_changed", False)
        reducer = self._folding()
        encoder = Encoder(lenient=True)
        with reducer.lock():
            encoder.put(reducer.published())
            for text in encoder.complaints:
                if text not in self._tree_complaints and len(self._tree_complaints) < 100:
                    self._tree_complaints.add(text)
                    logger.warning("left out of what is published: %s", text)
            tree = encoder.bytes()
        if if_changed and tree == self._last_tree:
            self._connection.send(messages.TREE, message.id, [b"\0"])
            return
        self._last_tree = tree if len(tree) <= 1 << 26 else None
        self._connection.send(messages.TREE, message.id, [b"\1", tree])

    # -- garbage

    def _collect(self) -> None:
        """Between two batches only: what is young often, everything seldom."""
        _, middle, old = gc.get_count()
        if old > 10 and time.monotonic() > self._next_full_collection:
            self._full_collection()
        else:
            gc.collect(1 if middle > 10 else 0)

    def _full_collection(self) -> None:
        begin = time.monotonic()
        gc.collect()
        end = time.monotonic()
        self._next_full_collection = end + (end - begin) / _SHARE_OF_FULL_COLLECTIONS


def _end_with(sock: socket.socket) -> None:
    """Ends this process soon after the other side has gone, whatever analysis code is doing."""
    watch = select.poll()
    watch.register(sock.fileno(), getattr(select, "POLLRDHUP", 0x2000))
    watch.poll()
    time.sleep(_SECONDS_TO_END)
    os._exit(1)


def _arguments(given: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python3 -m dtranspose.host", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="descriptor of a connected Unix stream socket")
    where.add_argument("--socket", help="path of a Unix stream socket to connect to")
    return parser.parse_args(given)


def _connect(arguments: argparse.Namespace) -> socket.socket:
    if arguments.fd is not None:
        sock = socket.socket(fileno=arguments.fd)
        sock.set_inheritable(False)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(arguments.socket)
    return sock


def main(given: Optional[list[str]] = None) -> int:
    """Returns the exit code: 0 after an end that was asked for, or once the program has gone."""
    arguments = _arguments(given)
    try:
        sock = _connect(arguments)
    except OSError as e:
        print(f"cannot reach the program: {e}", file=sys.stderr)
        return 2
    import faulthandler

    faulthandler.enable()
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    connection = Connection(sock)
    handler = LogHandler(lambda record: connection.send_value(messages.LOG, 0, record))
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger().addHandler(handler)
    compat.install()
    threading.Thread(target=_end_with, args=(sock,), daemon=True).start()
    gc.disable()
    try:
        Host(connection).serve()
    except WrongVersion as e:
        print(e, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Threads of analysis code must not keep a process that has nothing to do any more.
    os._exit(code)
