"""Against the real program, where DTRANSPOSE names it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtranspose import read_events
from dtranspose.client import Control, RequestFailed

PATIENCE = 60.0


@pytest.fixture
def program() -> Path:
    path = Path(os.environ.get("DTRANSPOSE", ""))
    if not path.is_file():
        pytest.skip("DTRANSPOSE does not name the program")
    return path


def test_our_figures_are_those_of_roi(program: Path, recordings: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    recording = recordings / "dump_xrd.cbors"
    region = ["--param", "rows=0:2", "--param", "columns=8:10"]
    subprocess.run(
        [program, "replay", recording, "--analysis", "roi", *region, "--output", tmp_path / "a.h5"],
        check=True,
        timeout=PATIENCE,
    )
    images = [e.image() for e in read_events(recording)]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["entry/result/mean"][1:10].tolist() == [i[:2, 8:].mean() for i in images if i is not None]


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [p.getsockname()[1] for p in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def control(program: Path, tmp_path: Path) -> Iterator[Control]:
    http, results, listen, stream = free_ports(4)
    (tmp_path / "site.toml").write_text(
        f"""
[[stream]]
name = "det"
protocol = "stins"
url = "tcp://127.0.0.1:{stream}"
[analysis]
use = ["roi"]
[worker]
count = 2
[http]
control = "127.0.0.1:{http}"
[cluster]
listen = "127.0.0.1:{listen}"
[output]
file = "{{scan}}.h5"
[[simulate]]
stream = "det"
frames = 20
"""
    )
    run = [program, "--role", "all", "--config", "site.toml"]
    with subprocess.Popen(run, cwd=tmp_path, stderr=subprocess.DEVNULL) as running:
        client = Control(f"http://127.0.0.1:{http}")
        try:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    client.progress()
                    break
                except OSError:
                    assert time.monotonic() < end and running.poll() is None, "the program is not there"
                    time.sleep(0.05)
            yield client
        finally:
            running.terminate()


def test_steers_a_real_scan(control: Control, program: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestFailed) as failed:
        control.start({"nobody": [[{"constraint": 0}]]})
    assert failed.value.status == 400 and "nobody" in str(failed.value)
    scan = control.start({"det": [[{"constraint": k}] for k in range(20)]})
    subprocess.run(
        [program, "simulate", "--config", "site.toml", "--no-map"], cwd=tmp_path, check=True, timeout=PATIENCE
    )
    progress = control.wait(PATIENCE)
    assert progress["scan"] == scan and progress["total_events"] == 22 and progress["fates"]["folded"] == 20
    assert control.ledger()["fates"]["empty"] == 2
    assert list(control.sequence()["parts"]) != [] and control.config()["workers"] != []
    control.start({"det": [[{"constraint": 0}]] * 5})
    control.stop()
    assert control.wait(PATIENCE)["state"] in ("stopped", "finished")
