"""The parser of ``dtranspose.formats.panda``."""

from ...formats.panda import Parser as PositioncapParser

__all__ = ["PositioncapParser"]
