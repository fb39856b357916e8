"""STINS."""

from typing import Union

from ...formats.stins import Start as Stream1Start
from ...formats.stins import Image as Stream1Data
from ...formats.stins import End as Stream1End

Stream1Packet = Union[Stream1Start, Stream1Data, Stream1End]

__all__ = [
    "Stream1Start",
    "Stream1Data",
    "Stream1End",
    "Stream1Packet",
]
