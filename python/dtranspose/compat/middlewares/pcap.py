"""The parser of ``dtranspose.formats.pcap``."""

from ...formats.pcap import parse

__all__ = ["parse"]
