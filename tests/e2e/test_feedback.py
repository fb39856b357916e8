"""Several analyses at once, and what they decide while the scan runs."""

import json
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import zmq

from cluster import free_port, wait_until

FRAMES = 400
IMAGES = [{"stream": "det", "frames": FRAMES, "rate": "400Hz", "shape": [8, 8]}]


def test_several_analyses_see_every_event(cluster):
    cluster.configure(analysis=["roi", "histogram", "sum"], output="out.h5",
                      parameters={"roi": {"rows": "0:4"},
                                  "histogram": {"signal": "roi:mean", "low": 0, "high": 70000, "intervals": 7}},
                      simulate=[{"stream": "det", "frames": FRAMES, "shape": [8, 8]}])
    cluster.start_parts()
    assert cluster.simulate().wait() == 0
    progress = cluster.wait_for_end()
    assert progress["state"] == "finished" and progress["fates"]["folded"] == FRAMES
    with h5py.File(progress["output"]) as file:
        result = file["entry/result"]
        means = result["roi.mean"][()]
        assert np.isfinite(means).sum() == FRAMES
        assert (result["histogram.signal"][()] == means)[np.isfinite(means)].all()
        assert result["sum/frames"][()] == FRAMES
        whole = np.nansum(result["roi.sum"][()])
        assert result["sum/image"][:4].sum() == whole
        counts = result["histogram/histogram/counts"][()]
        assert (counts == np.histogram(means[np.isfinite(means)], 7, (0, 70000))[0]).all()


def test_parameters_of_one_of_several_change_in_mid_scan(cluster):
    frames = 3 * FRAMES  # events that are deferred end about a second later
    cluster.configure(analysis=["roi", "sum"], output="out.h5", parameters={"roi": {"rows": "0:1"}},
                      simulate=[{**IMAGES[0], "frames": frames}])
    cluster.start_all()
    simulated = cluster.simulate()
    cluster.wait_for_events(50)
    names = {p["name"] for p in cluster.get("parameters")}
    assert {"roi.rows", "roi.columns"} <= names
    assert cluster.ask("POST", "parameter/roi.rows", data="0:2").status_code == 200
    refused = cluster.ask("POST", "parameter/roi.rows", data="x")
    assert refused.status_code == 422 and "roi: parameter 'rows'" in refused.json()["detail"]
    assert simulated.wait() == 0
    progress = cluster.wait_for_end()
    assert progress["fates"]["folded"] == frames
    with h5py.File(progress["output"]) as file:
        result = file["entry/result"]
        assert result["sum/frames"][()] == frames
        pixels = np.round(result["roi.sum"][()] / result["roi.mean"][()])
        pixels = pixels[np.isfinite(pixels)]
        assert set(pixels) == {8, 16} and (np.diff(pixels) >= 0).all()


@pytest.fixture
def listener():
    """A subscriber to everything."""
    port = free_port()
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.subscribe(b"")
        socket.rcvtimeo = 20_000
        socket.linger = 0
        url = f"tcp://127.0.0.1:{port}"
        socket.connect(url)
        yield SimpleNamespace(url=url, recv_multipart=socket.recv_multipart)


def enough(cluster, listener, stop, **more):
    cluster.configure(analysis="statistics", simulate=IMAGES, output="out.h5",
                      parameters={"signal": "det:mean", "precision": 0.5, "least": 20},
                      sections={"feedback": {"publish": listener.url, "stop": stop}}, **more)


@pytest.mark.parametrize("stop", [True, False], ids=["stops", "only told"])
def test_a_scan_whose_statistics_are_good_enough(cluster, listener, stop):
    enough(cluster, listener, stop)
    cluster.start_parts()
    simulated = cluster.simulate()
    name, text = listener.recv_multipart()
    told = json.loads(text)
    assert name == b"good_enough" and told["name"] == "good_enough" and told["stop"]
    assert told["value"]["events"] >= 20 and abs(told["made"] - time.time()) < 60
    progress = cluster.wait_for_end()
    simulated.wait()
    assert progress["scan"] == told["scan"]
    if stop:
        assert progress["state"] == "stopped" and progress["trouble"] == "the analysis has decided: good_enough"
        assert 20 <= progress["fates"]["folded"] < FRAMES
        assert sum(progress["fates"].values()) == progress["total_events"]
    else:
        assert progress["state"] == "finished" and progress["fates"]["folded"] == FRAMES
    listed = cluster.get("decisions")
    assert listed["scan"] == told["scan"] and listed["next"] == 1
    del told["scan"]
    assert listed["decisions"] == [told] == cluster.get("ledger")["decisions"]
    assert cluster.get("decisions?since=1")["decisions"] == []


def test_a_decision_outlives_the_controller(cluster, listener):
    enough(cluster, listener, False)
    text = cluster.config.read_text()
    cluster.config.write_text(text + f'\n[reducer]\njournal = "{cluster.folder / "journal"}"\n')
    parts = cluster.start_parts()
    simulated = cluster.simulate()
    first = json.loads(listener.recv_multipart()[1])
    cluster.kill(parts["controller"])
    cluster.start("controller")
    again = json.loads(listener.recv_multipart()[1])
    assert again == first
    wait_until(lambda: cluster.get_or_none("decisions"), "the controller answers")
    assert [d["number"] for d in cluster.get("decisions")["decisions"]] == [0]
    progress = cluster.wait_for_end()
    assert progress["state"] == "finished" and progress["fates"]["folded"] == FRAMES
    simulated.wait()
