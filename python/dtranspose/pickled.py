"""Pickles of instruments, read as data: nothing in them is ever called that is not in this file.

They hold numbers, texts, bytes, lists, dicts and arrays of plain elements; anything else is refused.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from typing import Any, Callable

import numpy as np

_PLAIN_TYPE = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[SU]\d{1,9}")
_MOST_DEPTH = 64


class _Dtype:
    """An element type in the making: a letter and a size, and the byte order that comes later."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(code, str) or not _PLAIN_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of elements '{code}'")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order, subdtype, names = state[1], state[2], state[3]
        if subdtype is not None or names is not None or order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("an array of records")
        if order in "<>":
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array in the making."""

    def __init__(self) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if isinstance(data, str):
            data = data.encode("latin-1")
        if not isinstance(data, (bytes, bytearray)):
            raise pickle.UnpicklingError("an array of objects")
        self.array = _filled(data, dtype, shape, "F" if fortran else "C")


def _filled(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    if not isinstance(dtype, _Dtype) or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array of an unknown layout")
    return np.frombuffer(data, dtype.dtype).reshape(tuple(int(x) for x in shape), order=order)  # type: ignore[call-overload,no-any-return]


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _Array:
    if subtype is not _NDARRAY:
        raise pickle.UnpicklingError("an array of a class of its own")
    return _Array()


def _ndarray() -> None:
    raise pickle.UnpicklingError("a call of ndarray")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str) -> _Array:
    made = _Array()
    made.array = _filled(data, dtype, shape, order)
    return made


def _scalar(dtype: Any, data: Any) -> Any:
    if isinstance(data, str):
        data = data.encode("latin-1")
    return _filled(data, dtype, (), "C")[()]


def _encode(text: str, codec: str = "") -> bytes:
    if codec not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the codec '{codec}'")
    return text.encode("latin-1")


def _bytes(data: Any = b"") -> bytes:
    if not isinstance(data, (bytes, bytearray)):
        raise pickle.UnpicklingError("bytes of something else")
    return bytes(data)


def _ordered_dict(pairs: Any = ()) -> Any:
    return OrderedDict(pairs)


class _Symbol:
    """A name in a pickle: it can be called, and that is all."""

    __slots__ = ("_meaning",)
    _meaning: Callable[..., Any]

    def __init__(self, meaning: Callable[..., Any]) -> None:
        object.__setattr__(self, "_meaning", meaning)

    def __call__(self, *arguments: Any) -> Any:
        return self._meaning(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a changed function")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a changed function")


_MEANINGS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _bytes,
    ("builtins", "bytes"): _bytes,
    ("__builtin__", "bytearray"): _bytes,
    ("builtins", "bytearray"): _bytes,
    ("builtins", "complex"): complex,
    ("__builtin__", "complex"): complex,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}


_KNOWN = {name: _Symbol(meaning) for name, meaning in _MEANINGS.items()}
_NDARRAY = _KNOWN["numpy", "ndarray"]


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is None:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("something that lies elsewhere")


def load(data: Any) -> Any:
    """What a pickle holds. Raises ValueError for one that is broken, or holds more than plain data."""
    try:
        return _plain(_Reader(io.BytesIO(bytes(data))).load(), 0)
    except ValueError:
        raise
    except Exception as e:
        raise ValueError(f"a pickle that cannot be read as data: {e}") from None


def _plain(x: Any, depth: int) -> Any:
    """With finished arrays in place of those in the making."""
    if depth > _MOST_DEPTH:
        raise ValueError("a pickle that is nested too deep")
    if isinstance(x, _Array):
        return x.array
    if isinstance(x, dict):
        return {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in x.items()}
    if isinstance(x, list):
        return [_plain(v, depth + 1) for v in x]
    if isinstance(x, tuple):
        return tuple(_plain(v, depth + 1) for v in x)
    if isinstance(x, (set, frozenset)):
        return {_plain(v, depth + 1) for v in x}
    if x is None or isinstance(x, (bool, int, float, complex, str, bytes, bytearray, np.generic)):
        return x
    raise ValueError(f"a pickle that holds {type(x).__name__.lstrip('_')}")
