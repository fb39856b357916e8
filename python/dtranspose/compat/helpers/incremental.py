"""An array that takes entries by number in any order."""

from __future__ import annotations

from typing import Any, Union

import numpy as np

from ...growing import GrowingArray

__all__ = ["IncrementalBuffer"]


class IncrementalBuffer:
    """Row shape and type are those of the first entry; gaps hold ``filler_value``."""

    def __init__(
        self,
        initial_rows: int = 16,
        grow_factor: float = 2,
        filler_value: Union[int, float] = 0,
        no_gaps: bool = False,
    ) -> None:
        self._rows = GrowingArray(fill=filler_value, rows=initial_rows)
        self._no_gaps = no_gaps

    def add_entry(self, index: int, data: Any) -> None:
        entry = np.asarray(data)
        if len(self._rows) and entry.shape != self._rows.array.shape[1:]:
            raise ValueError(
                f"an entry of shape {entry.shape} among those of shape {self._rows.array.shape[1:]}"
            )
        self._rows[index] = entry

    def has_entry(self, index: int) -> bool:
        return self._rows.has(index)

    def is_empty(self) -> bool:
        return len(self._rows) == 0

    def preview(self, copy: bool = True, no_gaps: bool = False) -> np.ndarray[Any, Any]:
        rows = self._rows.array
        if no_gaps:
            rows = rows[: self._rows.gapless()]
        return rows.copy() if copy else rows

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array(self.preview(copy=False, no_gaps=self._no_gaps), dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        return self.preview(copy=False)[key]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._rows.array.shape)

    @property
    def dtype(self) -> Any:
        if self.is_empty():
            raise ValueError("there is no entry yet")
        return self._rows.array.dtype
