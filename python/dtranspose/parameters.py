"""Parameters: what an analysis describes, and the values in force."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Optional, Union

Written = Union[bytes, bytearray, memoryview, str]


class Parameter:
    """A parameter that an analysis describes. Use one of the classes below, one for each type.

    name: as people and the REST interface call it.
    default: its value until somebody sets it.
    description: one line for people.
    """

    dtype = "str"
    nothing: Any = ""

    def __init__(self, name: str, default: Any = None, description: Optional[str] = None) -> None:
        self.name = name
        self.default = self.nothing if default is None else default
        self.description = description

    @staticmethod
    def from_bytes(written: bytes) -> Any:
        """The value that bytes say; the type's zero for bytes that say none."""
        try:
            return written.decode("utf-8")
        except ValueError:
            return ""

    @staticmethod
    def to_bytes(value: Any) -> bytes:
        return str(value).encode("utf-8")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, default={self.default!r})"


class StrParameter(Parameter):
    """Text, as UTF-8."""


class BinaryParameter(Parameter):
    """Bytes as they are, e.g. a whole file."""

    dtype = "binary"
    nothing = b""

    @staticmethod
    def from_bytes(written: bytes) -> Any:
        return written

    @staticmethod
    def to_bytes(value: Any) -> bytes:
        return bytes(value)


class IntParameter(Parameter):
    """A whole number, written in decimals."""

    dtype = "int"
    nothing = 0

    @staticmethod
    def from_bytes(written: bytes) -> Any:
        try:
            return int(written)
        except ValueError:
            return 0


class FloatParameter(Parameter):
    """A number; ``nan``, ``inf`` and exponents are numbers too."""

    dtype = "float"
    nothing = 0.0

    @staticmethod
    def from_bytes(written: bytes) -> Any:
        try:
            return float(written)
        except ValueError:
            return 0.0


class BoolParameter(Parameter):
    """``True``; anything else is false."""

    dtype = "bool"
    nothing = False

    @staticmethod
    def from_bytes(written: bytes) -> Any:
        return written == b"True"


def as_bytes(written: Written) -> bytes:
    return written.encode("utf-8") if isinstance(written, str) else bytes(written)


class WorkParameter:
    """A parameter in force, as code written for dranspose reads it: ``parameters["rows"].value``."""

    def __init__(
        self,
        name: str,
        data: Written = b"",
        value: Any = None,
        uuid: Optional[uuid.UUID] = None,  # noqa: A002
    ) -> None:
        self.name = name
        self.data = as_bytes(data)
        self.value = value
        self.uuid = uuid

    def __repr__(self) -> str:
        return f"WorkParameter(name={self.name!r}, value={self.value!r}, data={self.data[:60]!r})"


class Parameters(Mapping[str, Any]):
    """The parameters in force. ``parameters["rows"]`` is the value in its type.

    A parameter that was set but is described by nobody is its bytes.
    """

    def __init__(self, descriptions: Any = (), written: Mapping[str, Written] = {}, hash: str = "") -> None:  # noqa: A002
        self._described: dict[str, Any] = {d.name: d for d in descriptions}
        self._work: dict[str, WorkParameter] = {}
        for name, d in self._described.items():
            if name not in written:
                self._work[name] = WorkParameter(name, d.to_bytes(d.default), d.default, uuid.uuid4())
        for name, text in written.items():
            data = as_bytes(text)
            d = self._described.get(name)
            value = d.from_bytes(data) if d is not None else None
            self._work[name] = WorkParameter(name, data, value, uuid.uuid4())
        self.hash = hash or self._digest()

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for name in sorted(self._work):
            digest.update(name.encode() + b"\0" + self._work[name].data + b"\0")
        return digest.hexdigest()

    def __getitem__(self, name: str) -> Any:
        try:
            work = self._work[name]
        except KeyError:
            raise KeyError(f"no parameter '{name}'; there are: {', '.join(self._work) or 'none'}") from None
        return work.value if name in self._described else work.data

    def __iter__(self) -> Iterator[str]:
        return iter(self._work)

    def __len__(self) -> int:
        return len(self._work)

    def text(self, name: str) -> str:
        return str(StrParameter.from_bytes(self.binary(name)))

    def integer(self, name: str) -> int:
        return int(IntParameter.from_bytes(self.binary(name)))

    def real(self, name: str) -> float:
        return float(FloatParameter.from_bytes(self.binary(name)))

    def boolean(self, name: str) -> bool:
        return bool(BoolParameter.from_bytes(self.binary(name)))

    def binary(self, name: str) -> bytes:
        """The written form; empty where no such parameter is set."""
        work = self._work.get(name)
        return work.data if work is not None else b""

    def work_parameters(self) -> dict[str, WorkParameter]:
        """As code written for dranspose expects them; the same objects at every call."""
        return self._work

    def descriptions(self) -> list[Any]:
        return list(self._described.values())
