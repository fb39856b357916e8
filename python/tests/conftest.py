from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import Engine  # noqa: E402


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as e:
        yield e


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a module into the working folder of a payload."""

    def write_module(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write_module


@pytest.fixture
def recordings() -> Path:
    """The folder of real recordings; tests that need one are skipped where it is not."""
    default = Path(__file__).resolve().parents[3] / "shared" / "recordings"
    folder = Path(os.environ.get("DTRANSPOSE_RECORDINGS", default))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder
