"""Simulated beamlines: what the analyses find is what the truth file says.

The configurations are those that are shipped, with other ports and less to see."""

import tomllib
from math import erf

import h5py
import numpy as np
import pytest

from cluster import REPOSITORY
from files import results

SMALL = {
    "nanomax": {"rows": 10, "columns": 12, "rate": 0},
    "danmax": {"frames": 60, "camera": "120x160", "beam_width": 6, "rate": 0},
    "tomo": {"rows": 64, "columns": 96, "darks": 5, "flats": 5, "projections": 40, "rate": 0},
}

PONI = """poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 0.000172, "pixel2": 0.000172, "max_shape": [220, 300]}
Distance: 0.05
Poni1: 0.01
Poni2: 0.02
Rot1: 0.01
Rot2: -0.02
Rot3: 0.0
Wavelength: 3.5424e-11
"""


def shipped(name):
    return tomllib.loads((REPOSITORY / f"config/{name}.toml").read_text())


def configure(cluster, name, analysis=None, parameters=None, faults=None, beamline=None, scan=None):
    """A shipped beamline, made small. `faults` are by stream."""
    content = shipped(name)
    streams = content["stream"]
    if analysis is None:
        analysis = content["analysis"]["use"]
        if len(analysis) == 1:
            analysis = analysis[0]
    if parameters is None:
        parameters = {a: content["analysis"][a] for a in analysis} if isinstance(analysis, list) else \
            content["analysis"][analysis]
    (cluster.folder / "danmax.poni").write_text(PONI)
    names = [s["name"] for s in streams]
    cluster.configure(streams=names)  # takes the ports
    of_stream = {s["name"]: {"protocol": s["protocol"], "url": s["url"].rsplit(":", 1)[0] +
                             f":{cluster.stream_ports[s['name']]}"} for s in streams}
    simulate = [entry | ({"faults": faults[entry["stream"]]} if entry["stream"] in (faults or {}) else {})
                for entry in content["simulate"]]
    cluster.configure(streams=names, of_stream=of_stream, analysis=analysis, parameters=parameters, output="out.h5",
                      simulate=simulate, scan=scan,
                      sections={"beamline": content["beamline"] | SMALL[name] | (beamline or {})})
    return [s["name"] for s in streams]


def simulated(cluster, status=0):
    """The simulation, ended; its summary and the truth."""
    cluster.start_all()
    truth = cluster.folder / "truth.h5"
    simulation = cluster.simulate("--truth", truth)
    assert simulation.wait(60) == status, simulation.log
    return simulation.summary, h5py.File(truth)


def found(cluster, name):
    """The result of each frame: event 0 is the start, the last one the end."""
    return results(cluster.folder / "out.h5")[name][1:-1]


def window_counts(truth, low, high):
    """Expected counts of each point in bins [low, high), of each detector element."""
    counts = 0
    for group in ("elements", "others"):
        for part in truth[group].values():
            counts = counts + part["photons"][:] * part["spectrum"][low:high].sum()
    return counts[:, None] * truth["spectrometer/solid_angle"][:] * truth["live"][:]


def test_counts_of_a_line_are_those_of_the_element(cluster):
    configure(cluster, "nanomax", analysis="roi", parameters={"stream": "xspress3", "columns": "625:656"},
              beamline={"rows": 24, "columns": 30})
    summary, truth = simulated(cluster)
    assert summary["state"] == "finished" and summary["fates"]["folded"] == 24 * 30
    counts = found(cluster, "sum")
    expected = window_counts(truth, 625, 656).sum(axis=1)
    assert np.mean((counts - expected) ** 2 / expected) == pytest.approx(1, abs=5 * np.sqrt(2 / counts.size))
    # The map shows the grains of iron: where there is some, most counts are its own.
    iron = truth["elements/Fe/map"][:].ravel()
    assert counts[iron > 0.9].min() > 2 * counts[iron == 0].max()
    assert set(truth) >= {"x", "y", "i0", "intensity", "live", "elements", "others", "spectrometer", "faults"}


def test_the_sum_of_powder_images_is_known_to_the_last_count(cluster):
    configure(cluster, "danmax", analysis="sum", parameters={"stream": "pilatus"})
    summary, truth = simulated(cluster)
    assert summary["fates"]["folded"] == 60
    image = results(cluster.folder / "out.h5")["image"]
    np.testing.assert_array_equal(image, truth["rings/sum"][:])
    assert (image[195:212] == -60).all()  # gaps are -1 in each image
    expected = truth["rings/image"][:] * truth["intensity"][:].sum()
    seen = expected > 0
    assert image[seen].sum() == pytest.approx(expected[seen].sum(), rel=0.01)
    # Azimuthal means, with pixels sorted into bins of q by a geometry of our own: a ring is where truth says.
    rows, columns = np.indices(image.shape)
    offsets = np.hypot((rows + 0.5 - truth["rings/centre_row"][()]) * 1.72e-4,
                       (columns + 0.5 - truth["rings/centre_column"][()]) * 1.72e-4)
    q = 4e-9 * np.pi / truth["rings/wavelength"][()] * np.sin(np.arctan2(offsets, truth["rings/distance"][()]) / 2)
    strongest = truth["rings/q"][np.argmax(truth["rings/heights"][:])]
    on_ring, beside = np.abs(q - strongest) < 1, np.abs(q - strongest - 4) < 1
    assert image[seen & on_ring].mean() > 1.5 * image[seen & beside].mean()


def test_the_totals_of_powder_images_are_known_one_by_one(cluster):
    configure(cluster, "danmax", analysis="roi", parameters={"stream": "pilatus"})
    _, truth = simulated(cluster)
    np.testing.assert_array_equal(found(cluster, "sum"), truth["rings/totals"][:])


def test_the_beam_is_where_truth_says(cluster):
    # How much light falls on the right half of the camera tells where the middle of the beam is.
    configure(cluster, "danmax", analysis="roi", parameters={"stream": "basler", "columns": "80:160"})
    _, truth = simulated(cluster)
    light = found(cluster, "sum") - truth["beam/offset"][()] * 80 * 120
    sigma_row, sigma = truth["beam/sigma_row"][()], truth["beam/sigma_column"][()]
    peak = truth["beam/peak"][()] * truth["intensity"][:]
    whole = peak * 2 * np.pi * sigma * sigma_row
    share = np.array([0.5 * (1 + erf((c - 79.5) / sigma / np.sqrt(2))) for c in truth["beam/column"][:]])
    noise = np.sqrt(whole + 9 * 80 * 120)
    assert np.abs((light - share * whole) / noise).max() < 6


def test_projections_absorb_what_the_phantom_says(cluster):
    configure(cluster, "tomo", analysis="roi", parameters={"stream": "orca", "rows": "20:24", "columns": "40:45"})
    summary, truth = simulated(cluster)
    assert summary["fates"]["folded"] == 50
    means = found(cluster, "mean")
    dark, flat = truth["dark"][40:45], truth["flat"][20:24, 40:45]
    slab = truth["slab_of_row"][20]
    assert slab == truth["slab_of_row"][23]
    light = np.concatenate([np.zeros((5, 5)), np.ones((5, 5)), np.exp(-truth["sinograms"][slab, :, 40:45])])
    expected = (dark + flat * light[:, None, :]).mean(axis=(1, 2))
    noise = np.sqrt(((flat * light[:, None, :]).mean(axis=(1, 2)) + 4) / 20 + 1e-3)
    assert np.abs((means - expected) / noise).max() < 5.5
    # And the other way round: line integrals out of counts.
    measured = -np.log((means[10:] - means[:5].mean()) / (means[5:10].mean() - means[:5].mean()))
    np.testing.assert_allclose(measured, truth["sinograms"][slab, :, 40:45].mean(axis=1), atol=0.05)


def incomplete_events(cluster):
    ledger = cluster.get("ledger")
    return ledger, [e for t in ledger["troubles"] if t["fate"] == "incomplete"
                    for e in range(t["first"], t.get("last", t["first"] + t.get("count", 1) - 1) + 1)]


@pytest.mark.parametrize("name,stream,drop", [("nanomax", "xspress3", 0.05), ("nanomax", "alba", 0.05),
                                              ("danmax", "pilatus", 0.1), ("danmax", "sardana", 0.1),
                                              ("tomo", "orca", 0.1)])
def test_dropped_frames_are_those_that_the_ledger_misses(cluster, name, stream, drop):
    analysed = {"nanomax": "xspress3", "danmax": "pilatus", "tomo": "orca"}[name]
    configure(cluster, name, analysis="roi", parameters={"stream": analysed}, faults={stream: {"drop": drop, "seed": 3}})
    summary, truth = simulated(cluster)
    told = next(s["faults"] for s in summary["streams"] if s["stream"] == stream)
    dropped = truth[f"faults/{stream}/dropped"][:].tolist()
    assert dropped == told["dropped"] and dropped
    ledger, missing = incomplete_events(cluster)
    assert sorted(missing) == [frame + 1 for frame in dropped]  # event 0 is the start
    assert ledger["fates"]["incomplete"] == len(dropped)
    assert np.flatnonzero(np.isnan(found(cluster, "sum"))).tolist() == dropped


def test_one_frame_in_a_hundred_is_dropped(cluster):
    configure(cluster, "nanomax", faults={"xspress3": {"drop": 0.01, "duplicate": 0.01, "seed": 1}},
              beamline={"rows": 20, "columns": 25})
    summary, truth = simulated(cluster)
    dropped = truth["faults/xspress3/dropped"][:].tolist()
    twice = truth["faults/xspress3/duplicated"][:].tolist()
    assert dropped and twice
    ledger, missing = incomplete_events(cluster)
    assert sorted(missing) == [frame + 1 for frame in dropped]
    assert summary["fates"]["folded"] == 500 - len(dropped)
    assert ledger["streams"]["xspress3"]["verdicts"]["duplicate"] == len(twice)


def test_an_instrument_that_is_armed_again_goes_on_where_it_was(cluster):
    configure(cluster, "tomo", faults={"orca": {"rearm": 30, "delay": "2ms", "stall": {"at": 20, "for": "100ms"}}},
              analysis="roi", parameters={"stream": "orca"}, beamline={"noise": False})
    summary, truth = simulated(cluster)
    assert summary["events"] == 50 + 2 + 2 and summary["fates"]["folded"] == 50
    assert truth["faults/orca/rearmed"][()] == 30 and truth["faults/orca/stalled"][()] == 20
    means = np.delete(found(cluster, "mean"), [30, 31])  # an end and a start, for which nobody else has a frame
    assert np.isfinite(means).all()
    assert means[:5].max() < means[10:].min() and means[10:].max() < means[5:10].min()
    # The same scan without: the same numbers.
    rows = truth["slab_of_row"][:]
    expected = [(truth["dark"][:] + truth["flat"][:] * np.exp(-truth["sinograms"][:, n][rows])).mean() for n in range(40)]
    np.testing.assert_allclose(means[10:], expected, atol=0.02)


@pytest.mark.parametrize("name,stream", [("nanomax", "alba"), ("danmax", "pilatus"), ("tomo", "panda"),
                                         ("nanomax", "xspress3"), ("nanomax", "contrast"), ("danmax", "sardana")])
def test_what_follows_another_arming_is_known_where_an_end_tells_its_count(cluster, name, stream):
    analysed = {"nanomax": "xspress3", "danmax": "pilatus", "tomo": "orca"}[name]
    configure(cluster, name, analysis="roi", parameters={"stream": analysed}, faults={stream: {"rearm": 20}})
    summary, truth = simulated(cluster)
    frames = {"nanomax": 120, "danmax": 60, "tomo": 50}[name]
    assert summary["events"] == frames + 4
    assert truth[f"faults/{stream}/rearmed"][()] == 20
    sums = found(cluster, "sum")
    if stream in ("xspress3", "contrast", "sardana"):
        # Frames may be missing before the end: what follows is missing rather than guessed.
        assert summary["fates"]["folded"] == 20 and summary["fates"]["incomplete"] == frames - 20 + 2
        assert np.isfinite(sums[:20]).all() and np.isnan(sums[20:]).all()
        return
    assert summary["fates"]["folded"] == frames, summary
    assert np.isnan(sums[20:22]).all() and np.isfinite(np.delete(sums, [20, 21])).all()
    if name == "danmax":
        np.testing.assert_array_equal(np.delete(sums, [20, 21]), truth["rings/totals"][:])


def test_frames_of_a_recording_can_be_dropped(cluster, recording):
    file = recording("xspress3-multipart.cbors")
    cluster.configure(stream={"protocol": "xspress3"}, analysis="roi", output="out.h5",
                      simulate=[{"stream": "det", "recording": str(file), "faults": {"drop": 0.4, "seed": 2}}])
    cluster.start_all()
    simulation = cluster.simulate()
    assert simulation.wait(60) == 0, simulation.log
    dropped = simulation.summary["streams"][0]["faults"]["dropped"]
    assert 0 < len(dropped) < 5
    assert np.flatnonzero(np.isnan(found(cluster, "sum"))).tolist() == dropped


def test_an_instrument_that_is_cut_off_leaves_the_rest_to_the_stall_timeout(cluster):
    configure(cluster, "nanomax", faults={"alba": {"cut_off": 80}}, scan={"stall_timeout": "500ms"})
    summary, truth = simulated(cluster, status=1)
    assert truth["faults/alba/cut_off"][()] == 80
    assert next(s for s in summary["streams"] if s["stream"] == "alba")["messages"] == 81
    assert summary["state"] == "stopped" and summary["fates"]["folded"] == 80


def test_truth_wants_something_that_is_known(cluster):
    cluster.configure(simulate=[{"stream": "det", "frames": 3}])
    simulation = cluster.simulate("--truth", cluster.folder / "truth.h5")
    assert simulation.wait() == 1
    assert "--truth wants a [beamline]" in simulation.log
