"""The parser of ``dtranspose.formats.lecroy``."""

from ...formats.lecroy import parse

__all__ = ["parse"]
