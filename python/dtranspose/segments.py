"""Memory that the program shares, and who still looks at it."""

from __future__ import annotations

import mmap
import os
import weakref
from typing import Callable, Optional

import numpy as np

_MAP_POPULATE = getattr(mmap, "MAP_POPULATE", 0x8000)


def progress_in(fd: int) -> memoryview:
    """Two numbers in memory that the program reads: the batch in hand, and the place in it. Closes the
    descriptor.
    """
    try:
        return memoryview(mmap.mmap(fd, 16)).cast("Q")
    finally:
        os.close(fd)


class Lease:
    """The frames of one batch. ``views`` are what may be read; ``returned`` is called once nobody has any
    left.

    It rests on NumPy's arrays being weakly referenced: every view of a frame, and every array made of one,
    holds the array that stands for its segment in this batch.
    """

    __slots__ = ("views", "_anchors", "__weakref__")

    def __init__(
        self,
        views: dict[int, memoryview],
        anchors: list[weakref.ref[np.ndarray[tuple[int], np.dtype[np.uint8]]]],
    ):
        self.views = views
        self._anchors = anchors

    def drop(self, returned: Callable[[], None]) -> bool:
        """Lets go of the views. True if nobody has kept one; otherwise ``returned`` is called later."""
        self.views.clear()
        kept = [anchor() for anchor in self._anchors]
        left = sum(1 for k in kept if k is not None)
        if not left:
            return True
        remaining = [left]

        def one_less(_: object = None) -> None:
            remaining[0] -= 1
            if remaining[0] == 0:
                returned()

        for k in kept:
            if k is not None:
                weakref.finalize(k, one_less).atexit = False
        del kept, k
        return False


class Segments:
    """The segments of one connection, mapped for reading only."""

    def __init__(self) -> None:
        self._maps: dict[int, mmap.mmap] = {}

    def add(self, number: int, fd: int, size: int) -> None:
        """Maps a segment and closes the descriptor. A memory mapping lives as long as a view of it."""
        try:
            self._maps[number] = mmap.mmap(
                fd, size, flags=mmap.MAP_SHARED | _MAP_POPULATE, prot=mmap.PROT_READ
            )
        finally:
            os.close(fd)

    def drop(self, number: int) -> None:
        self._maps.pop(number, None)

    def lease(self, numbers: Optional[list[int]] = None) -> Lease:
        """Views of these segments, all of them if not said otherwise, for one batch."""
        views = {}
        anchors = []
        for number in self._maps if numbers is None else numbers:
            anchor: np.ndarray[tuple[int], np.dtype[np.uint8]] = np.frombuffer(self._maps[number], np.uint8)
            anchors.append(weakref.ref(anchor))
            views[number] = anchor.data
            del anchor
        return Lease(views, anchors)
