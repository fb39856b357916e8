"""PandABox as JSON."""

from typing import Union

from ...formats.pcap import Start as PCAPStart
from ...formats.pcap import Data as PCAPData
from ...formats.pcap import End as PCAPEnd

PCAPPacket = Union[PCAPStart, PCAPData, PCAPEnd]

__all__ = [
    "PCAPStart",
    "PCAPData",
    "PCAPEnd",
    "PCAPPacket",
]
