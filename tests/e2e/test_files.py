"""Files of results: followed while they are written, after a crash, at the end, and by viewers."""

import json
import shutil
import signal
import subprocess

import h5py
import numpy as np
import pytest
import zmq

from cluster import BINARY, wait_until
from files import results
from instruments import Instrument

FRAMES = 600


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def slow(cluster, frames=FRAMES, parameters=None, **output):
    """Everything ready for a scan of a second or two."""
    keys = {"file": str(cluster.folder / "out.h5"), "flush": "50ms", **output}
    cluster.configure(analysis="roi", parameters=parameters or {"rows": "0:4"}, sections={"output": keys},
                      simulate=[{"stream": "det", "frames": frames, "rate": "400Hz", "shape": [8, 8]}])
    return cluster


def part(cluster):
    return cluster.folder / "out.h5.part"


def followed(path):
    return h5py.File(path, "r", libver="latest", swmr=True)


def length(rows):
    rows.refresh()
    return len(rows)


def repair(*paths):
    done = subprocess.run([BINARY, "repair", "--json", *paths], capture_output=True, text=True, timeout=30)
    return done.returncode, json.loads(done.stdout)["files"]


# --- while it is written -------------------------------------------------------------------------

@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_reader_sees_it_grow(cluster, compression):
    slow(cluster, compression=compression)
    cluster.start_all()
    simulated = cluster.simulate()
    progress = cluster.wait_for_events(20)
    assert progress["output"] == str(part(cluster))
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(part(cluster), "r", locking=False)
    with followed(part(cluster)) as file:
        rows, versions = file["entry/result/mean"], file["entry/process/parameters_version"]
        assert file.attrs["default"] == "entry" and file["entry/result"].attrs["signal"] in file["entry/result"]
        lengths = [wait_until(lambda: length(rows) > 1 and len(rows), "rows")]
        while len(lengths) < 5:
            lengths.append(wait_until(lambda: length(rows) > lengths[-1] and len(rows), "it to grow"))
        assert lengths == sorted(lengths) and lengths[-1] < FRAMES + 2
        seen = rows[1:lengths[0]]
        assert np.isfinite(seen).all()
        assert length(versions) >= lengths[0] and len(set(versions[1:lengths[0]])) == 1 and versions[1] > 0
        code, answer = repair(part(cluster))
        assert (code, answer[0]["what"]) == (1, "in use")
        done = cluster.wait_for_end()
    assert simulated.wait() == 0
    assert done["output"] == str(cluster.folder / "out.h5") and not part(cluster).exists()
    mean = results(done["output"])["mean"]
    assert len(mean) == FRAMES + 2
    np.testing.assert_array_equal(mean[1:lengths[0]], seen)
    assert np.isnan(mean[[0, -1]]).all() and np.isfinite(mean[1:-1]).all()


def test_without_swmr_it_is_the_same_at_the_end(cluster):
    slow(cluster, frames=50, swmr=False)
    cluster.start_all()
    assert cluster.simulate().wait() == 0
    assert np.isfinite(results(cluster.wait_for_end()["output"])["mean"][1:-1]).all()


# --- after a crash -------------------------------------------------------------------------------

def killed(cluster, journal):
    """A reducer that was killed in mid-scan, and what a reader sees of its file."""
    slow(cluster)
    if journal:
        with open(cluster.config, "a") as config:
            config.write(f'[reducer]\njournal = "{cluster.folder / "journal"}"\n')
    parts = cluster.start_parts()
    cluster.simulate()
    cluster.wait_for_events(60)
    wait_until(part(cluster).exists, "a file")

    def flushed():
        with followed(part(cluster)) as file:
            return len(file["entry/result/mean"]) > 20

    wait_until(flushed, "rows in the file")
    cluster.kill(parts["reducer"])
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(part(cluster), "r", locking=False)
    with followed(part(cluster)) as file:
        return file["entry/result/mean"][:]


def test_repair_lets_anybody_open_what_a_killed_reducer_left(cluster):
    seen = killed(cluster, journal=False)
    copy = cluster.folder / "copy.h5"
    shutil.copy(part(cluster), copy)
    code, answer = repair(copy)
    assert (code, answer[0]["what"]) == (0, "cleared") and answer[0]["data_sets"] > 5
    assert repair(copy)[1][0]["what"] == "sound"
    with h5py.File(copy, "r") as file:
        np.testing.assert_array_equal(file["entry/result/mean"][:], seen)
    # One that is added to does not overwrite what is there.
    with h5py.File(copy, "r+") as file:
        file["more"] = np.arange(100_000)
    with h5py.File(copy, "r") as file:
        np.testing.assert_array_equal(file["entry/result/mean"][:], seen)
    (cluster.folder / "text").write_text("no HDF5")
    code, answer = repair(cluster.folder / "text", copy)
    assert code == 1 and [a["what"] for a in answer] == ["hopeless", "sound"] and answer[0]["reason"]


def test_the_next_start_lets_anybody_open_it(cluster):
    seen = killed(cluster, journal=False)
    reducer = cluster.start("reducer")
    wait_until(lambda: "can be opened again" in reducer.log, "the reducer to clear it")
    with h5py.File(part(cluster), "r") as file:
        np.testing.assert_array_equal(file["entry/result/mean"][:], seen)


def test_with_a_journal_the_scan_goes_on_in_it(cluster):
    seen = killed(cluster, journal=True)
    cluster.start("reducer")
    done = cluster.wait_for_end()
    assert done["output"] == str(cluster.folder / "out.h5") and not part(cluster).exists()
    mean = results(done["output"])["mean"]
    np.testing.assert_array_equal(mean[:len(seen)][np.isfinite(seen)], seen[np.isfinite(seen)])
    assert np.isfinite(mean[1:-1]).all()


# --- what is in it -------------------------------------------------------------------------------

def test_it_tells_the_whole_scan(cluster):
    slow(cluster)
    with open(cluster.config, "a") as config:
        config.write('[output.raw_path]\ndet = "/entry/{stream}/{filename}"\n')
    cluster.start_all()
    simulated = cluster.simulate()
    cluster.wait_for_events(100)
    assert cluster.ask("POST", "parameter/rows", data="0:8").status_code == 200
    done = cluster.wait_for_end()
    assert simulated.wait() == 0
    ledger = cluster.get("ledger")
    with h5py.File(done["output"]) as file:
        entry, process = file["entry"], file["entry/process"]
        assert {"NX_class", "creator", "file_time", "HDF5_Version", "default"} <= set(file.attrs)
        assert entry["entry_identifier"].asstr()[()] == done["scan"]
        for time in ("start_time", "end_time"):
            assert entry[time].asstr()[()].endswith("Z")
        assert process["program"].asstr()[()] == "dtranspose" and process["version"].asstr()[()]
        configuration = json.loads(process["configuration/data"].asstr()[()])
        assert configuration["analysis"] == "roi" and configuration["parameters"]["rows"] == "0:4"
        # Every result says which parameters it was made with.
        versions = process["parameters_version"][:]
        listed = process["parameters"]
        assert [c["version"] for c in ledger["parameters"]] == sorted(map(int, listed))
        first, second = sorted(map(int, listed))
        assert listed[f"{first}/rows"].asstr()[()] == "0:4" and listed[f"{second}/rows"].asstr()[()] == "0:8"
        assert set(versions[1:-1]) == {first, second} and not versions[[0, -1]].any()
        for version in (first, second):
            about = listed[str(version)].attrs
            events = np.flatnonzero(versions == version)
            assert (about["results"], about["first_event"], about["last_event"]) == (
                len(events), events[0], events[-1])
        pixels = file["entry/result/pixels"][:] if "pixels" in file["entry/result"] else None
        if pixels is not None:
            assert (pixels[versions == first] == 32).all() and (pixels[versions == second] == 64).all()
        told = json.loads(entry["ledger/data"].asstr()[()])
        assert told["fates"] == ledger["fates"] and told["state"] == "finished"
        assert entry["ledger/fates/folded"][()] == FRAMES
        runs = json.loads(entry["trigger_map/data"].asstr()[()])
        assert runs["events"] == FRAMES + 2
        assert sum(r["count"] for r in runs["streams"]["det"]) == FRAMES + 2 and len(runs["streams"]["det"]) < 10
        detector = entry["instrument/det"]
        assert detector["file_name"].asstr()[()] == "generated.h5"
        link = detector.get("data", getlink=True)
        assert (link.filename, link.path) == ("generated.h5", "/entry/det/generated")
        assert detector.get("data") is None
    # The link works as soon as the file is there.
    with h5py.File(cluster.folder / "generated.h5", "w") as raw:
        raw["entry/det/generated"] = [1, 2, 3]
    with h5py.File(done["output"]) as file:
        assert file["entry/instrument/det/data"][:].tolist() == [1, 2, 3]


def test_h5dump_reads_it(cluster):
    if not shutil.which("h5dump"):
        pytest.skip("h5dump is not installed (hdf5-tools)")
    slow(cluster, frames=40, compression="gzip", level=9, chunk="64KiB")
    cluster.start_all()
    assert cluster.simulate().wait() == 0
    output = cluster.wait_for_end()["output"]
    done = subprocess.run(["h5dump", "-p", output], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "COMPRESSION DEFLATE { LEVEL 9 }" in done.stdout and "PREPROCESSING SHUFFLE" in done.stdout


@pytest.mark.parametrize("analysis, parameters", [("roi", {"rows": "0:4"}), ("sum", {}), ("pileup", {})])
def test_viewers_find_a_plot(cluster, analysis, parameters):
    nxdata = pytest.importorskip("silx.io.nxdata", reason="silx is not installed")
    cluster.configure(analysis=analysis, parameters=parameters, output="out.h5",
                      simulate=[{"stream": "det", "frames": 40, "shape": [8, 8]}])
    cluster.start_all()
    assert cluster.simulate().wait() == 0
    with h5py.File(cluster.wait_for_end()["output"]) as file:
        plot = nxdata.get_default(file)
        assert plot is not None and plot.is_valid, plot and plot.issues
        assert plot.signal.size > 0


# --- its name ------------------------------------------------------------------------------------

def scan_with(cluster, context, filename, name, frames=3, **section):
    keys = {"file": str(cluster.folder / name), **section}
    cluster.configure(analysis="roi", parameters={"rows": "0:4"}, sections={"output": keys})
    cluster.start_all()
    det = Instrument(context, cluster.url("det"))
    cluster.begin({"det": [[{"constraint": 0}]] * frames})
    det.send([json.dumps({"htype": "header", "filename": filename, "msg_number": det.message_number}).encode()])
    for number in range(frames):
        det.image(number)
    det.end()
    done = cluster.wait_for_end()
    det.close()
    return done


def test_it_may_bear_the_name_of_the_raw_file(cluster, context):
    done = scan_with(cluster, context, "/data/visitors/raw/scan_0017.h5", "{raw}_processed.h5")
    assert done["output"] == str(cluster.folder / "scan_0017_processed.h5")
    assert len(results(done["output"])["mean"]) == 5
    assert (cluster.folder / "scan_0017_processed.ledger.json").exists()


def test_an_empty_name_means_not_to_save(cluster, context):
    done = scan_with(cluster, context, "", "out.h5")
    assert done["output"] == "" and done["state"] == "finished"
    assert not list(cluster.folder.glob("out*"))
    assert any("not saved" in text for text in cluster.get("ledger")["complaints"])
    assert "not saved" in cluster.of_role("all")[0].log


def test_a_file_that_appears_meanwhile_is_not_overwritten(cluster):
    slow(cluster, frames=200)
    cluster.start_all()
    cluster.simulate()
    cluster.wait_for_events(20)
    (cluster.folder / "out.h5").write_text("precious")
    done = cluster.wait_for_end()
    assert (cluster.folder / "out.h5").read_text() == "precious"
    assert done["output"] == str(cluster.folder / "out-2.h5")
    assert np.isfinite(results(done["output"])["mean"][1:-1]).all()
    assert any("out-2.h5" in text for text in cluster.get("ledger")["complaints"])


def test_a_reducer_that_is_stopped_leaves_a_file_that_opens(cluster):
    slow(cluster)
    parts = cluster.start_parts()
    cluster.simulate()
    cluster.wait_for_events(60)
    parts["reducer"].send(signal.SIGTERM)
    assert parts["reducer"].wait() == 0
    cluster.bury(parts["reducer"])
    with h5py.File(part(cluster), "r") as file:
        assert len(file["entry/result/mean"]) >= 50
