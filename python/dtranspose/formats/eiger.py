"""Dectris Stream V1. Type tag ``EIGER_LEGACY``. Compressed images are left as they are."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from ..event import StreamData
from .message import Message, pixels, read_json, require

TAG = "EIGER_LEGACY"


class EigerMessage(Message):
    series: int


class Header(EigerMessage):
    """info: the detector's configuration; appendix: what the beamline has added."""

    htype: str = "dheader-1.0"
    info: dict[str, Any] = {}
    appendix: Any = None


class Image(EigerMessage):
    """data: dict of shape ([x, y], as sent), type, encoding, size and buffer; config: times in ns."""

    htype: str = "dimage-1.0"
    frame: int
    data: dict[str, Any] = {}
    config: dict[str, Any] = {}
    appendix: Any = None

    def array(self) -> Optional[np.ndarray[Any, Any]]:
        """[rows, columns] of an image that is not compressed."""
        if self.data.get("encoding") != "<":
            return None
        return pixels(self.data["buffer"], self.data["type"], self.data["shape"][::-1], f"image {self.frame}")


class End(EigerMessage):
    htype: str = "dseries_end-1.0"


def parse(data: StreamData) -> Any:
    """Header, Image or End."""
    frames = require(data, TAG)
    first = read_json(frames[0])
    htype = first.get("htype")
    if htype == "dheader-1.0":
        return _header(first, frames)
    if htype == "dimage-1.0":
        return _image(first, frames)
    if htype == "dseries_end-1.0":
        return End(**first)
    raise ValueError(f"a message of Stream V1 with the unknown htype '{htype}'")


def _header(first: dict[str, Any], frames: list[Any]) -> Header:
    header = Header(**first)
    usual = {"none": 1, "basic": 2, "all": 8}.get(first.get("header_detail", "all"), 8)
    if usual > 1 and len(frames) > 1:
        header.info = read_json(frames[1])
    if len(frames) > usual:
        header.appendix = _appendix(frames[usual])
    return header


def _image(first: dict[str, Any], frames: list[Any]) -> Image:
    if len(frames) < 4:
        raise ValueError(f"an image of Stream V1 of {len(frames)} frames, expected 4 or 5")
    image = Image(**first)
    image.data = {**read_json(frames[1]), "buffer": frames[2]}
    image.config = read_json(frames[3])
    if len(frames) > 4:
        image.appendix = _appendix(frames[4])
    return image


def _appendix(frame: Any) -> Any:
    """JSON as a rule, but any text is allowed."""
    try:
        return read_json(frame)
    except ValueError:
        return str(frame, "utf-8", "replace")
