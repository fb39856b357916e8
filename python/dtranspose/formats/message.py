"""What all messages of instruments have in common."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any, TypeVar

import numpy as np

from ..event import StreamData

M = TypeVar("M", bound="Message")


class Message:
    """A message of an instrument: attributes by name.

    A class names its attributes with types; one without a value must be there. What else a message has
    becomes an attribute too, ``extra()`` tells which. Attribute names that are no identifiers:
    ``message["INENC1.VAL.Mean"]``.
    """

    #: Attributes that are frames of their own rather than part of the header.
    apart: tuple[str, ...] = ()

    _required: tuple[str, ...] = ()
    _declared: frozenset[str] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = [
            n for c in reversed(cls.__mro__) for n in vars(c).get("__annotations__", ()) if c is not Message
        ]
        names = list(dict.fromkeys(n for n in names if not n.startswith("_") and n != "apart"))
        cls._declared = frozenset(names)
        cls._required = tuple(n for n in names if not hasattr(cls, n))

    def __init__(self, **fields: Any) -> None:
        for name in self._required:
            if name not in fields:
                raise ValueError(f"{type(self).__name__} without '{name}'; it has {sorted(fields)}")
        self.__dict__.update(fields)

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(f"{type(self).__name__} has no '{name}', but {sorted(self.as_dict())}") from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and hasattr(self, name)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Message)
            and type(self) is type(other)
            and _same(self.as_dict(), other.as_dict())
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no '{name}'")

    def as_dict(self) -> dict[str, Any]:
        """All attributes with their values."""
        values = {n: getattr(self, n) for n in self._ordered()}
        values.update(self.__dict__)
        return values

    def _ordered(self) -> list[str]:
        return [n for c in reversed(type(self).__mro__) for n in vars(c).get("__annotations__", ())
                if n in self._declared and hasattr(self, n)]  # fmt: skip

    def extra(self) -> dict[str, Any]:
        """What the message has beside what its class names."""
        return {n: x for n, x in self.__dict__.items() if n not in self._declared}

    def header(self) -> dict[str, Any]:
        """What belongs into the JSON header."""
        return {n: x for n, x in self.as_dict().items() if n not in self.apart}

    def header_json(self) -> str:
        return json.dumps(self.header(), default=plain)

    def to_stream_data(self) -> StreamData:
        """The frames that say this."""
        raise NotImplementedError(f"{type(self).__name__} is not written, only read")

    # The names under which code written for dranspose asks for the same.

    def model_dump(self, exclude: Any = ()) -> dict[str, Any]:
        return {n: x for n, x in self.as_dict().items() if n not in exclude}

    def model_dump_json(self, exclude: Any = ()) -> str:
        return json.dumps(self.model_dump(exclude), default=plain)

    @property
    def model_extra(self) -> dict[str, Any]:
        return self.extra()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={x!r}' for n, x in self.as_dict().items())})"

    def __str__(self) -> str:
        return " ".join(f"{n}={x!r}" for n, x in self.as_dict().items())


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b))
    return bool(a == b)


def plain(x: Any) -> Any:
    """For json.dumps: what JSON has no word for."""
    if isinstance(x, np.ndarray):
        return x.tolist()
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, datetime):
        return x.isoformat().replace("+00:00", "Z")
    if isinstance(x, (bytes, bytearray, memoryview)):
        return base64.b64encode(x).decode()
    if isinstance(x, Message):
        return x.as_dict()
    raise TypeError(f"{type(x).__name__} cannot be written as JSON")


def views_of(data: Any) -> list[Any]:
    """The frames as views; those of stream data of dranspose proper as it has them."""
    frames = getattr(data, "views", None)
    if frames is None:
        frames = data.frames
    return [getattr(f, "buffer", f) if not isinstance(f, memoryview) else f for f in frames]


def require(data: Any, tag: str) -> list[Any]:
    """The frames of stream data of that type. Raises ValueError for any other."""
    found = getattr(data, "typ", None)
    if found != tag:
        raise ValueError(f"stream data of type '{found}', expected '{tag}'")
    frames = views_of(data)
    if not frames:
        raise ValueError(f"stream data of type '{tag}' without frames")
    return frames


def read_json(frame: Any) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else."""
    try:
        text = frame if isinstance(frame, str) else str(frame, "utf-8")
        content = json.loads(text)
    except ValueError as e:
        raise ValueError(f"a header that is no JSON: {e}") from None
    if not isinstance(content, dict):
        raise ValueError(f"a header that is no JSON object but {type(content).__name__}")
    return content


def pixels(frame: Any, dtype: Any, shape: Any, what: str) -> np.ndarray[Any, Any]:
    """A view of raw elements as an array. Raises ValueError where the size is another."""
    try:
        element = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"{what}: elements of the unknown type '{dtype}'") from None
    wanted = element.itemsize
    for extent in shape:
        wanted *= extent
    size = memoryview(frame).nbytes
    if size != wanted:
        raise ValueError(f"{what}: {size} bytes, but shape {list(shape)} of {element} takes {wanted}")
    return np.frombuffer(frame, element).reshape(shape)
