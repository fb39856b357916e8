"""The tutorial's own text is what runs here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dtranspose

TEXT = Path(__file__).resolve().parents[2] / "docs" / "python.md"
MEANS = [9.25, 11.25, 11.75, 4.25, 2.25, 3.0, 4.75, 7.75, 10.75]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with the tutorial's `src/roi.py`, and all its workers in `src/more.py`."""
    if not TEXT.exists():
        pytest.skip(f"no {TEXT}")
    code = re.findall(r"```python\n(.*?)```", TEXT.read_text(), re.S)
    classes = [c for c in code if "class " in c]
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "roi.py").write_text(classes[0])
    (tmp_path / "src" / "more.py").write_text("import dtranspose\n" + "\n\n".join(classes[1:]))
    (tmp_path / "notebook.py").write_text(next(c for c in code if "outcome = " in c))
    return tmp_path


def test_the_notebook_shows_what_it_says(folder: Path, recordings: Path) -> None:
    (folder / "dump_xrd.cbors").symlink_to(recordings / "dump_xrd.cbors")
    environment = {"PYTHONPATH": f"{Path(dtranspose.__file__).parent.parent}:."}
    run = [sys.executable, "notebook.py"]
    shown = subprocess.run(
        run, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout
    lines = re.sub(r"\s+", " ", shown)
    assert lines.startswith("Outcome(9 folded, 2 empty, 0 failed) [")
    said = re.findall(r"# (.*)", (folder / "notebook.py").read_text())
    assert (
        lines.replace("[ nan", "[nan").replace("0. ", "0 ").split()
        == " ".join(said).replace("0. ", "0 ").split()
    )
    command = [sys.executable, "-m", "dtranspose", "replay", "dump_xrd.cbors", "--worker", "src.roi:Worker"]
    done = subprocess.run([*command, "--reducer", "src.roi:Reducer"], cwd=folder, env=environment, check=True,
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "11 events: 9 folded, 2 empty, 0 failed\n"
    refused = subprocess.run([*command, "--param", "rows"], cwd=folder, env=environment, capture_output=True)
    assert refused.returncode == 2 and b"NAME=VALUE" in refused.stderr


def test_the_other_workers(folder: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    from src.more import Fast, Sum  # type: ignore[import-not-found]

    recording = recordings / "dump_xrd.cbors"
    images = [e.image() for e in dtranspose.read_events(recording)][1:-1]
    outcome = dtranspose.replay(recording, Sum, workers=3)
    assert (outcome.folded, outcome.empty) == (9, 2)
    assert np.array_equal(sum(r.content["sum"] for r in outcome.results), sum(i.astype("u8") for i in images))  # type: ignore[union-attr,misc]
    assert sum(r.events for r in outcome.results) == 9
    outcome = dtranspose.replay(recording, Fast, workers=1)
    assert (outcome.failed, outcome.folded, outcome.empty) == ({}, 9, 2)
    assert [r.content["numbers"] for r in outcome.results] == list(range(1, 10))
    assert [r.content["mean"] for r in outcome.results] == pytest.approx([i.mean() for i in images])  # type: ignore[union-attr]


def test_described_results_and_refused_parameters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("src", None)
    from src.roi import Worker  # type: ignore[import-not-found]

    parameters = dtranspose.Parameters(Worker.describe_parameters(), {"rows": b"0"})
    with pytest.raises(ValueError, match="rows"):
        Worker.describe_results(parameters)
    sys.modules.pop("src", None)
