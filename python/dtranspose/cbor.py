"""A reader of CBOR, for recordings: all of RFC 8949 that data has, and limits on what it will take."""

from __future__ import annotations

import struct
from typing import Any

_MOST_DEPTH = 64
_BREAK = object()
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}


class CutOff(ValueError):
    """The bytes end in the middle of an item."""


class Tag:
    """A tagged item that nobody has given a meaning."""

    __slots__ = ("number", "content")

    def __init__(self, number: int, content: Any) -> None:
        self.number = number
        self.content = content

    def __repr__(self) -> str:
        return f"Tag({self.number}, {self.content!r})"


class Reader:
    """Reads items one after the other. Byte strings are views of the input."""

    def __init__(self, data: Any, at: int = 0) -> None:
        self._data = memoryview(data)
        self.at = at

    def more(self) -> bool:
        return self.at < len(self._data)

    def item(self) -> Any:
        """The next item. Raises CutOff where the input ends in its midst, ValueError for what is no CBOR."""
        found = self._item(0)
        if found is _BREAK:
            raise ValueError(f"byte {self.at - 1}: an end of nothing")
        return found

    def _take(self, size: int) -> memoryview:
        end = self.at + size
        if end > len(self._data):
            raise CutOff(f"byte {self.at}: {size} bytes more were announced than there are")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _item(self, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise ValueError(f"byte {self.at}: nested more than {_MOST_DEPTH} deep")
        first = self._take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7:
            return self._simple(info)
        if info == 31:
            return self._indefinite(major, depth)
        size = self._argument(info)
        if major == 0:
            return size
        if major == 1:
            return -1 - size
        if major == 2:
            return self._take(size)
        if major == 3:
            return str(self._take(size), "utf-8", "replace")
        if major == 4:
            self._expect(size)
            return [self._inner(depth) for _ in range(size)]
        if major == 5:
            self._expect(2 * size)
            return dict(self._pair(self._inner(depth), depth) for _ in range(size))
        return Tag(size, self._inner(depth))

    def _inner(self, depth: int) -> Any:
        found = self._item(depth + 1)
        if found is _BREAK:
            raise ValueError(f"byte {self.at - 1}: an end of nothing")
        return found

    def _pair(self, key: Any, depth: int) -> tuple[Any, Any]:
        if isinstance(key, memoryview):
            key = bytes(key)
        if isinstance(key, (list, dict, Tag)):
            raise ValueError(f"byte {self.at}: a map whose key is a {type(key).__name__.lower()}")
        return key, self._inner(depth)

    def _expect(self, items: int) -> None:
        if items > len(self._data) - self.at:
            raise CutOff(f"byte {self.at}: {items} items were announced, which is more than there are bytes")

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise ValueError(f"byte {self.at - 1}: no CBOR")
        return int.from_bytes(self._take(1 << (info - 24)), "big")

    def _simple(self, info: int) -> Any:
        if info in _FLOATS:
            return struct.unpack(_FLOATS[info], self._take(1 << (info - 24)))[0]
        if info == 31:
            return _BREAK
        if info == 24:
            self._take(1)
            return None
        if info in _SIMPLE:
            return _SIMPLE[info]
        raise ValueError(f"byte {self.at - 1}: no CBOR")

    def _indefinite(self, major: int, depth: int) -> Any:
        items: list[Any] = []
        while True:
            found = self._item(depth + 1)
            if found is _BREAK:
                break
            if major == 5:
                items.append(self._pair(found, depth))
                continue
            if (major == 2 and not isinstance(found, memoryview)) or (
                major == 3 and not isinstance(found, str)
            ):
                raise ValueError(f"byte {self.at}: a string made of something else")
            items.append(found)
        if major == 2:
            return memoryview(b"".join(items))
        if major == 3:
            return "".join(items)
        if major == 4:
            return items
        if major == 5:
            return dict(items)
        raise ValueError(f"byte {self.at}: no CBOR")
