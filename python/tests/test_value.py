"""Values: there and back, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dtranspose.value import DTYPES, Encoder, NotAValue, decode, encode


@pytest.mark.parametrize(
    "x",
    [
        None, True, False, 0, -1, 1 << 62, -(1 << 63), (1 << 64) - 1, 0.0, -1.5, 1e300, "", "äöü 語", b"",
        b"\0\xff", [], [1, [2, [None]]], {}, {"a": {"b": [1.5, "x"]}, "": 1},
    ],
)  # fmt: skip
def test_comes_back_the_same(x: Any) -> None:
    back = decode(encode(x))
    assert back == x and type(back) is type(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 4), (3, 0, 2)])
def test_arrays_come_back_the_same(dtype: Any, shape: Any) -> None:
    x = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    for given in (x, x.astype(dtype.newbyteorder(">")), x.copy("F")):
        back = decode(encode(given))
        assert back.dtype == dtype and back.shape == shape and (back == x).all()
        assert back.flags.writeable


def test_a_large_array_is_not_copied() -> None:
    x = np.zeros(1 << 20)
    encoder = Encoder()
    encoder.put({"x": x})
    assert any(isinstance(p, memoryview) and np.shares_memory(np.frombuffer(p), x) for p in encoder.parts())


def test_what_fails_half_way_leaves_nothing() -> None:
    for broken in (
        [1, "x", object()],
        {"a": np.zeros(1 << 14), "b": object()},
        [np.zeros(1 << 14)] * 3 + [1j],
    ):
        encoder = Encoder(copies=True)
        encoder.put("before")
        with pytest.raises(NotAValue):
            encoder.put_whole(broken)
        encoder.put_whole(["after"])
        assert encoder.bytes() == encode("before") + encode(["after"])


def test_nan_and_infinities() -> None:
    assert np.isnan(decode(encode(float("nan"))))
    assert decode(encode([float("inf"), -float("inf")])) == [float("inf"), -float("inf")]


@pytest.mark.parametrize(
    "x, becomes",
    [
        ((1, 2), [1, 2]),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3),
        (np.uint64(1 << 63), 1 << 63),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array([True, False]), [1, 0]),
        (np.array([0.5], np.float16), [0.5]),
        (np.array(["a", "bc"]), ["a", "bc"]),
        (np.array([b"a", b"bc"]), ["a", "bc"]),
        (np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), {"a": [1], "b": [2.0]}),
        (np.array([1 + 2j]), {"real": [1.0], "imag": [2.0]}),
        (np.array(["1970-01-01T00:00:01"], "M8[s]"), [10**9]),
    ],
)
def test_what_has_no_form_of_its_own_becomes_the_nearest(x: Any, becomes: Any) -> None:
    back = decode(encode(x))
    if isinstance(back, dict):
        back = {k: v.tolist() for k, v in back.items()}
    assert (back.tolist() if isinstance(back, np.ndarray) else back) == becomes


@pytest.mark.parametrize("x", [object(), {1: 2}, 1 << 64, {1, 2}, 1j, np.array([object()]), [[object()]]])
def test_what_no_value_can_say_is_refused(x: Any) -> None:
    with pytest.raises(NotAValue):
        encode(x)


def test_leniently_it_is_left_out_and_named() -> None:
    encoder = Encoder(lenient=True)
    encoder.put({"a": 1, 5: 2, "b": {"c": object(), "d": 3}, "e": 1 << 70, "f": np.array([None, 1], object)})
    assert decode(encoder.bytes()) == {"a": 1, "b": {"d": 3}, "e": float(1 << 70), "f": [None, 1]}
    assert [c.split(":")[0] for c in encoder.complaints] == ["b/c"]


def test_a_list_that_holds_itself_is_refused() -> None:
    x: list[Any] = []
    x.append(x)
    with pytest.raises(NotAValue, match="deep"):
        encode(x)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x0b", b"\x03\0", b"\x06\xff\xff\xff\xffabc", b"\x07" + b"\xff" * 8, b"\x09\xff\xff\xff\xff",
        b"\x0a\x01\0\0\0\x05\0\0\0ab", b"\x08\x0a\0", b"\x08\x00\x02" + b"\xff" * 16, b"\x09\x01\0\0\0" *
        100 + b"\0", b"\x00\x00", b"\x08\x00\x01" + (10).to_bytes(8, "little") + b"123",
    ],
)  # fmt: skip
def test_bytes_that_are_no_value_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode(data)


def test_every_cut_is_refused() -> None:
    whole = encode({"a": [1, 2.5, "x", b"y", np.arange(3)], "b": None})
    for k in range(len(whole)):
        with pytest.raises(ValueError):
            decode(whole[:k])
