"""LeCroy."""

from typing import Union

from ...formats.lecroy import Prepare as LecroyPrepare
from ...formats.lecroy import SequenceStart as LecroySeqStart
from ...formats.lecroy import SequenceEnd as LecroySeqEnd
from ...formats.lecroy import Stop as LecroyEnd
from ...formats.lecroy import Traces as LecroyData
from ...formats.lecroy import Sequence as LecroyParsed

LecroyPacket = Union[LecroyPrepare, LecroySeqStart, LecroySeqEnd, LecroyEnd, LecroyData, LecroyParsed]

__all__ = [
    "LecroyPrepare",
    "LecroySeqStart",
    "LecroySeqEnd",
    "LecroyEnd",
    "LecroyData",
    "LecroyParsed",
    "LecroyPacket",
]
