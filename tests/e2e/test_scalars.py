"""Analyses of single numbers through the whole pipeline, against the truth of the simulated beamline."""

import h5py
import numpy as np
import pytest

from test_beamlines import configure, found, shipped, simulated

ROWS, COLUMNS = 12, 20


def run(cluster, analysis, parameters, **more):
    configure(cluster, "nanomax", analysis=analysis, parameters=parameters,
              beamline={"rows": ROWS, "columns": COLUMNS}, **more)
    return simulated(cluster)


def published(cluster, name):
    with h5py.File(cluster.folder / "out.h5") as file:
        return file[f"entry/result/{name}"][()]


def opens_as_plot(cluster):
    with h5py.File(cluster.folder / "out.h5") as file:
        group = file
        while "default" in group.attrs:
            group = group[group.attrs["default"]]
        signal = group[group.attrs["signal"]]
        assert group.attrs["NX_class"] == "NXdata"
        assert signal.shape == tuple(group[axis].size for axis in group.attrs["axes"])
        return group.name.removeprefix("/entry/result/")


def test_normalise(cluster):
    _, truth = run(cluster, "normalise", {"signal": "xspress3:sum", "monitor": "alba:channel1", "reference": 1e-7})
    expected = found(cluster, "signal") / found(cluster, "monitor") * 1e-7
    np.testing.assert_allclose(found(cluster, "normalised"), expected)
    assert found(cluster, "monitor") == pytest.approx(truth["i0"][:], rel=0.005)
    assert published(cluster, "mean") == pytest.approx(expected.mean())
    assert published(cluster, "deviation") == pytest.approx(expected.std(ddof=1))
    assert opens_as_plot(cluster) == "curve"


def test_sort(cluster):
    _, truth = run(cluster, "sort", {"signal": "xspress3:sum", "x": "contrast:sx", "y": "contrast:sy",
                                     "x_grid": f"0:{0.5 * (COLUMNS - 1)}:{COLUMNS}",
                                     "y_grid": f"{0.5 * (ROWS - 1)}:0:{ROWS}"},  # upside down
                   faults={"xspress3": {"drop": 0.03, "seed": 3}})
    expected = found(cluster, "signal").reshape(ROWS, COLUMNS)[::-1]
    np.testing.assert_array_equal(published(cluster, "map/mean"), expected)
    assert np.isnan(expected).sum() == truth["faults/xspress3/dropped"].size > 0
    assert opens_as_plot(cluster) == "map"


def test_histogram(cluster):
    run(cluster, "histogram", {"signal": "alba:channel1", "low": 0.96e-7, "high": 1e-7, "intervals": 40})
    counts, edges = np.histogram(found(cluster, "signal"), np.linspace(0.96e-7, 1e-7, 41))
    np.testing.assert_array_equal(published(cluster, "histogram/counts"), counts)
    inside = counts.sum()
    assert published(cluster, "below") + published(cluster, "above") == ROWS * COLUMNS - inside > 0
    assert opens_as_plot(cluster) == "histogram"


def test_timeint(cluster):
    run(cluster, "timeint", {"signal": "xspress3:sum", "events": COLUMNS})
    lines = found(cluster, "signal").reshape(ROWS, COLUMNS).sum(axis=1)
    np.testing.assert_array_equal(published(cluster, "intervals/sum"), lines)
    assert opens_as_plot(cluster) == "intervals"


@pytest.mark.parametrize("drop", [0, 0.002])
def test_correlate_finds_a_stream_that_lost_frames_without_saying_so(cluster, drop):
    # Positions from two instruments that do not number what they send.
    content = shipped("nanomax")
    protocols = {"contrast": "contrast", "panda": "panda_tcp"}
    cluster.configure(streams=protocols, of_stream={n: {"protocol": p} for n, p in protocols.items()},
                      analysis="correlate", parameters={"a": "panda:sx.Mean", "b": "contrast:sx", "window": 100},
                      output="out.h5", scan={"stall_timeout": "2s"},
                      simulate=[{"stream": "panda", "role": "positions"},
                                {"stream": "contrast", "role": "positions", "faults": {"drop": drop, "seed": 1}}],
                      sections={"beamline": content["beamline"] | {"rows": 60, "columns": 30, "rate": "1kHz"}})
    _, truth = simulated(cluster)
    verdict = published(cluster, "verdict").decode()
    assert opens_as_plot(cluster) == "lags"
    if not drop:
        assert not published(cluster, "alarm") and verdict.startswith("aligned")
        return
    first = truth["faults/contrast/dropped"][0]
    assert published(cluster, "alarm")
    assert verdict.startswith("panda:sx.Mean is 1 event behind contrast:sx"), verdict
    assert abs(int(verdict.split("event ")[-1].split(" ")[0]) - first) <= 100
