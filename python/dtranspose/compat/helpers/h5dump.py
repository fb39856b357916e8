"""Writes what a reducer publishes to an HDF5 file. Needs h5py."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

__all__ = ["dump"]

logger = logging.getLogger("dtranspose")


def dump(data: dict[Any, Any], filename: Any, lock: Any = None) -> None:
    """Writes a tree of dicts: dicts become groups, the rest datasets, ``name_attrs`` the attributes of
    ``name``.

    What HDF5 cannot hold is left out, and the log says so. ``lock`` is held meanwhile.
    """
    import h5py  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with lock or contextlib.nullcontext(), h5py.File(filename, "w") as file:
        _dump_group(data, file)


def _dump_group(data: dict[Any, Any], group: Any) -> None:
    for name, content in data.items():
        if not isinstance(name, str):
            logger.warning("left out of the file: the key %r is no text", name)
        elif name.endswith("_attrs"):
            continue
        elif isinstance(content, dict):
            _dump_group(content, group.create_group(name))
        else:
            _dump_dataset(group, name, content)
    for name, attributes in data.items():
        if isinstance(name, str) and name.endswith("_attrs") and isinstance(attributes, dict):
            target = group if name == "_attrs" else group.get(name[: -len("_attrs")])
            for attribute, value in attributes.items() if target is not None else ():
                target.attrs[attribute] = value


def _dump_dataset(group: Any, name: str, content: Any) -> None:
    try:
        group.create_dataset(name, data=content)
    except Exception as e:
        logger.warning("left out of the file: %s: %s", name, e)
