"""The one type of results and published trees, as bytes: null, bool, numbers, text, bytes, arrays, lists
and maps.

The layout is written down in docs/python_host.md, section "Values".
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Optional, Union

import numpy as np

Buffer = Union[bytes, bytearray, memoryview]

NULL, FALSE, TRUE, INT64, UINT64, FLOAT64, TEXT, BYTES, ARRAY, LIST, MAP = range(11)

#: Element types of arrays; the place in the list is the code on the wire.
DTYPES = tuple(
    np.dtype(name) for name in ("<u1", "<i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
)
_CODES: dict[np.dtype[Any], int] = {d: code for code, d in enumerate(DTYPES)}
#: Element types that a value has no code for, and what they become.
_WIDENED: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.bool_): np.dtype("<u1"),
    np.dtype(np.float16): np.dtype("<f4"),
}

_MOST_DEPTH = 64
#: Arrays from this size on are sent from where they lie.
_LEAST_APART = 1 << 15

_pack_head = struct.Struct("<BI").pack
_pack_long_head = struct.Struct("<BQ").pack
_pack_int64 = struct.Struct("<Bq").pack
_pack_uint64 = struct.Struct("<BQ").pack
_pack_float64 = struct.Struct("<Bd").pack
_pack_length = struct.Struct("<I").pack
_unpack_length = struct.Struct("<I").unpack_from
_unpack_uint64 = struct.Struct("<Q").unpack_from
_unpack_int64 = struct.Struct("<q").unpack_from
_unpack_float64 = struct.Struct("<d").unpack_from


class NotAValue(TypeError):
    """Something that no value can say, e.g. an object of a class."""


class Encoder:
    """Collects encoded values. ``parts()`` are the bytes, large arrays unchanged where they lie.

    lenient: what has no value of its own becomes the nearest that has one, or is left out and
    named in ``complaints``. Otherwise it raises NotAValue. copies: large arrays are copied, too, for
    what may change before it is sent.
    """

    def __init__(self, lenient: bool = False, copies: bool = False) -> None:
        self._lenient = lenient
        self._copies = copies
        self._parts: list[Buffer] = []
        self._tail = bytearray()
        self._depth = 0
        self.complaints: list[str] = []

    def parts(self) -> list[Buffer]:
        if self._tail:
            self._parts.append(self._tail)
            self._tail = bytearray()
        return self._parts

    def bytes(self) -> bytes:
        return b"".join(self.parts())

    def put_whole(self, x: Any) -> None:
        """Appends a value, or nothing of it before the exception: for an encoder that copies."""
        if not self._copies:
            raise RuntimeError("only an encoder that copies can go back")
        tail = len(self._tail)
        try:
            self.put(x)
        except BaseException:
            del self._tail[tail:]
            self._depth = 0
            raise

    def raw(self, data: Buffer) -> None:
        """Appends bytes as they are."""
        if self._copies or len(data) < _LEAST_APART:
            self._tail += data
        else:
            self.parts().append(data)

    def put(self, x: Any) -> None:
        """Appends a value. What was appended before an exception stays."""
        writer = _WRITERS.get(type(x))
        if writer is None:
            writer = _writer_of(x)
        writer(self, x)

    def _float(self, x: float) -> None:
        self._tail += _pack_float64(FLOAT64, x)

    def _int(self, x: int) -> None:
        if -(1 << 63) <= x < 1 << 63:
            self._tail += _pack_int64(INT64, x)
        elif 0 <= x < 1 << 64:
            self._tail += _pack_uint64(UINT64, x)
        elif self._lenient:
            self._float(float(x))
        else:
            raise NotAValue(f"{x} has more than 64 bits")

    def _bool(self, x: bool) -> None:
        self._tail.append(TRUE if x else FALSE)

    def _none(self, x: None) -> None:
        self._tail.append(NULL)

    def _text(self, x: str) -> None:
        data = x.encode("utf-8", "replace")
        self._tail += _pack_head(TEXT, len(data)) + data

    def _binary(self, x: Buffer) -> None:
        data = memoryview(x).cast("B")
        self._tail += _pack_long_head(BYTES, len(data))
        self.raw(data)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise NotAValue(f"nested more than {_MOST_DEPTH} deep")

    def _list(self, x: Any) -> None:
        self._enter()
        self._tail += _pack_head(LIST, len(x))
        for item in x:
            self.put(item)
        self._depth -= 1

    def _map(self, x: dict[Any, Any]) -> None:
        self._enter()
        keys = [key for key in x if isinstance(key, str)]
        if len(keys) < len(x) and not self._lenient:
            raise NotAValue("a dict with keys that are no texts")
        if not self._lenient:
            self._tail += _pack_head(MAP, len(keys))
            for key in keys:
                name = key.encode("utf-8", "replace")
                self._tail += _pack_length(len(name)) + name
                self.put(x[key])
        else:
            self._lenient_map(keys, x)
        self._depth -= 1

    def _lenient_map(self, keys: list[str], x: dict[Any, Any]) -> None:
        """An entry that cannot be written is left out; the others stay."""
        entries: list[tuple[str, list[Buffer]]] = []
        for key in keys:
            inner = Encoder(lenient=True)
            inner._depth = self._depth
            try:
                inner.put(x[key])
            except (NotAValue, ValueError, RuntimeError) as e:
                self.complaints.append(f"{key}: {e}")
                continue
            self.complaints += [f"{key}/{text}" for text in inner.complaints]
            entries.append((key, inner.parts()))
        self._tail += _pack_head(MAP, len(entries))
        for key, parts in entries:
            name = key.encode("utf-8", "replace")
            self._tail += _pack_length(len(name)) + name
            for part in parts:
                self.raw(part)

    def _array(self, x: np.ndarray[Any, Any]) -> None:
        dtype: np.dtype[Any] = x.dtype.newbyteorder("<")
        code = _CODES.get(dtype)
        if code is None:
            code = _CODES.get(_WIDENED.get(dtype, dtype))
            if code is None:
                return self._odd_array(x)
        if x.ndim > 32:
            raise NotAValue(f"an array of {x.ndim} dimensions")
        data = np.ascontiguousarray(x, DTYPES[code])
        self._tail += struct.pack(f"<BBB{x.ndim}Q", ARRAY, code, x.ndim, *x.shape)
        self.raw(data.reshape(-1).view(np.uint8).data)

    def _odd_array(self, x: np.ndarray[Any, Any]) -> None:
        """Arrays whose elements are not one of the ten types."""
        kind = x.dtype.kind
        if x.dtype.names is not None:
            return self.put({name: x[name] for name in x.dtype.names})
        if kind == "c":
            return self.put({"real": x.real.astype(np.float64), "imag": x.imag.astype(np.float64)})
        if kind == "U" or (kind == "O" and self._lenient):
            return self.put(x.tolist())
        if kind == "S":
            return self.put(np.char.decode(x, "utf-8", "replace").tolist())
        if kind in "mM":
            return self.put(x.astype("M8[ns]" if kind == "M" else "m8[ns]").astype(np.int64))
        raise NotAValue(f"an array of {x.dtype}")

    def _numpy_scalar(self, x: np.generic) -> None:
        if isinstance(x, np.bool_):
            self._bool(bool(x))
        elif isinstance(x, np.integer):
            self._int(int(x))
        elif isinstance(x, np.floating):
            self._float(float(x))
        elif isinstance(x, np.str_):
            self._text(str(x))
        elif isinstance(x, np.bytes_):
            self._binary(bytes(x))
        else:
            self._odd_array(np.asarray(x))


_WRITERS: dict[type, Callable[[Encoder, Any], None]] = {
    type(None): Encoder._none,
    bool: Encoder._bool,
    int: Encoder._int,
    float: Encoder._float,
    str: Encoder._text,
    bytes: Encoder._binary,
    bytearray: Encoder._binary,
    memoryview: Encoder._binary,
    list: Encoder._list,
    tuple: Encoder._list,
    dict: Encoder._map,
    np.ndarray: Encoder._array,
    np.float64: Encoder._numpy_scalar,
}


def _writer_of(x: Any) -> Callable[[Encoder, Any], None]:
    """For what is not exactly of one of the usual types, but of one derived from it."""
    if isinstance(x, np.generic):
        return Encoder._numpy_scalar
    for base in (np.ndarray, dict, bool, int, float, str, bytes, list, tuple):
        if isinstance(x, base):
            return _WRITERS[base]
    raise NotAValue(f"an object of {type(x).__module__}.{type(x).__qualname__}")


def encode(x: Any, lenient: bool = False) -> bytes:
    """One value as bytes. Raises NotAValue for what no value can say."""
    encoder = Encoder(lenient)
    encoder.put(x)
    return encoder.bytes()


class Decoder:
    """Reads values one after the other. Raises ValueError for bytes that are none."""

    def __init__(self, data: Buffer, at: int = 0) -> None:
        self._data = memoryview(data)
        self.at = at

    def get(self, depth: int = 0) -> Any:
        """The next value. Arrays are copies of their own."""
        if depth > _MOST_DEPTH:
            raise ValueError("a value nested too deep")
        tag = self._take(1)[0]
        if tag == FLOAT64:
            return _unpack_float64(self._take(8))[0]
        if tag == INT64:
            return _unpack_int64(self._take(8))[0]
        if tag == TEXT:
            return self._text()
        if tag == MAP:
            return {self._text(): self.get(depth + 1) for _ in range(self._count(5))}
        if tag == ARRAY:
            return self._array()
        if tag == LIST:
            return [self.get(depth + 1) for _ in range(self._count(1))]
        if tag == NULL:
            return None
        if tag == TRUE or tag == FALSE:
            return tag == TRUE
        if tag == UINT64:
            return _unpack_uint64(self._take(8))[0]
        if tag == BYTES:
            return bytes(self._take(_unpack_uint64(self._take(8))[0]))
        raise ValueError(f"a value with the unknown tag {tag}")

    def _take(self, size: int) -> memoryview:
        end = self.at + size
        if end > len(self._data):
            raise ValueError("a value that is cut off")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _count(self, least: int) -> int:
        """A number of items of at least that many bytes each, all of which are there."""
        count: int = _unpack_length(self._take(4))[0]
        if count * least > len(self._data) - self.at:
            raise ValueError("a value that is cut off")
        return count

    def _text(self) -> str:
        return str(self._take(_unpack_length(self._take(4))[0]), "utf-8", "replace")

    def _array(self) -> np.ndarray[Any, Any]:
        code, ndim = self._take(2)
        if code >= len(DTYPES):
            raise ValueError(f"an array of the unknown element type {code}")
        shape = struct.unpack(f"<{ndim}Q", self._take(8 * ndim))
        size = DTYPES[code].itemsize
        for extent in shape:
            size *= extent
        return np.frombuffer(self._take(size), DTYPES[code]).reshape(shape).copy()


def decode(data: Buffer) -> Any:
    """The one value that ``data`` is. Raises ValueError for anything else."""
    decoder = Decoder(data)
    x = decoder.get()
    if decoder.at != len(memoryview(data)):
        raise ValueError("bytes after the end of a value")
    return x


def dtype_code(dtype: Any) -> Optional[int]:
    """The code of an element type; nothing for types that no value has."""
    return _CODES.get(np.dtype(dtype).newbyteorder("<"))
