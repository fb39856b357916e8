"""AlbaEM."""

from typing import Union

from ...formats.albaem import Start as AlbaemStart
from ...formats.albaem import Data as AlbaemData
from ...formats.albaem import End as AlbaemEnd

AlbaemPacket = Union[AlbaemStart, AlbaemData, AlbaemEnd]

__all__ = [
    "AlbaemStart",
    "AlbaemData",
    "AlbaemEnd",
    "AlbaemPacket",
]
