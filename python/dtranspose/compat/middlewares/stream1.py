"""The parser of ``dtranspose.formats.stins``."""

from ...formats.stins import parse

__all__ = ["parse"]
