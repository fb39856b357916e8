"""Dectris Stream V1."""

from typing import Union

from ...formats.eiger import Header as EigerLegacyHeader
from ...formats.eiger import Image as EigerLegacyImage
from ...formats.eiger import End as EigerLegacyEnd

EigerLegacyPacket = Union[EigerLegacyHeader, EigerLegacyImage, EigerLegacyEnd]

__all__ = [
    "EigerLegacyHeader",
    "EigerLegacyImage",
    "EigerLegacyEnd",
    "EigerLegacyPacket",
]
