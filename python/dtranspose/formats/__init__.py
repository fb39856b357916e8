"""Parsers of what instruments send, in NumPy alone. One module per format; docs/python.md lists them."""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np

from . import albaem, contrast, eiger, lecroy, panda, pcap, sardana, stins, xspress3
from .message import Message

__all__ = ["Message", "image_of", "parse", "PARSERS"]

#: By type tag. Rows of ``PCAP_RAW`` need a parser that has seen their header: ``panda.Parser``.
PARSERS: dict[str, Callable[[Any], Any]] = {
    stins.TAG: stins.parse,
    xspress3.TAG: xspress3.parse,
    contrast.TAG: contrast.parse,
    pcap.TAG: pcap.parse,
    albaem.TAG: albaem.parse,
    sardana.TAG: sardana.parse,
    lecroy.TAG: lecroy.parse,
    eiger.TAG: eiger.parse,
}


def parse(data: Any) -> Any:
    """The message that stream data is. Raises ValueError for types without a parser and for broken
    messages.
    """
    parser = PARSERS.get(data.typ)
    if parser is None:
        if data.typ == panda.TAG:
            raise ValueError(
                "rows of a PandABox are read by a dtranspose.formats.panda.Parser, which knows their header"
            )
        raise ValueError(
            f"no parser for stream data of type '{data.typ}'; there are: {', '.join(sorted(PARSERS))}"
        )
    return parser(data)


def image_of(data: Any) -> Optional[np.ndarray[Any, Any]]:
    """The image or spectra; nothing for starts, ends and types that carry none.

    Raises ValueError for images whose compression only the program undoes, and that it has not.
    """
    if data.typ == stins.TAG:
        message = stins.parse(data)
        if not isinstance(message, stins.Image):
            return None
        if message.compression != "none":
            raise ValueError(
                f"image {message.frame} is compressed ({message.compression}): have the program decode it"
            )
        return message.data
    if data.typ == xspress3.TAG:
        message = xspress3.parse(data)
        return message.data if isinstance(message, xspress3.Image) else None
    if data.typ == eiger.TAG:
        message = eiger.parse(data)
        if not isinstance(message, eiger.Image):
            return None
        array = message.array()
        if array is None:
            how = message.data.get("encoding")
            raise ValueError(f"image {message.frame} is compressed ({how}): have the program decode it")
        return array
    return None
