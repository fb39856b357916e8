"""The parser of ``dtranspose.formats.eiger``."""

from ...formats.eiger import parse

__all__ = ["parse"]
