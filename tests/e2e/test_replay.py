"""A recording through the whole pipeline in one process, against sums made here."""

import json

import numpy as np
import pytest

from cluster import FATES, Process
from files import events_of_dump, results

ROI_MEANS = [9.25, 11.25, 11.75, 4.25, 2.25, 3.0, 4.75, 7.75, 10.75]


@pytest.fixture
def xrd(recording):
    return recording("dump_xrd.cbors")


@pytest.fixture
def images(xrd):
    """{event: pixels} of the recording."""
    found = {}
    for number, streams in events_of_dump(xrd):
        kind, parts = streams["xrd"]
        header = json.loads(parts[0])
        assert kind == "STINS"
        if header["htype"] == "image":
            found[number] = np.frombuffer(parts[1], header["type"]).reshape(header["shape"])
    return found


def replay(folder, file, *options):
    process = Process("replay", folder, "replay", file, "--json", "--output", folder / "out.h5", *options)
    try:
        assert process.wait() == 0, process.report()
        return process.summary
    finally:
        process.end()


def assert_summary_adds_up(summary, events):
    assert summary["events"] == events
    assert sum(summary[fate] for fate in FATES) == events
    assert summary["seconds"] > 0


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_roi_of_every_event(xrd, images, tmp_path, workers):
    summary = replay(tmp_path, xrd, "--workers", workers, "--analysis", "roi", "--param", "rows=0:2",
                     "--param", "columns=8:10")
    assert_summary_adds_up(summary, 11)
    assert (summary["folded"], summary["empty"]) == (9, 2)
    assert summary["output"] == str(tmp_path / "out.h5")

    found = results(summary["output"])
    assert sorted(images) == list(range(1, 10))
    for name, of in {"mean": np.mean, "sum": np.sum, "min": np.min, "max": np.max}.items():
        expected = [of(images[e][0:2, 8:10]) if e in images else np.nan for e in range(11)]
        np.testing.assert_allclose(found[name], expected, rtol=1e-15, err_msg=name)
    np.testing.assert_array_equal(found["mean"], [np.nan, *ROI_MEANS, np.nan])


@pytest.mark.parametrize("workers", [1, 3])
def test_sum_of_all_images(xrd, images, tmp_path, workers):
    summary = replay(tmp_path, xrd, "--workers", workers, "--analysis", "sum")
    assert_summary_adds_up(summary, 11)

    found = results(summary["output"])
    assert found["image"].sum() == 10809
    assert found["frames"] == len(images) == 9
    np.testing.assert_array_equal(found["image"], sum(i.astype(np.uint64) for i in images.values()))


def test_a_map_of_ones_own(xrd, images, tmp_path):
    """Events 2 and 5 are read and thrown away; the rest is analysed."""
    slots = [[{"constraint": e}] for e in range(9)]
    slots[1] = slots[4] = []
    map_file = tmp_path / "map.json"
    map_file.write_text(json.dumps({"parts": {"main": {"xrd": slots}}, "sequence": ["main"]}))
    summary = replay(tmp_path, xrd, "--map", map_file, "--analysis", "roi")
    assert_summary_adds_up(summary, 11)
    assert (summary["folded"], summary["empty"], summary["discarded"]) == (7, 2, 2)

    expected = [images[e].mean() if e in images and e not in (2, 5) else np.nan for e in range(11)]
    np.testing.assert_allclose(results(summary["output"])["mean"], expected, rtol=1e-15)


def test_a_recording_that_was_cut_off(xrd, tmp_path):
    """What is whole is analysed, and the cut is told."""
    cut = tmp_path / "cut.cbors"
    cut.write_bytes(xrd.read_bytes()[:-400])
    process = Process("replay", tmp_path, "replay", cut, "--json", "--analysis", "roi", "--output",
                      tmp_path / "out.h5")
    try:
        process.wait()
        assert "cut.cbors" in process.log, process.report()
        summary = process.summary
        assert_summary_adds_up(summary, summary["events"])
        assert summary["folded"] >= 7
    finally:
        process.end()


@pytest.mark.parametrize("content", [b"", b"no recording at all", b"\xd9\xd9\xf7\xff\xff"])
def test_a_file_that_is_no_recording(tmp_path, content):
    file = tmp_path / "odd.cbors"
    file.write_bytes(content)
    process = Process("replay", tmp_path, "replay", file, "--json")
    try:
        assert process.wait() not in (0, -6, -11), process.report()
        assert "odd.cbors" in process.log
    finally:
        process.end()


def test_an_unwritable_output(xrd, tmp_path):
    process = Process("replay", tmp_path, "replay", xrd, "--analysis", "roi", "--output",
                      tmp_path / "nowhere/out.h5")
    try:
        assert process.wait() not in (0, -6, -11), process.report()
        assert "nowhere/out.h5" in process.log
    finally:
        process.end()
