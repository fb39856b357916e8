"""Answers the module names that payloads written for dranspose import, where dranspose itself is not
installed.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Optional

_NAME = "dranspose"
_OURS = __name__
#: Modules that there are; the packages among them with a dot at the end.
_PACKAGES = ("", "middlewares", "data", "helpers")
_MODULES = (
    "event",
    "parameters",
    "protocol",
    *(
        f"middlewares.{m}"
        for m in ("stream1", "eiger_legacy", "xspress", "contrast", "pcap", "sardana", "lecroy")
    ),
    "middlewares.positioncap",
    *(
        f"data.{m}"
        for m in ("stream1", "eiger_legacy", "xspress3", "contrast", "pcap", "positioncap", "sardana")
    ),
    "data.lecroy",
    "data.albaem",
    "helpers.h5dump",
    "helpers.incremental",
)


class _Loader(importlib.abc.Loader):
    def __init__(self, ours: str) -> None:
        self._ours = ours

    def exec_module(self, module: ModuleType) -> None:
        """Fills the module with the names of ours."""
        ours = importlib.import_module(self._ours)
        names = getattr(ours, "__all__", None) or [n for n in vars(ours) if not n.startswith("_")]
        for name in names:
            setattr(module, name, getattr(ours, name))
        module.__doc__ = ours.__doc__


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        head, _, rest = fullname.partition(".")
        if head != _NAME:
            return None
        if rest in _PACKAGES:
            ours = f"{_OURS}._empty" if not rest else f"{_OURS}.{rest}"
            return importlib.machinery.ModuleSpec(fullname, _Loader(ours), is_package=True)
        if rest in _MODULES:
            return importlib.machinery.ModuleSpec(fullname, _Loader(f"{_OURS}.{rest}"))
        return None


_finder = _Finder()


def install() -> str:
    """Puts our modules in the place of dranspose's where that is not installed; says whose there are:
    ``which()``.
    """
    if which() == "none":
        sys.meta_path.append(_finder)
    return which()


def uninstall() -> None:
    """Takes our modules away again."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
        for name in [n for n in sys.modules if n.partition(".")[0] == _NAME]:
            del sys.modules[name]


def which() -> str:
    """``real`` where dranspose is installed, ``ours`` where our modules stand in for it, else ``none``."""
    if _finder in sys.meta_path:
        return "ours"
    return "real" if importlib.util.find_spec(_NAME) is not None else "none"


def parameter_classes() -> list[Any]:
    from . import parameters

    return [
        parameters.StrParameter,
        parameters.BinaryParameter,
        parameters.IntParameter,
        parameters.FloatParameter,
        parameters.BoolParameter,
    ]
