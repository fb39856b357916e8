"""The parser of ``dtranspose.formats.sardana``."""

from ...formats.sardana import parse

__all__ = ["parse"]
