"""Recordings and what they are made of: CBOR, pickles as data."""

from __future__ import annotations

import gzip
import os
import pickle
import pickletools
import warnings
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dtranspose.cbor import CutOff, Reader, Tag
from dtranspose.pickled import load
from dtranspose.recording import merge, read_capture, read_dump, read_events

ONE = bytes.fromhex("d9d9f7d9a77d8205a163646574d9a77e82655354494e5382477b2261223a317d420100")


@pytest.mark.parametrize(
    "hexed, content",
    [
        ("00", 0), ("17", 23), ("1818", 24), ("190100", 256), ("1bffffffffffffffff", (1 << 64) - 1), ("20",
        -1), ("3903e7", -1000), ("f93e00", 1.5), ("fa47c35000", 100000.0), ("fb3ff199999999999a", 1.1), ("f4",
        False),
        ("f5", True), ("f6", None), ("6161", "a"), ("80", []), ("83010203", [1, 2, 3]), ("a16161820102",
        {"a": [1, 2]}),
        ("9f018202039fff00ff", [1, [2, 3], [], 0]), ("bf6161019f02ffff", None), ("7f61616162ff", "ab"),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
    ],
)  # fmt: skip
def test_cbor(hexed: str, content: Any) -> None:
    if hexed == "bf6161019f02ffff":
        with pytest.raises(ValueError, match="key"):
            Reader(bytes.fromhex(hexed)).item()
        return
    reader = Reader(bytes.fromhex(hexed))
    assert reader.item() == content and not reader.more()


def test_cbor_bytes_and_tags() -> None:
    assert bytes(Reader(bytes.fromhex("5f42010243030405ff")).item()) == b"\1\2\3\4\5"
    tag = Reader(bytes.fromhex("c074323031332d30332d32315432303a30343a30305a")).item()
    assert isinstance(tag, Tag) and (tag.number, tag.content) == (0, "2013-03-21T20:04:00Z")


@pytest.mark.parametrize(
    "hexed", ["1c", "ff", "5f01ff", "fc", "82ff", "a1ff01", "a1810101", "81" * 100 + "00"]
)
def test_what_is_no_cbor_is_refused(hexed: str) -> None:
    with pytest.raises(ValueError):
        Reader(bytes.fromhex(hexed)).item()


@pytest.mark.parametrize(
    "hexed", ["", "18", "5bffffffffffffffff", "9affffffff", "bb00ffffffffffffff", "6161"[:2]]
)
def test_what_is_announced_and_not_there_costs_nothing(hexed: str) -> None:
    with pytest.raises(CutOff):
        Reader(bytes.fromhex(hexed)).item()


def test_the_example_of_a_dump(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    three = ONE.replace(b"\xa7\x7d\x82", b"\xa7\x7d\x83")
    times = [bytes.fromhex("c0781b") + b"2024-10-07T08:49:10.627000Z", bytes.fromhex("c1fb41d9c0e821a820c5")]
    path.write_bytes(ONE + ONE[3:] + three + times[0] + three + times[1])
    parts = list(read_dump(path))
    assert [p.event_number for p in parts] == [5] * 4
    for part in parts:
        assert part.streams["det"].type == "STINS"
        assert [bytes(f) for f in part.streams["det"].frames] == [b'{"a":1}', b"\1\0"]
    assert parts[0].created_at is None
    for part in parts[2:]:
        assert part.created_at is not None and abs(part.created_at.timestamp() - 1728290950.627) < 0.001
    packed = tmp_path / "a.cbors.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert len(list(read_dump(packed))) == 4


def test_a_cut_off_end_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    for end in range(1, len(ONE)):
        path.write_bytes(ONE + ONE[:end])
        with pytest.warns(UserWarning, match=f"from byte {len(ONE)} on, is cut off"):
            assert len(list(read_dump(path))) == 1
    path.write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(read_dump(path)) == []


@pytest.mark.parametrize(
    "data, said", [(b"\x82\x41a\x41b", "read_capture"), (b"\x01", "no dump"), (b"\x1c", "no CBOR")]
)
def test_files_of_another_kind_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=said):
        list(read_dump(path))
    with pytest.raises(ValueError, match="programs, not data"):
        list(read_dump(tmp_path / "x.pkls"))


def test_captures(recordings: Path) -> None:
    messages = list(read_capture(recordings / "contrast-dump.cbors"))
    assert len(messages) == 26 and all(len(m) == 1 for m in messages)
    assert [len(m) for m in read_capture(recordings / "xspress3-multipart.cbors")] == [1, 3, 3, 3, 3, 3, 1]
    with pytest.raises(ValueError, match="no capture"):
        list(read_capture(recordings / "dump_xrd.cbors"))


def event(number: int, stream: str) -> bytes:
    return (
        b"\xd9\xa7\x7d\x82" + bytes([number]) + b"\xa1\x61" + stream.encode() + b"\xd9\xa7\x7e\x82\x61x\x80"
    )


def test_recordings_of_one_scan_are_read_in_step(tmp_path: Path) -> None:
    a, b, c = (tmp_path / f"{n}.cbors" for n in "abc")
    a.write_bytes(b"".join(event(k, "a") for k in (0, 1, 3, 4)))
    b.write_bytes(b"".join(event(k, "b") for k in (0, 2, 3)))
    assert [(e.number, sorted(e.streams)) for e in read_events(a, b)] == [
        (0, ["a", "b"]), (1, ["a"]), (2, ["b"]), (3, ["a", "b"])
    ]  # fmt: skip
    c.write_bytes(event(0, "a"))
    with pytest.raises(ValueError, match="event 0 has stream"):
        list(read_events(a, c))


def test_sources_may_yield_what_only_looks_like_ours() -> None:
    frame = SimpleNamespace(buffer=memoryview(b"12"), bytes=b"12")
    part = SimpleNamespace(event_number=3, streams={"a": SimpleNamespace(typ="x", frames=[frame, b"3", "4"])})
    (found,) = merge([[part]])
    assert found.number == 3 and [bytes(f) for f in found["a"].frames] == [b"12", b"3", b"4"]


ARRAYS = [
    np.arange(6, dtype="<u2").reshape(2, 3), np.arange(6, dtype=">f8"), np.asfortranarray(np.ones((2, 3))),
    np.zeros((0, 2)), np.array(5.0), np.array([True]), np.array(["ab", "c"]),
    np.array([b"ab"]), np.arange(10)[::2],
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_as_data(protocol: int) -> None:
    data = {"a": ARRAYS, "b": (1, -(1 << 40), 2.5, "ä", b"\xff\0", None, True, 1j), "c": np.float32(0.5),
            "d": OrderedDict(x=[1]), "e": np.int64(-3), "f": bytearray(b"xy")}  # fmt: skip
    back = load(pickle.dumps(data, protocol=protocol))
    for given, found in zip(ARRAYS, back["a"]):
        assert np.array_equal(given, found) and given.dtype == found.dtype and given.shape == found.shape
    assert back["b"] == data["b"] and back["c"] == 0.5 and back["d"] == {"x": [1]} and back["e"] == -3
    assert bytes(back["f"]) == b"xy"


class Evil:
    def __init__(self, *what: Any) -> None:
        self.what = what

    def __reduce__(self) -> Any:
        return self.what


def test_pickles_run_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for what in (
        (os.system, (f"touch {mark}",)),
        (eval, (f"open({str(mark)!r}, 'w')",)),
        (np.load, (str(mark),)),
        (getattr, ("x", "upper")),
    ):
        for protocol in (0, 2, 4):
            with pytest.raises(ValueError, match="cannot be read as data"):
                load(pickle.dumps([Evil(*what)], protocol=protocol))
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        np.array([object()], dtype=object).dumps(),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]).dumps(),
        np.array(["2020-01-01"], "M8[D]").dumps(),
        pickle.dumps(np.dtype("f8")),
        pickle.dumps(np.ndarray),
        pickle.dumps({1, 2, 3})[:-3],
        b"",
        b"garbage",
        b"\x80\x02cnumpy\nndarray\n)R.",
        b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__K\x01s\x86b.",
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.",
        b"\x80\x02cnumpy\ndtype\n)\x81.",
    ],
)
def test_what_is_no_plain_data_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        load(data)


def test_a_dtype_cannot_be_made_to_hold_objects() -> None:
    """A state of flags that says so, on an element type of plain numbers."""
    plain = pickle.dumps(np.arange(3.0), protocol=2)
    assert b"K\x00t" in plain, "the flags of the element type"
    changed = plain.replace(b"K\x00t", b"K\x3ft", 1)
    pickletools.dis(changed, out=open(os.devnull, "w"))
    assert load(changed).tolist() == [0.0, 1.0, 2.0] and load(changed).dtype == np.float64


def test_a_pickle_that_holds_itself_is_refused() -> None:
    x: list[Any] = []
    x.append(x)
    with pytest.raises(ValueError, match="deep"):
        load(pickle.dumps(x))
