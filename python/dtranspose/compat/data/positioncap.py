"""PandABox over TCP."""

from typing import Union

from ...formats.panda import Start as PositionCapStart
from ...formats.panda import Values as PositionCapValues
from ...formats.panda import End as PositionCapEnd
from ...formats.panda import Field as PositionCapField

PositionCapPacket = Union[PositionCapStart, PositionCapValues, PositionCapEnd, PositionCapField]

__all__ = [
    "PositionCapStart",
    "PositionCapValues",
    "PositionCapEnd",
    "PositionCapField",
    "PositionCapPacket",
]
