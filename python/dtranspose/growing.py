"""Arrays that grow by event number."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np


class GrowingArray:
    """An array of one row per event that takes rows in any order and grows as they come.

    Shape and type of a row are those of the first one unless they are given; rows that nobody set hold
    ``fill``: by default NaN, and 0 in integers. Setting costs the same however long the array is.
    """

    def __init__(self, shape: Any = None, dtype: Any = None, fill: Any = None, rows: int = 64) -> None:
        self._fill = fill
        self._array: Optional[np.ndarray[Any, Any]] = None
        self._set = np.zeros(0, np.bool_)
        self._length = 0
        self._rows = max(1, rows)
        if shape is not None:
            self._start(tuple(shape), np.dtype(dtype if dtype is not None else np.float64))

    def _start(self, shape: tuple[int, ...], dtype: Any) -> None:
        if self._fill is None:
            self._fill = np.nan if np.dtype(dtype).kind in "fc" else 0
        self._array = np.full((self._rows, *shape), self._fill, dtype)
        self._set = np.zeros(self._rows, np.bool_)

    def _row(self, index: int, like: Any) -> np.ndarray[Any, Any]:
        """The array, with room for that row."""
        if index < 0:
            raise IndexError(f"row {index}: rows count from 0")
        if self._array is None:
            row = np.asarray(like)
            self._start(row.shape, row.dtype)
            assert self._array is not None
        if index >= len(self._array):
            rows = max(index + 1, 2 * len(self._array))
            grown = np.full((rows, *self._array.shape[1:]), self._fill, self._array.dtype)
            grown[: self._length] = self._array[: self._length]
            self._array = grown
            self._set = np.concatenate([self._set, np.zeros(rows - len(self._set), np.bool_)])
        self._length = max(self._length, index + 1)
        return self._array

    def __setitem__(self, index: int, row: Any) -> None:
        self._row(index, row)[index] = row
        self._set[index] = True

    def add(self, index: int, row: Any) -> None:
        """Adds to a row; one that nobody set counts as 0."""
        array = self._row(index, row)
        array[index] = array[index] + row if self._set[index] else row
        self._set[index] = True

    def has(self, index: int) -> bool:
        """Was that row set?"""
        return 0 <= index < self._length and bool(self._set[index])

    def gapless(self) -> int:
        """How many rows there are before the first that nobody set."""
        unset = np.flatnonzero(~self._set[: self._length])
        return int(unset[0]) if len(unset) else self._length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array(self.array, dtype=dtype)

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The rows so far: a view, that later rows may still change."""
        if self._array is None:
            return np.empty((0,))
        return self._array[: self._length]

    def copy(self) -> np.ndarray[Any, Any]:
        """The rows so far, for keeps: what belongs into a published tree."""
        return self.array.copy()
