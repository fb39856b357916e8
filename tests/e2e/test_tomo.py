"""Slices of a simulated tomographic scan: those of the sample that the truth file describes."""

import h5py
import numpy as np
import pytest

from cluster import wait_until
from test_beamlines import configure, found, shipped, simulated
from test_image_analyses import default_plot, expect_plot
from test_results import Viewer

COLUMNS = 128
SCAN = {"rows": 16, "columns": COLUMNS, "darks": 8, "flats": 20, "projections": 240}
ROWS = [2, 6, 10, 14]  # one of each slab


def tomo(more=None):
    """As shipped, but for the size."""
    return shipped("tomo")["analysis"]["tomo"] | {
        "darks": 8, "flats": 20, "rows": ", ".join(map(str, ROWS)), "binning": 1} | (more or {})


def scanned(cluster, parameters=None, faults=None, beamline=None, status=0):
    configure(cluster, "tomo", parameters=tomo(parameters), faults=faults, beamline=SCAN | (beamline or {}))
    return simulated(cluster, status)


class Slices:
    def __init__(self, cluster):
        with h5py.File(cluster.folder / "out.h5") as file:
            for name in ("slices", "sinograms", "references"):
                expect_plot(file[f"entry/result/{name}"])
            assert default_plot(file).name == "/entry/result/slices"
            tree = file["entry/result"]
            self.slices, self.rows = tree["slices/slice"][:], tree["slices/row"][:]
            self.x, self.y = tree["slices/x"][:], tree["slices/y"][:]
            self.sinograms, self.angles = tree["sinograms/sinogram"][:], tree["sinograms/angle"][:]
            self.flat, self.dark = tree["references/flat"][:], tree["references/dark"][:]
            self.centre = tree["centre"][()]
            self.numbers = {name: tree[name][()] for name in
                            ("projections", "in_slices", "darks", "flats", "unusable", "largest_gap")}


def away_from_edges(phantom, clear=2):
    """Where no pixel nearby has another density."""
    inner = np.ones(phantom.shape, bool)
    for i in range(-clear, clear + 1):
        for j in range(-clear, clear + 1):
            inner &= np.roll(phantom, (i, j), (0, 1)) == phantom
    place = np.indices(phantom.shape) - (len(phantom) - 1) / 2
    return inner & (np.hypot(*place) < 0.48 * len(phantom))


def root_mean_square(numbers):
    return np.sqrt(np.mean(np.square(numbers)))


def displacement(slice_, phantom):
    """By how many pixels the slice lies elsewhere, in y and x: to first order, by least squares."""
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    kernel /= kernel.sum()

    def smooth(image):
        for axis in (0, 1):
            image = np.apply_along_axis(np.convolve, axis, image, kernel, "same")
        return image

    slopes = np.gradient(smooth(phantom))
    off = smooth(slice_) - smooth(phantom)
    matrix = np.stack([-s.ravel() for s in slopes], axis=1)
    return np.linalg.lstsq(matrix, off.ravel(), rcond=None)[0]


def expect_the_sample(made, truth, error, shift=0.15):
    """`error`: root mean square outside of edges, relative to the density of the largest ellipse."""
    assert made.rows.tolist() == ROWS
    slabs = truth["slab_of_row"][:][ROWS]
    assert slabs.tolist() == [0, 1, 2, 3]
    for slice_, slab in zip(made.slices, slabs):
        phantom = truth["slices"][slab]
        inner = away_from_edges(phantom)
        assert inner.mean() > 0.3
        density = np.median(phantom[phantom > 0])
        assert root_mean_square((slice_ - phantom)[inner]) < error * density
        # Every ellipse is where it is, and no slice is its mirror image.
        assert np.abs(displacement(slice_, phantom)).max() < shift
        for other in (phantom[::-1], phantom[:, ::-1], phantom.T):
            assert root_mean_square(slice_ - phantom) < 0.6 * root_mean_square(slice_ - other)


def test_slices_are_those_of_the_sample(cluster):
    summary, truth = scanned(cluster)
    assert summary["fates"]["folded"] == 268
    made = Slices(cluster)
    expect_the_sample(made, truth, 0.08)  # noise of 1 % of the light in each of 240 projections
    assert made.centre == pytest.approx(truth["axis"][()], abs=0.25)
    assert made.numbers == {"projections": 240, "in_slices": 240, "darks": 8, "flats": 20, "unusable": 0,
                            "largest_gap": pytest.approx(0.75)}
    np.testing.assert_allclose(made.x, np.arange(COLUMNS) - (COLUMNS - 1) / 2)
    np.testing.assert_allclose(made.angles, truth["angle"][28:], atol=1e-3)
    np.testing.assert_allclose(made.sinograms, truth["sinograms"][:], atol=0.15)
    light = truth["flat"][:][ROWS]
    np.testing.assert_allclose(made.dark, np.tile(truth["dark"][:], (4, 1)), atol=5)
    np.testing.assert_allclose(made.flat - made.dark, light, atol=6 * np.sqrt(light.max() / 20))
    np.testing.assert_array_equal(found(cluster, "image_key"), truth["image_key"][:])
    np.testing.assert_allclose(found(cluster, "angle"), truth["angle"][:], atol=1e-3)


def test_without_noise_what_is_left_is_that_of_the_method(cluster):
    _, truth = scanned(cluster, beamline={"noise": False})
    made = Slices(cluster)
    expect_the_sample(made, truth, 0.04, shift=0.1)
    np.testing.assert_allclose(made.sinograms, truth["sinograms"][:], atol=2e-3)


@pytest.mark.parametrize("faults", [
    {"orca": {"drop": 0.01, "seed": 2, "delay": "20ms"}},
    {"orca": {"delay": "30ms", "stall": {"at": 15, "for": "300ms"}, "seed": 1}, "panda": {"delay": "10ms", "seed": 2}},
    {"orca": {"duplicate": 0.05, "seed": 3, "rearm": 120}},
])
def test_slices_are_the_same_with_frames_dropped_late_or_doubled(cluster, faults):
    configure(cluster, "tomo", parameters=tomo(), faults=faults, beamline=SCAN)
    summary, truth = simulated(cluster)
    dropped = truth["faults/orca/dropped"][:].tolist() if "dropped" in truth["faults/orca"] else []
    assert bool(dropped) == ("drop" in faults["orca"])
    assert summary["fates"]["folded"] == 268 - len(dropped)
    made = Slices(cluster)
    expect_the_sample(made, truth, 0.08)
    assert made.centre == pytest.approx(truth["axis"][()], abs=0.25)
    keys = np.delete(truth["image_key"][:], dropped)
    assert made.numbers["in_slices"] == (keys == 0).sum()
    assert made.numbers["darks"] == (keys == 2).sum() and made.numbers["flats"] == (keys == 1).sum()
    np.testing.assert_allclose(made.angles, np.delete(truth["angle"][:], dropped)[keys == 0], atol=1e-3)


def test_slices_grow_while_the_sample_turns_and_the_centre_can_be_moved(cluster):
    configure(cluster, "tomo", parameters=tomo({"centre": "60"}), beamline=SCAN | {"rate": "40Hz"})
    cluster.start_all()
    truth_file = cluster.folder / "truth.h5"
    simulation = cluster.simulate("--truth", truth_file)
    viewer = Viewer(cluster.results_url)
    seen = wait_until(lambda: viewer.value("/in_slices"), "the first projections in slices")
    wait_until(lambda: viewer.value("/in_slices") > seen, "more of them")
    with h5py.File(truth_file) as truth:
        axis = truth["axis"][()]
    answer = cluster.ask("POST", "parameter/centre", data=str(axis))
    assert answer.status_code == 200, answer.text
    assert simulation.wait(60) == 0, simulation.log
    truth = h5py.File(truth_file)
    made = Slices(cluster)
    assert made.centre == pytest.approx(axis)
    expect_the_sample(made, truth, 0.08)


def test_a_field_that_the_encoder_does_not_have_fails_every_event(cluster):
    summary, _ = scanned(cluster, parameters={"angle": "panda:INENC9.VAL.Mean"}, beamline={"projections": 10},
                         status=3)  # nothing came of it
    assert summary["fates"]["failed"] == 38
    assert "INENC9.VAL" in str(cluster.get("ledger")["troubles"])
