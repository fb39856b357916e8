"""Parameters and growing arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dtranspose import (
    BinaryParameter,
    BoolParameter,
    FloatParameter,
    GrowingArray,
    IntParameter,
    Parameters,
    StrParameter,
)

KINDS = [
    StrParameter("text"), BinaryParameter("binary"), IntParameter("int", 3), FloatParameter("float", 0.5),
    BoolParameter("bool", True),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, written, value",
    [
        ("text", "äö".encode(), "äö"), ("text", b"\xff", ""), ("binary", b"\xff", b"\xff"), ("int", b"-3",
        -3), ("int", b" +1_000 ", 1000), ("int", b"1.5", 0), ("int", b"", 0), ("float", b"2", 2.0), ("float",
        b"-inf", -np.inf),
        ("float", b"1e-9", 1e-9), ("float", b"x", 0.0), ("bool", b"True", True), ("bool", b"true", False),
        ("bool", b"1", False), ("bool", b"False", False),
    ],
)  # fmt: skip
def test_what_bytes_say(name: str, written: bytes, value: Any) -> None:
    parameters = Parameters(KINDS, {name: written})
    assert parameters[name] == value and type(parameters[name]) is type(value)
    work = parameters.work_parameters()[name]
    assert (work.name, work.data, work.value) == (name, written, value) and work.uuid is not None


def test_defaults_and_their_written_forms() -> None:
    parameters = Parameters(KINDS)
    assert dict(parameters) == {"text": "", "binary": b"", "int": 3, "float": 0.5, "bool": True}
    assert [parameters.binary(n) for n in parameters] == [b"", b"", b"3", b"0.5", b"True"]
    assert FloatParameter.to_bytes(1e-9) == b"1e-09" and FloatParameter.to_bytes(2.0) == b"2.0"


def test_what_nobody_describes_is_bytes() -> None:
    parameters = Parameters(KINDS, {"more": b"12"})
    assert parameters["more"] == b"12" and parameters.work_parameters()["more"].value is None
    assert (
        parameters.integer("more") == 12
        and parameters.real("more") == 12.0
        and parameters.text("more") == "12"
    )
    assert parameters.boolean("more") is False and parameters.integer("none of that name") == 0
    with pytest.raises(KeyError, match="no parameter 'none'; there are: text"):
        parameters["none"]


def test_the_hash_follows_what_is_set() -> None:
    same = [Parameters(KINDS, {"int": b"1"}).hash for _ in range(2)]
    assert same[0] == same[1] != Parameters(KINDS, {"int": b"2"}).hash
    assert Parameters(KINDS, {}, "given").hash == "given"


def test_rows_in_any_order() -> None:
    rows = GrowingArray(rows=1)
    assert len(rows) == 0 and rows.array.shape == (0,)
    for k in (5, 0, 300):
        rows[k] = [k, 1.0]
    assert rows.array.shape == (301, 2) and rows[300].tolist() == [300.0, 1.0]
    assert np.isnan(rows[1]).all() and rows.has(5) and not rows.has(1) and not rows.has(301)
    assert rows.gapless() == 1
    kept = rows.copy()
    rows[0] = 7.0
    assert kept[0].tolist() == [0.0, 1.0] and np.asarray(rows).shape == (301, 2)
    with pytest.raises(IndexError):
        rows[-1] = 0


def test_rows_add_up() -> None:
    rows = GrowingArray((2,), "int32", fill=-1)
    rows.add(1, [1, 2])
    rows.add(1, [1, 2])
    assert rows.array.tolist() == [[-1, -1], [2, 4]] and rows.array.dtype == np.int32
