"""Analyses of images through the whole pipeline: what they find at a simulated beamline is what the truth file says, and
what other programs find in the same images."""

import json

import h5py
import numpy as np
import pytest

from cluster import REPOSITORY
from files import results
from test_beamlines import PONI, configure, found, shipped, simulated

SIZE = (220, 300)  # of the small detector


def geometry():
    """Numbers of the .poni file of the small beamline."""
    lines = dict(line.split(": ", 1) for line in PONI.strip().splitlines())
    return {key.lower(): float(lines[key]) for key in
            ("Distance", "Poni1", "Poni2", "Rot1", "Rot2", "Rot3", "Wavelength")} | {"pixel": 0.000172}


def seen_by_pixels(g, row, column):
    """q in 1/nm and the relative solid angle, from matrices of rotation."""
    place = np.stack([row * g["pixel"] - g["poni1"], column * g["pixel"] - g["poni2"],
                      np.full_like(row, g["distance"])])
    c, s = (lambda k: np.cos(g[k])), (lambda k: np.sin(g[k]))
    r1 = np.array([[1, 0, 0], [0, c("rot1"), s("rot1")], [0, -s("rot1"), c("rot1")]])
    r2 = np.array([[c("rot2"), 0, -s("rot2")], [0, 1, 0], [s("rot2"), 0, c("rot2")]])
    r3 = np.array([[c("rot3"), -s("rot3"), 0], [s("rot3"), c("rot3"), 0], [0, 0, 1]])
    x, y, z = np.tensordot(r3 @ r2 @ r1, place, axes=1)
    angle = np.arctan2(np.hypot(x, y), z)
    return 4e-9 * np.pi / g["wavelength"] * np.sin(angle / 2), (g["distance"] / np.sqrt((place**2).sum(axis=0))) ** 3


def expect_plot(group):
    """Opens as a plot by itself, as silx and h5web find one."""
    assert group.attrs["NX_class"] == "NXdata"
    signal = group[group.attrs["signal"]]
    axes = group.attrs["axes"]
    assert len(axes) == signal.ndim
    for name, extent in zip(axes, signal.shape):
        assert name == "." or group[name].shape == (extent,)


def default_plot(file):
    """Where the chain of defaults ends."""
    group = file
    while "default" in group.attrs:
        group = group[group.attrs["default"]]
    return group


def test_rings_of_a_powder_are_where_and_as_high_as_truth_says(cluster):
    configure(cluster, "danmax", analysis="azint", parameters={
        "stream": "pilatus", "poni": str(cluster.folder / "danmax.poni"), "bins": 150, "splitting": "no"})
    summary, truth = simulated(cluster)
    assert summary["fates"]["folded"] == 60
    with h5py.File(cluster.folder / "out.h5") as file:
        expect_plot(default_plot(file))
        expect_plot(file["entry/result/latest"])
        assert default_plot(file).name == "/entry/result/average"
        average = file["entry/result/average"]
        axis, mean, errors = average["q"][:], average["intensity"][:], average["intensity_errors"][:]
        assert average["q"].attrs["units"] == "1/nm"
        assert file["entry/result/frames"][()] == 60
    # The same sorting of pixels into bins, of the image that is known to the last count.
    row, column = np.indices(SIZE) + 0.5
    q, solid_angle = seen_by_pixels(geometry(), row, column)
    seen = truth["rings/image"][:] >= 0
    edges = np.linspace(q[seen].min(), q[seen].max() * (1 + np.finfo(np.float32).eps), 151)
    np.testing.assert_allclose(axis, (edges[1:] + edges[:-1]) / 2, rtol=1e-9)

    def integral(image):
        return np.histogram(q[seen], edges, weights=image[seen])[0] / np.histogram(q[seen], edges,
                                                                                  weights=solid_angle[seen])[0]

    np.testing.assert_allclose(mean, integral(truth["rings/sum"][:]) / 60, rtol=1e-6)
    # And rows: each image has its intensity, within the errors that are told.
    rows, row_errors = found(cluster, "intensity"), found(cluster, "intensity_errors")
    expected = integral(truth["rings/image"][:])
    norm = np.histogram(q[seen], edges, weights=solid_angle[seen])[0]
    for n in range(60):
        variance = expected * truth["intensity"][n] / norm
        assert np.mean((rows[n] - expected * truth["intensity"][n]) ** 2 / variance) == pytest.approx(
            1, abs=6 * np.sqrt(2 / 150))
        assert np.mean(row_errors[n] ** 2 / variance) == pytest.approx(1, abs=0.2)
    # The highest bin is that of a ring.
    rings = truth["rings/q"][:]
    assert np.abs(rings - axis[np.argmax(mean)]).min() < 2 * (axis[1] - axis[0])
    assert np.isfinite(errors).all() and (errors > 0).all()


def test_the_shipped_geometry_of_the_powder_is_that_of_its_file():
    lines = [line for line in (REPOSITORY / "config/danmax.poni").read_text().splitlines() if line[:1] != "#"]
    assert shipped("danmax")["analysis"]["azint"]["poni"].strip().splitlines() == lines


def test_the_shipped_analyses_find_the_beam_and_the_rings_of_the_powder(cluster):
    """As shipped, with the large detector, but for the number of images."""
    configure(cluster, "danmax", beamline={"geometry": str(REPOSITORY / "config/danmax.poni"), "frames": 20})
    summary, truth = simulated(cluster)
    assert summary["fates"]["folded"] == 20
    with h5py.File(cluster.folder / "out.h5") as file:
        expect_plot(default_plot(file))
        q, intensity = (default_plot(file)[name][:] for name in ("q", "intensity"))
        assert file["entry/result/azint.intensity"].shape == (22, 1000)
        for axis in ("row", "column"):
            np.testing.assert_allclose(file[f"entry/result/cog.{axis}"][1:-1], truth[f"beam/{axis}"][()], atol=0.1)
    rings, heights, sigma = (truth[f"rings/{name}"][()] for name in ("q", "heights", "sigma_q"))
    scale = truth["intensity"][:].mean()
    above = intensity / scale - truth["rings/background"][()] * np.exp(-q / 40)
    seen = [n for n in np.argsort(heights)[-6:] if np.abs(np.delete(rings, n) - rings[n]).min() > 7 * sigma]
    assert len(seen) >= 3
    for n in seen:
        near = np.abs(q - rings[n]) < 3.5 * sigma
        area = above[near].sum()
        assert (q * above)[near].sum() / area == pytest.approx(rings[n], abs=0.02)  # 1/nm
        assert area * (q[1] - q[0]) == pytest.approx(heights[n] * sigma * np.sqrt(2 * np.pi), rel=0.03)


def test_the_mean_of_workers_that_add_up_is_that_of_rows(cluster):
    poni = {"stream": "pilatus", "poni": PONI, "bins": 80, "chi_bins": 12}
    means = []
    for rows in (True, False):
        configure(cluster, "danmax", analysis="azint", parameters=poni | {"rows": rows})
        process = cluster.start_all()
        assert cluster.simulate().wait(60) == 0
        process.end()
        with h5py.File(cluster.folder / "out.h5") as file:
            expect_plot(default_plot(file))
            assert ("intensity" in file["entry/result"]) == rows
            means.append(default_plot(file)["intensity"][:])
        (cluster.folder / "out.h5").unlink()
    assert means[0].shape == (12, 80)
    np.testing.assert_allclose(means[0], means[1], rtol=1e-12)


def test_the_spot_on_the_camera_is_where_truth_says(cluster):
    configure(cluster, "danmax", analysis="cog", parameters={
        "stream": "basler", "background": 64, "threshold": 15, "target_row": "59.5", "target_column": "84",
        "limit": "5"})
    summary, truth = simulated(cluster)
    assert summary["fates"]["folded"] == 60
    row, column = truth["beam/row"][:], truth["beam/column"][:]
    # Read-out noise of 3 counts, and photons, over a spot of some 700 pixels.
    np.testing.assert_allclose(found(cluster, "row"), row, atol=0.1)
    np.testing.assert_allclose(found(cluster, "column"), column, atol=0.1)
    np.testing.assert_allclose(found(cluster, "sigma_column"), truth["beam/sigma_column"][()], rtol=0.03)
    np.testing.assert_allclose(found(cluster, "sigma_row"), truth["beam/sigma_row"][()], rtol=0.03)
    light = truth["beam/peak"][()] * truth["intensity"][:] * 2 * np.pi * truth["beam/sigma_row"][()] * truth[
        "beam/sigma_column"][()]
    np.testing.assert_allclose(found(cluster, "total"), light, rtol=0.02)
    offset = np.hypot(row - 59.5, column - 84)
    np.testing.assert_allclose(found(cluster, "offset"), offset, atol=0.1)
    beyond, sure = offset > 5, np.abs(offset - 5) > 0.1
    np.testing.assert_array_equal(found(cluster, "beyond_limit")[sure], beyond[sure])
    assert 0 < beyond.sum() < 60
    with h5py.File(cluster.folder / "out.h5") as file:
        expect_plot(default_plot(file))
        tree = file["entry/result"]
        assert tree["events"][()] == 60
        assert tree["alarms"][()] == found(cluster, "beyond_limit").sum()
        np.testing.assert_allclose(tree["drift/column"][:], column, atol=0.1)
        slope = np.polyfit(np.arange(60), column, 1)[0]
        assert tree["drift_column"][()] == pytest.approx(slope, abs=5e-3)


def test_the_pile_of_powder_images_is_known_to_the_last_count(cluster):
    configure(cluster, "danmax", analysis="pileup", parameters={"stream": "pilatus", "hot": "40", "keep": "1, 20:40:10"})
    summary, truth = simulated(cluster)
    assert summary["fates"]["folded"] == 60
    with h5py.File(cluster.folder / "out.h5") as file:
        pile, numbers, kept = (file[f"entry/result/{name}"] for name in ("pile", "statistics", "kept"))
        for group in (default_plot(file), pile, numbers, kept):
            expect_plot(group)
        gaps = truth["rings/sum"][:] == -60
        image = pile["image"][:]
        np.testing.assert_array_equal(image[~gaps], truth["rings/sum"][:][~gaps])
        assert (image[gaps] == 0).all()
        np.testing.assert_array_equal(pile["missed"][:], gaps * 60)
        np.testing.assert_array_equal(numbers["event"][:], np.arange(1, 61))
        np.testing.assert_array_equal(numbers["total"][:], truth["rings/totals"][:] + gaps.sum())
        np.testing.assert_array_equal(numbers["missing"][:], gaps.sum())
        assert kept["event"][:].tolist() == [1, 20, 30]
        images = kept["image"][:]
        np.testing.assert_array_equal(images.sum(axis=(1, 2)), truth["rings/totals"][:][[0, 19, 29]])
        assert (images[:, gaps] == -1).all()
        np.testing.assert_array_equal(numbers["hot_pixels"][:][[0, 19, 29]], (images >= 40).sum(axis=(1, 2)))
        assert pile["hot"][:].sum() == numbers["hot_pixels"][:].sum() > 0


def test_hits_are_the_brightest_images(cluster):
    configure(cluster, "danmax", analysis="hits", parameters={
        "stream": "pilatus", "threshold": 1, "score": "sum", "least": 0, "keep": 5})
    summary, truth = simulated(cluster)
    gaps = (truth["rings/sum"][:] == -60).sum()
    totals = truth["rings/totals"][:] + gaps
    least = np.sort(totals)[-20]
    np.testing.assert_array_equal(found(cluster, "sum"), totals)
    with h5py.File(cluster.folder / "out.h5") as file:
        expect_plot(default_plot(file))
        best = file["entry/result/best"]
        order = sorted(range(60), key=lambda n: (-totals[n], n))[:5]
        assert best["event"][:].tolist() == [n + 1 for n in order]
        assert best["score"][:].tolist() == [totals[n] for n in order]
        images = best["image"][:]
        np.testing.assert_array_equal(images.sum(axis=(1, 2)) + gaps, totals[order])
        assert file["entry/result/hits"][()] == 60 and least > 0


def test_regions_of_images_are_kept_as_they_were_sent(cluster):
    configure(cluster, "danmax", analysis="crop", parameters={
        "stream": "pilatus", "rows": "20:60", "columns": "100:180", "type": "int32"})
    summary, truth = simulated(cluster)
    assert summary["fates"]["folded"] == 60
    with h5py.File(cluster.folder / "out.h5") as file:
        expect_plot(default_plot(file))
        mean = default_plot(file)
        np.testing.assert_allclose(mean["image"][:], truth["rings/sum"][20:60, 100:180] / 60, rtol=1e-12)
        assert mean["row"][0] == 20 and mean["column"][-1] == 179
        images = file["entry/result/image"]
        assert images.dtype == np.int32 and images.shape == (62, 40, 80)
        assert images.chunks[1:] == (40, 80)
        np.testing.assert_array_equal(images[1:-1].sum(axis=0), truth["rings/sum"][20:60, 100:180])


def test_a_region_beyond_the_image_fails_with_both_named(cluster):
    configure(cluster, "danmax", analysis="crop", parameters={
        "stream": "pilatus", "rows": "200:230", "columns": "0:10", "type": "int32"})
    summary, _ = simulated(cluster, status=3)  # nothing came of it
    assert summary["fates"]["failed"] == 60
    causes = json.dumps(cluster.get("ledger")["troubles"])
    assert "200:230" in causes and "[220, 300]" in causes


def replay(cluster, images, parameters):
    """The results of `azint` of images in a file: those of the events that have one."""
    file, out = cluster.folder / "images.h5", cluster.folder / "integrated.h5"
    with h5py.File(file, "w") as made:
        made.create_dataset("data", data=images, chunks=(1, *images.shape[1:]))
    arguments = [a for name, value in parameters.items() for a in ("--param", f"{name}={value}")]
    process = cluster.run(cluster.next_name("replay"), "replay", file, "--stream", "det=stins", "--dataset", "/data",
                          "--analysis", "azint", "--output", out, *arguments)
    assert process.wait(60) == 0, process.report()
    tree = results(out)
    has = np.isfinite(tree["intensity"][:].reshape(len(tree["intensity"]), -1)).any(axis=1)
    return tree, {name: tree[name][:][has] for name in ("intensity", "intensity_errors")}


@pytest.mark.parametrize("splitting,method", [("no", ("no", "histogram", "cython")), ("bbox", ("bbox", "csr", "cython"))])
@pytest.mark.parametrize("unit,axis", [("q_nm^-1", "q"), ("2th_deg", "two_theta"), ("r_mm", "radius")])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_integrals_are_those_of_pyfai(cluster, splitting, method, unit, axis, orientation):
    import pyFAI as pyfai  # takes long: only where it is needed
    random = np.random.default_rng(orientation)
    rows, columns = shape = (150, 207)
    config = {"pixel1": 1e-4, "pixel2": 1.2e-4, "max_shape": shape, "orientation": orientation}
    poni = (f"poni_version: 2.1\nDetector: Detector\nDetector_config: {json.dumps(config)}\nDistance: 0.1\nPoni1: 0.012\n"
            "Poni2: -0.003\nRot1: 0.1\nRot2: -0.05\nRot3: 0.3\nWavelength: 1e-10\n")
    (cluster.folder / "geometry.poni").write_text(poni)
    images = random.poisson(50, (2, *shape)).astype(np.uint32)
    mask = random.random(shape) < 0.05
    # Without splitting pyFAI takes masked pixels into the range of bins as well: those farthest out stay.
    mask[[0, -1]] = mask[:, [0, -1]] = False
    planes = {"mask": mask, "flat": random.uniform(0.8, 1.2, shape).astype(np.float32),
              "dark": random.uniform(0, 3, shape).astype(np.float32)}
    for name, plane in planes.items():
        np.save(cluster.folder / f"{name}.npy", plane)
    parameters = {"poni": cluster.folder / "geometry.poni", "bins": 200, "splitting": splitting, "unit": unit,
                  "polarisation": 0.99} | {name: cluster.folder / f"{name}.npy" for name in planes}
    tree, mine = replay(cluster, images, parameters)
    integrator = pyfai.load(str(cluster.folder / "geometry.poni"))
    assert len(mine["intensity"]) == 2
    for image, intensity, errors in zip(images, mine["intensity"], mine["intensity_errors"]):
        theirs = integrator.integrate1d(image, 200, unit=unit, method=method, polarization_factor=0.99,
                                        error_model="poisson", **planes)
        np.testing.assert_allclose(tree[axis][:], theirs.radial, rtol=1e-6)
        np.testing.assert_allclose(intensity, theirs.intensity, rtol=1e-5)
        np.testing.assert_allclose(errors, theirs.sigma, rtol=2e-5)


@pytest.mark.parametrize("splitting,method", [("no", ("no", "histogram", "cython")), ("bbox", ("bbox", "csr", "cython"))])
def test_cakes_are_those_of_pyfai(cluster, splitting, method):
    import pyFAI as pyfai  # takes long: only where it is needed
    (cluster.folder / "geometry.poni").write_text(PONI)
    image = np.random.default_rng(2).poisson(30, SIZE).astype(np.uint16)
    tree, mine = replay(cluster, image[None], {"poni": PONI, "bins": 60, "chi_bins": 24, "splitting": splitting,
                                               "range": "2:40"})
    theirs = pyfai.load(str(cluster.folder / "geometry.poni")).integrate2d(
        image, 60, 24, unit="q_nm^-1", method=method, radial_range=(2, 40), azimuth_range=(-180, 180))
    np.testing.assert_allclose(tree["chi"][:], theirs.azimuthal, atol=1e-3)
    cake = mine["intensity"][0]
    # At the ends of the range pyFAI adds what lies beyond, and it cuts pixels at 180 degrees.
    inner = np.isfinite(cake) & (theirs.count > 0)
    inner[:, [0, -1]] = inner[[0, -1], :] = False
    assert inner.sum() > 400
    np.testing.assert_allclose(cake[inner], theirs.intensity[inner], rtol=1e-5)


def test_a_geometry_that_cannot_be_used_refuses_the_scan(cluster):
    configure(cluster, "danmax", analysis="azint", parameters={"stream": "pilatus", "poni": "/nowhere/lab6.poni"})
    cluster.start_all()
    simulation = cluster.simulate()
    assert simulation.wait(60) == 1
    assert "'poni'" in simulation.log and "/nowhere/lab6.poni" in simulation.log
    check = cluster.run("check", "check", cluster.config)
    assert check.wait() == 1
    assert "'poni'" in check.log and "/nowhere/lab6.poni" in check.log


def test_images_of_another_shape_than_the_geometry_fail_with_both_named(cluster):
    configure(cluster, "danmax", analysis="azint", parameters={"stream": "basler", "poni": PONI})
    summary, _ = simulated(cluster, status=3)  # nothing came of it
    assert summary["fates"]["failed"] == 60
    causes = json.dumps(cluster.get("ledger")["troubles"])
    assert "[120, 160]" in causes and "[220, 300]" in causes
