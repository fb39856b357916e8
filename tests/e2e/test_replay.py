"""A recording through the whole pipeline in one process, against sums made here."""

import json
import os
import pty
import subprocess

import h5py
import numpy as np
import pytest

from cluster import BINARY, FATES, PATIENCE, Process, wait_until
from files import assert_same_content, events_of_dump, results, write_dump

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


def stins(htype, **content):
    return json.dumps({"htype": htype, **content}).encode()


def image(number, value, shape=(4, 4)):
    header = stins("image", frame=number, shape=list(shape), type="uint16", compression="none",
                   msg_number=number + 1)
    return "STINS", [header, np.full(shape, value, "uint16").tobytes()]


@pytest.fixture
def timed(tmp_path):
    """40 images of two streams, one of them in every second event, 10 ms apart."""
    events = [(0, {name: ("STINS", [stins("header", filename="raw.h5", msg_number=0)]) for name in ("a", "b")}, 1e9)]
    for n in range(1, 41):
        streams = {"a": image(n - 1, n)}
        if n % 2 == 0:
            streams["b"] = image(n // 2 - 1, 1000 + n)
        events.append((n, streams, 1e9 + n / 100))
    ends = {name: ("STINS", [stins("series_end", msg_number=n)]) for name, n in (("a", 41), ("b", 21))}
    events.append((41, ends, 1e9 + 0.41))
    return write_dump(tmp_path / "timed.cbors", events)


def refusal(folder, *options):
    process = Process("refused", folder, "replay", *options)
    try:
        assert process.wait() not in (0, -6, -11), process.report()
        return process.log
    finally:
        process.end()


ROI_OF_A = ["--analysis", "roi", "--param", "stream=a"]


def test_the_result_is_the_same_for_any_workers_and_speed(timed, tmp_path):
    one = replay(tmp_path, timed, "--workers", 1, *ROI_OF_A)["output"]
    reference = (tmp_path / "reference.h5")
    os.rename(one, reference)
    np.testing.assert_array_equal(results(reference)["mean"], [np.nan, *range(1, 41), np.nan])
    for options in (["--workers", 4], ["--speed", 4], ["--workers", 3, "--speed", 50], ["--loop", 3]):
        replay(tmp_path, timed, *options, *ROI_OF_A)
        assert_same_content(tmp_path / "out.h5", reference)


def test_recorded_times_are_kept(timed, tmp_path):
    """What took 0.41 s takes as long again at speed 1, and no longer in the part that is chosen."""
    assert replay(tmp_path, timed, "--speed", 1)["seconds"] >= 0.40
    assert replay(tmp_path, timed, "--speed", 0.5, "--from", 21, "--to", 25)["seconds"] >= 0.07
    assert replay(tmp_path, timed, "--speed", 2)["seconds"] >= 0.20


def test_a_recording_without_times_has_no_speed(xrd, tmp_path):
    log = refusal(tmp_path, xrd, "--speed", 2)
    assert "--speed 2" in log and "dump_xrd.cbors, event 0, has no times" in log


def test_some_events(timed, tmp_path):
    """They keep their numbers; workers get the starts and ends of the recording all the same."""
    summary = replay(tmp_path, timed, "--from", 5, "--to", 8, *ROI_OF_A)
    assert_summary_adds_up(summary, 42)
    assert (summary["folded"], summary["empty"], summary["discarded"]) == (4, 2, 36)
    expected = [e if 5 <= e <= 8 else np.nan for e in range(42)]
    np.testing.assert_array_equal(results(summary["output"])["mean"], expected)
    assert replay(tmp_path, timed, "--to", 3)["discarded"] == 37
    assert replay(tmp_path, timed, "--from", 41)["discarded"] == 40


def test_some_events_of_a_capture(recording, tmp_path):
    capture = recording("xspress3-multipart.cbors")
    summary = replay(tmp_path, capture, "--stream", "x=xspress3", "--from", 2, "--to", 3)
    assert_summary_adds_up(summary, 7)
    assert (summary["empty"], summary["discarded"]) == (4, 3)


@pytest.mark.parametrize("options, complaint", [
    (["--from", 42], "--from 42: the last event of the recording is 41"),
    (["--from", 7, "--to", 6], "--to 6 is before --from 7"),
])
def test_events_that_are_not_there(timed, tmp_path, options, complaint):
    assert complaint in refusal(tmp_path, timed, *options)


def test_events_are_chosen_by_the_map_or_by_options(timed, tmp_path):
    (tmp_path / "map.json").write_text("{}")
    assert "--from and --to" in refusal(tmp_path, timed, "--from", 1, "--map", tmp_path / "map.json")


def test_several_scans_in_a_row(timed, tmp_path):
    summary = replay(tmp_path, timed, "--loop", 3, *ROI_OF_A)
    assert len({s["scan"] for s in summary["scans"]}) == 3
    for scan in summary["scans"]:
        assert_summary_adds_up(scan, 42)
        assert scan["folded"] == 40
    assert summary["events"] == 3 * 42
    assert summary["bytes"] == sum(s["bytes"] for s in summary["scans"])


def test_the_summary_has_rates(timed, tmp_path):
    summary = replay(tmp_path, timed)
    payload = sum(len(part) for _, streams in events_of_dump(timed) for _, parts in streams.values()
                  for part in parts)
    assert summary["bytes"] == payload
    for what in ("events", "bytes"):
        assert summary[f"{what}_per_second"] == pytest.approx(summary[what] / summary["seconds"])


def test_streams_are_recorded_again(timed, tmp_path):
    """What was recorded again replays to the same, all of it and the part that was chosen."""
    replay(tmp_path, timed, *ROI_OF_A)
    os.rename(tmp_path / "out.h5", tmp_path / "reference.h5")
    replay(tmp_path, timed, "--record", tmp_path / "again")
    again = sorted((tmp_path / "again").glob("*.cbors"))
    assert len(again) == 2
    process = Process("replay", tmp_path, "replay", *again, "--json", "--output", tmp_path / "out.h5", *ROI_OF_A)
    assert process.wait() == 0, process.report()
    assert_same_content(tmp_path / "out.h5", tmp_path / "reference.h5")

    replay(tmp_path, timed, "--record", tmp_path / "some", "--from", 5, "--to", 8)
    recorded = {}
    for file in (tmp_path / "some").glob("*.cbors"):
        for event, streams in events_of_dump(file):
            recorded.setdefault(event, {}).update(streams)
    original = {event: streams for event, streams in events_of_dump(timed) if event in (0, 5, 6, 7, 8, 41)}
    assert recorded == original


def test_parameters_of_a_file(timed, tmp_path):
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps([{"name": "rows", "data": "0:1"}, {"name": "columns", "data": "0:2"},
                                {"name": "stream", "data": "a"}, {"name": "dump_prefix", "data": ""}]))
    summary = replay(tmp_path, timed, "--analysis", "roi", "--params", file)
    np.testing.assert_array_equal(results(summary["output"])["sum"][1:41], 2 * np.arange(1, 41))
    summary = replay(tmp_path, timed, "--analysis", "roi", "--params", file, "--param", "rows=0:3")
    np.testing.assert_array_equal(results(summary["output"])["sum"][1:41], 6 * np.arange(1, 41))


class Stepped:
    """A replay that goes on when it is told to."""

    def __init__(self, folder, stdin, *options):
        self.log_path = folder / "stepped.log"
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen([BINARY, "replay", *map(str, options), "--step", "--json"], stdin=stdin,
                                          stdout=subprocess.PIPE, stderr=log, cwd=folder)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for(self, text):
        wait_until(lambda: text in self.log(), text)

    def summary(self):
        out, _ = self.child.communicate(timeout=PATIENCE)
        assert self.child.returncode == 0, self.log()
        return json.loads(out.splitlines()[-1])


def recorded_events(folder):
    return [event for file in folder.glob("*.cbors") for event, _ in events_of_dump(file)]


def test_step_by_step_by_lines(xrd, tmp_path):
    """One line, one event: no more is handed to the ingesters."""
    replay = Stepped(tmp_path, subprocess.PIPE, xrd, "--record", tmp_path / "rec")
    try:
        for event in range(4):
            replay.child.stdin.write(b"\n")
            replay.child.stdin.flush()
            replay.wait_for(f"event {event} of 11")
            wait_until(lambda: recorded_events(tmp_path / "rec") == list(range(event + 1)), f"event {event}")
        assert replay.child.poll() is None
        summary = replay.summary()  # closes its input: the rest runs
        assert_summary_adds_up(summary, 11)
        assert recorded_events(tmp_path / "rec") == list(range(11))
    finally:
        replay.child.kill()


def test_step_by_step_by_keys(xrd, tmp_path):
    master, terminal = pty.openpty()
    replay = Stepped(tmp_path, terminal, xrd, "--record", tmp_path / "rec", "--from", 3)
    try:
        replay.wait_for("11 events")
        os.write(master, b"x")
        replay.wait_for("event 0 of 11")
        os.write(master, b" ")
        replay.wait_for("event 3 of 11")
        wait_until(lambda: recorded_events(tmp_path / "rec") == [0, 3], "event 3")
        os.write(master, b"c")
        assert_summary_adds_up(replay.summary(), 11)
    finally:
        replay.child.kill()
        os.close(terminal)
        os.close(master)


# [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]] as uint16: 8 elements bit-shuffled in one block, 2 behind it as they are.
PACKED = bytes.fromhex("0000000000000014 00002000 00000012 f001 55667880 000000000000000000000000 09000a00")
PIXELS = np.arange(1, 11, dtype="uint16").reshape(2, 5)


def packed_data(file, images):
    """A data set whose chunks are compressed by bitshuffle/LZ4, without the library's help."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((1, 2, 5))
    version_and_size = () if h5py.h5z.filter_avail(32008) else (0, 3, 2)
    settings.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, (*version_and_size, 0, 2))
    space = h5py.h5s.create_simple((images, 2, 5))
    data = h5py.h5d.create(file["entry"].id, b"packed", h5py.h5t.STD_U16LE, space, settings)
    for n in range(images - 1):
        data.write_direct_chunk((n, 0, 0), PACKED)
    data.write_direct_chunk((images - 1, 0, 0), (PIXELS * 2).tobytes(), 1)  # one that was not compressed


@pytest.fixture
def hdf5_file(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "images.h5"
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["data"] = rng.integers(0, 1000, (20, 8, 6), "uint16")
        entry.create_dataset("single", data=rng.random((7, 4, 4)), chunks=(1, 4, 4))
        entry.create_dataset("zipped", data=rng.integers(0, 9, (9, 4, 4), "int32"), chunks=(3, 4, 4),
                             compression="gzip")
        entry.create_dataset("big", data=rng.integers(0, 9, (3, 4, 4)).astype(">u4"), chunks=(1, 4, 4))
        entry["flat"] = np.arange(5)
        packed_data(file, 4)
    return path


@pytest.mark.parametrize("name", ["data", "single", "zipped", "big"])
def test_images_of_an_hdf5_file(hdf5_file, tmp_path, name):
    with h5py.File(hdf5_file) as file:
        images = file[f"entry/{name}"][()]
    options = [] if name == "data" else ["--dataset", f"/entry/{name}"]
    for workers in (1, 3):
        summary = replay(tmp_path, hdf5_file, "--stream", "cam=stins", *options, "--analysis", "roi", "--workers",
                         workers)
        assert_summary_adds_up(summary, len(images) + 2)
        assert (summary["folded"], summary["empty"]) == (len(images), 2)
        np.testing.assert_allclose(results(summary["output"])["mean"][1:-1], images.mean(axis=(1, 2)), rtol=1e-15)


def test_compressed_chunks_are_passed_on_as_they_are(hdf5_file, tmp_path):
    summary = replay(tmp_path, hdf5_file, "--stream", "cam=stins", "--dataset", "/entry/packed", "--analysis",
                     "roi", "--record", tmp_path / "rec")
    np.testing.assert_array_equal(results(summary["output"])["mean"][1:-1], [5.5, 5.5, 5.5, 11])
    (file,) = (tmp_path / "rec").glob("*.cbors")
    parts = [streams["cam"][1] for _, streams in events_of_dump(file)]
    assert json.loads(parts[0][0])["htype"] == "header"
    assert json.loads(parts[-1][0])["htype"] == "series_end"
    headers = [json.loads(p[0]) for p in parts[1:-1]]
    assert [h["compression"] for h in headers] == ["bslz4", "bslz4", "bslz4", "none"]
    assert [h["frame"] for h in headers] == [0, 1, 2, 3]
    assert headers[0]["shape"] == [2, 5] and headers[0]["type"] == "uint16"
    assert parts[1][1] == PACKED


@pytest.mark.parametrize("options, complaint", [
    ([], "say which stream its images are with --stream NAME=stins"),
    (["--stream", "c=eiger_v1"], "the images of an HDF5 file are sent as stins"),
    (["--stream", "c=stins", "--dataset", "/entry/none"], "/entry/none: there is no such data set"),
    (["--stream", "c=stins", "--dataset", "/entry/flat"], "/entry/flat: holds no images"),
    (["--stream", "c=stins", "--speed", 1], "images.h5, an HDF5 file, has no times"),
])
def test_an_hdf5_file_that_cannot_be_replayed_like_that(hdf5_file, tmp_path, options, complaint):
    assert complaint in refusal(tmp_path, hdf5_file, *options)


def send(cluster, *options):
    """A replay to the running cluster."""
    return cluster.run(cluster.next_name("replay"), "replay", "--controller", cluster.controller_url, "--config",
                       cluster.config, "--json", *options)


def test_a_replay_to_a_running_system(cluster, timed, tmp_path):
    """Real instruments send it through real sockets; the results are those of a replay in one process."""
    cluster.configure(streams=("a", "b"), analysis="roi", parameters={"stream": "a"}, output="live.h5")
    cluster.start_parts()
    process = send(cluster, timed)
    assert process.wait() == 0, process.report()
    summary = process.summary
    assert (summary["state"], summary["events"]) == ("finished", 42)
    assert summary["fates"]["folded"] == 40
    assert {s["stream"]: s["messages"] for s in summary["streams"]} == {"a": 42, "b": 22}
    replay(tmp_path, timed, *ROI_OF_A)
    assert_same_content(tmp_path / "out.h5", tmp_path / "live.h5")


def test_images_of_an_hdf5_file_and_times_to_a_running_system(cluster, timed, hdf5_file, tmp_path):
    cluster.configure(streams=("a", "b", "cam"), analysis="roi", parameters={"stream": "cam"}, output="{scan}.h5")
    cluster.start_all()
    process = send(cluster, hdf5_file, "--stream", "cam=stins", "--dataset", "/entry/packed")
    assert process.wait() == 0, process.report()
    np.testing.assert_array_equal(results(process.summary["output"])["mean"][1:-1], [5.5, 5.5, 5.5, 11])
    process = send(cluster, timed, "--speed", 1)
    assert process.wait() == 0, process.report()
    assert process.summary["seconds"] >= 0.35


@pytest.mark.parametrize("options, complaint", [
    (["--output", "x.h5"], "--output: is not for a replay to a running system"),
    (["--from", 3], "--from, --to: is not for a replay to a running system"),
])
def test_options_of_a_replay_in_one_process(cluster, timed, options, complaint):
    cluster.configure(streams=("a", "b"))
    process = send(cluster, timed, *options)
    assert process.wait() == 1
    assert complaint in process.log


def test_a_recording_that_does_not_fit_the_running_system(cluster, timed, tmp_path):
    cluster.configure(streams=("a",))
    process = send(cluster, timed)
    assert process.wait() == 1
    assert "stream 'b' is not in" in process.log and "which has a" in process.log
    # Without event 5 nobody could tell where the numbers behind it belong.
    torn = write_dump(tmp_path / "gap.cbors", [(e, {"a": s["a"]}, None) for e, s in events_of_dump(timed) if e != 5])
    process = send(cluster, torn)
    assert process.wait() == 1
    assert "stream 'a': of its 42 entries 41 are recorded" in process.log
