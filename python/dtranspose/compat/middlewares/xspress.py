"""The parser of ``dtranspose.formats.xspress3``."""

from ...formats.xspress3 import parse

__all__ = ["parse"]
