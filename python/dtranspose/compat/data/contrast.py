"""Contrast."""

from typing import Union

from ...formats.contrast import Started as ContrastStarted
from ...formats.contrast import Running as ContrastRunning
from ...formats.contrast import Finished as ContrastFinished
from ...formats.contrast import Heartbeat as ContrastHeartbeat

ContrastPacket = Union[ContrastStarted, ContrastRunning, ContrastFinished, ContrastHeartbeat]

__all__ = [
    "ContrastStarted",
    "ContrastRunning",
    "ContrastFinished",
    "ContrastHeartbeat",
    "ContrastPacket",
]
