"""The parser of ``dtranspose.formats.contrast``."""

from ...formats.contrast import parse

__all__ = ["parse"]
