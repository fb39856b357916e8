"""The protocol's own text: what it shows in hex is what the code says, and reads."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dtranspose import messages
from dtranspose.event import ARRAY_RECORD, ENTRY_RECORD, EVENT_RECORD, FRAME_RECORD
from dtranspose.messages import AnswerPacker
from dtranspose.value import NotAValue, decode, encode

TEXT = Path(__file__).resolve().parents[2] / "docs" / "python_host.md"


def shown(name: str) -> bytes:
    if not TEXT.exists():
        pytest.skip(f"no {TEXT}")
    found = re.search(rf"```hex {name}\n(.*?)```", TEXT.read_text(), re.S)
    assert found, f"the document has no example '{name}'"
    return bytes.fromhex(found[1])


def test_value() -> None:
    content = {"mean": 2.5, "n": np.array([1, 2], np.uint16)}
    assert encode(content) == shown("value")
    assert decode(shown("value"))["n"].tolist() == [1, 2]


def test_batch() -> None:
    tables = (
        np.array([(7, 0, 1, messages.TICK)], EVENT_RECORD),
        np.array([(0, 3, 2, 0, 0)], ENTRY_RECORD),
        np.array([(0, 0, 0, 2), (1, 0, 4096, 200)], FRAME_RECORD),
        np.array([], ARRAY_RECORD),
    )
    body = b"".join(bytes(p) for p in messages.pack_batch(12, 1, tables, b"{}"))
    assert messages.HEADER.pack(messages.BATCH, 5, len(body)) + body == shown("batch")
    read = messages.BatchMessage(memoryview(shown("batch"))[16:])
    assert (read.batch, read.parameters, bytes(read.tables.inline)) == (12, 1, b"{}")
    assert read.tables.events.tolist() == list(read.tables.event_rows()) == [(7, 0, 1, 1)]
    assert read.tables.entries.tolist() == read.tables.entry_rows() == [(0, 3, 2, 0, 0)]
    assert read.tables.frames.tolist() == read.tables.frame_rows() == [(0, 0, 0, 2), (1, 0, 4096, 200)]
    with pytest.raises(ValueError, match="cut off"):
        messages.BatchMessage(memoryview(shown("batch"))[16:-3])


def test_answers() -> None:
    packer = AnswerPacker()
    packer.plain(messages.EMPTY)
    packer.value(2.5)
    with pytest.raises(NotAValue):
        packer.value([1, object()])
    packer.failed("no")
    head = messages.answers_head(12, 3, 1.0, True, False)
    body = b"".join([head, *(bytes(p) for p in packer.parts())])
    assert body == shown("answers")
    read = messages.AnswersMessage(memoryview(shown("answers")))
    assert [a.content for a in read.answers] == [None, 2.5, "no"]
    assert read.released and read.tick_interval == 1.0


def test_every_message_is_in_the_text() -> None:
    if not TEXT.exists():
        pytest.skip(f"no {TEXT}")
    listed = {
        int(n): name
        for n, name in re.findall(r"^\| (\d+) \| (?:engine|host) \| `(\w+)`", TEXT.read_text(), re.M)
    }
    named = {
        number: name.lower()
        for name, number in vars(messages).items()
        if name.isupper() and isinstance(number, int) and name in _MESSAGES
    }
    assert listed == named


_MESSAGES = {
    "WELCOME", "LOAD", "DESCRIBE", "BEGIN", "SEGMENT", "DROP_SEGMENT", "NAMES", "SET_PARAMETERS", "BATCH",
    "RESULTS", "FLUSH", "FINISH", "TIMER", "PUBLISH", "RELOAD", "CLOSE", "HELLO", "DONE", "FAILED", "ANSWERS",
    "FOLDED", "RELEASED", "LOG", "TREE",
}  # fmt: skip
