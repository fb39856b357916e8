"""`xrf` through the whole pipeline: maps of the simulated sample are what the truth file says.

The tables of lines that simulation and fit take their intensities from differ by some percent in K-beta: that is
the part of an error that more counts don't make smaller."""

import h5py
import numpy as np
import pytest

from test_beamlines import configure, found, incomplete_events, shipped, simulated

ELEMENTS = ("K", "Ca", "Fe", "Cu", "Zn")
ROWS, COLUMNS = 24, 30
OF_TABLES = 0.03  # of an area, at most


def parameters(**changes):
    grid = {"x_grid": f"0:{0.5 * (COLUMNS - 1)}:{COLUMNS}", "y_grid": f"0:{0.5 * (ROWS - 1)}:{ROWS}"}
    return shipped("nanomax")["analysis"]["xrf"] | grid | changes


def configure_xrf(cluster, parameters=None, **more):
    configure(cluster, "nanomax", analysis="xrf", parameters=parameters or globals()["parameters"](),
              beamline={"rows": ROWS, "columns": COLUMNS}, **more)


def published(cluster, name):
    with h5py.File(cluster.folder / "out.h5") as file:
        return file[f"entry/result/{name}"][()]


def true_map(truth, element):
    """Photons in the whole detector for each ampere of the monitor, of the points in their cells."""
    photons = truth[f"elements/{element}/photons"][:] * truth["spectrometer/solid_angle"][:].sum()
    return (photons / truth["i0"][:]).reshape(ROWS, COLUMNS)


def assert_maps_are_true(cluster, truth, lost=()):
    there = np.ones(ROWS * COLUMNS, dtype=bool)
    there[list(lost)] = False
    there = there.reshape(ROWS, COLUMNS)
    for element in ELEMENTS:
        expected = true_map(truth, element)
        seen, error = published(cluster, f"maps/{element}_K"), published(cluster, f"maps/{element}_K_errors")
        np.testing.assert_array_equal(np.isfinite(seen), there)
        off = (seen - expected)[there] / np.hypot(error, OF_TABLES * expected)[there]
        assert np.abs(off).max() < 5.5, element
        # No bias: of all points together the statistical error is small.
        total, whole = seen[there].sum(), expected[there].sum()
        assert total == pytest.approx(whole, abs=4 * np.sqrt((error[there] ** 2).sum()) + OF_TABLES * whole), element
        # And errors are not told too large: where there is enough of it.
        much = there & (expected > 0.3 * expected.max())
        assert 0.8 < np.std(((seen - expected) / error)[much]) < 1.3, element
    np.testing.assert_array_equal(published(cluster, "maps/events_in_cell"), there.astype(int))


def test_maps_of_elements_are_those_of_the_sample(cluster):
    configure_xrf(cluster)
    summary, truth = simulated(cluster)
    assert summary["state"] == "finished" and summary["fates"]["folded"] == ROWS * COLUMNS
    assert_maps_are_true(cluster, truth)
    # Each event's results are in rows of their own.
    assert found(cluster, "x") == pytest.approx(truth["x"][:])
    assert found(cluster, "i0") == pytest.approx(truth["i0"][:], rel=0.005)
    assert published(cluster, "outside") == published(cluster, "without_i0") == published(cluster, "without_position") == 0


def test_the_file_opens_as_a_map(cluster):
    configure_xrf(cluster)
    simulated(cluster)
    with h5py.File(cluster.folder / "out.h5") as file:
        group = file
        while "default" in group.attrs:
            group = group[group.attrs["default"]]
        assert group.attrs["NX_class"] == "NXdata" and group.name == "/entry/result/maps"
        signal = group[group.attrs["signal"]]
        assert signal.shape == tuple(group[axis].size for axis in group.attrs["axes"]) == (ROWS, COLUMNS)
        assert group["x"].attrs["long_name"] == "contrast:sx"
        for name in group.attrs["auxiliary_signals"]:
            assert group[name].shape == signal.shape
        rgb = file["entry/result/rgb"]
        assert rgb["image"].shape == (ROWS, COLUMNS, 3) and rgb["image"].attrs["interpretation"] == "rgb-image"
        iron = group["Fe_K"][:]
        assert rgb["image"][:][..., 0] == pytest.approx(255 * np.clip(iron / iron.max(), 0, 1), abs=1)
        latest = file["entry/result/latest"]
        assert latest["counts"].shape == latest["energy"].shape == latest["fit"].shape


@pytest.mark.parametrize("stream", ["xspress3", "alba"])
def test_with_one_frame_in_a_hundred_dropped_the_others_stay_in_their_places(cluster, stream):
    configure_xrf(cluster, faults={stream: {"drop": 0.01, "duplicate": 0.01, "seed": 1}})
    summary, truth = simulated(cluster)
    dropped = truth[f"faults/{stream}/dropped"][:].tolist()
    assert dropped
    ledger, missing = incomplete_events(cluster)
    assert sorted(missing) == [frame + 1 for frame in dropped]
    assert_maps_are_true(cluster, truth, lost=dropped)


def test_what_comes_without_its_intensity_is_fitted_but_in_no_map(cluster):
    configure_xrf(cluster, faults={"alba": {"drop": 0.03, "seed": 2}}, scan={"incomplete": "deliver"})
    summary, truth = simulated(cluster)
    dropped = truth["faults/alba/dropped"][:].tolist()
    assert dropped
    assert np.isfinite(found(cluster, "Fe_K")).all()
    assert np.flatnonzero(np.isnan(found(cluster, "i0"))).tolist() == dropped
    assert published(cluster, "without_i0") == len(dropped)
    assert_maps_are_true(cluster, truth, lost=dropped)


def test_points_that_are_binned_are_means(cluster):
    configure_xrf(cluster, parameters(x_grid=f"0.5:{0.5 + 2 * (COLUMNS // 4 - 1)}:{COLUMNS // 4}", i0=""))
    _, truth = simulated(cluster)
    column = np.floor((truth["x"][:] - 0.5) / 2 + 0.5).astype(int)
    row = np.rint(truth["y"][:] / 0.5).astype(int)
    inside = (column >= 0) & (column < COLUMNS // 4)
    counts = found(cluster, "counts")
    expected, events = np.zeros((ROWS, COLUMNS // 4)), np.zeros((ROWS, COLUMNS // 4), dtype=int)
    np.add.at(expected, (row[inside], column[inside]), counts[inside])
    np.add.at(events, (row[inside], column[inside]), 1)
    np.testing.assert_array_equal(published(cluster, "maps/events_in_cell"), events)
    np.testing.assert_allclose(published(cluster, "maps/counts"), expected / events)
    assert published(cluster, "outside") == (~inside).sum() > 0


def test_windows_count_what_truth_expects(cluster):
    configure_xrf(cluster)
    _, truth = simulated(cluster)
    photons = sum(part["photons"][:] * part["spectrum"][625:656].sum()
                  for group in ("elements", "others") for part in truth[group].values())
    expected = photons * truth["spectrometer/solid_angle"][:].sum()
    seen = found(cluster, "Fe_Ka")
    # Corrected counts scatter a little more than counts.
    assert np.mean((seen - expected) ** 2 / expected) == pytest.approx(1.07, abs=5 * np.sqrt(2 / seen.size))


@pytest.mark.parametrize("change,complaint", [({"elements": "Fe, Xy"}, "'Xy' is no element"),
                                              ({"x_grid": "0:1:0"}, "'x_grid'"),
                                              ({"i0": "alba"}, "'i0'")])
def test_a_scan_with_parameters_that_cannot_be_used_is_refused(cluster, change, complaint):
    configure_xrf(cluster, parameters(**change))
    cluster.start_all()
    simulation = cluster.simulate(patience=1)
    assert simulation.wait(60) == 1
    assert complaint in simulation.log
