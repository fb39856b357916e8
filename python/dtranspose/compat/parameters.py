"""Parameter descriptions."""

from ..parameters import (
    BinaryParameter,
    BoolParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    StrParameter,
)

ParameterBase = Parameter
ParameterType = Parameter

__all__ = [
    "BinaryParameter",
    "BoolParameter",
    "FloatParameter",
    "IntParameter",
    "ParameterBase",
    "ParameterType",
    "StrParameter",
]
