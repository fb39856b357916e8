"""Xspress3."""

from typing import Union

from ...formats.xspress3 import Start as XspressStart
from ...formats.xspress3 import Image as XspressImage
from ...formats.xspress3 import End as XspressEnd

XspressPacket = Union[XspressStart, XspressImage, XspressEnd]

__all__ = [
    "XspressStart",
    "XspressImage",
    "XspressEnd",
    "XspressPacket",
]
