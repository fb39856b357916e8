"""The published results while a scan runs, read by the clients that people have."""

import json
import socket
import subprocess
import threading
import time

import numpy as np
import pytest
import requests

from cluster import BINARY, PATIENCE, Process, wait_until
from instruments import json_part
from witness import one_each

FRAMES = 40


def pixels_of(number, shape=(6, 8)):
    return (np.arange(np.prod(shape), dtype=np.uint16) * (number + 1)).reshape(shape)


def send_image(det, number, shape=(6, 8)):
    det.send([json_part(htype="image", frame=number, shape=list(shape), type="uint16", compression="none",
                        msg_number=det.message_number), pixels_of(number, shape).tobytes()])


class Viewer:
    """Asks the results server."""

    def __init__(self, url):
        self.url = url
        self.session = requests.Session()

    def ask(self, path, **options):
        options.setdefault("timeout", PATIENCE)
        return self.session.get(self.url + path, **options)

    def get(self, path, **query):
        answer = self.ask(path, params=query)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.json()

    def items(self):
        return {item["path"]: item for item in self.get("/api/v1/tree")["items"]}

    def value(self, path):
        """None while there is no such result."""
        return self.items().get(path, {}).get("value")


class RunningScan:
    """A scan of an analysis in the middle, its instrument at hand."""

    def __init__(self, cluster, instrument, analysis, sent=20, **options):
        cluster.configure(analysis=analysis, workers=2, **options)
        cluster.start_all()
        self.cluster = cluster
        self.viewer = Viewer(cluster.results_url)
        self.det = instrument("det")
        self.scan = cluster.begin({"det": one_each(FRAMES)})
        self.det.header()
        self.sent = 0
        self.send(sent)

    def send(self, count):
        for number in range(self.sent, self.sent + count):
            send_image(self.det, number)
        self.sent += count

    def sum(self):
        return sum(pixels_of(number).astype(np.uint64) for number in range(self.sent))

    def wait_for_sum(self):
        self.cluster.wait_for(lambda: self.viewer.value("/frames") == self.sent, "all images to be summed")

    def end(self):
        self.send(FRAMES - self.sent)
        self.det.end()
        self.cluster.wait_for_end(self.scan)


@pytest.fixture
def summing(cluster, instrument):
    """Half of a scan, summed and published."""
    running = RunningScan(cluster, instrument, "sum")
    running.wait_for_sum()
    return running


@pytest.fixture
def h5pyd():
    return pytest.importorskip("h5pyd", reason="h5pyd is not installed: pip install -r tests/requirements.txt")


def text(read):
    """Versions of h5pyd differ in when they decode."""
    return read.decode() if isinstance(read, bytes) else read


def opened(h5pyd, cluster, domain="/"):
    return h5pyd.File(domain, "r", endpoint=cluster.results_url)


# --- h5pyd ---------------------------------------------------------------------------------------

def test_h5pyd_reads_a_scan_that_is_going_on(summing, cluster, h5pyd):
    assert not cluster.get("progress")["finished"]
    with opened(h5pyd, cluster) as f:
        assert set(f) == {"image", "frames", "scan"}
        assert len(f) == 3 and "image" in f and "nothing" not in f
        assert f["frames"][()] == 20
        assert text(f["scan"]["id"][()]) == summing.scan
        assert f["scan/finished"][()] == False  # noqa: E712, a numpy bool
        image = f["image"]
        assert image.shape == (6, 8) and image.dtype == np.uint64
        np.testing.assert_array_equal(image[()], summing.sum())
        np.testing.assert_array_equal(image[1:6:2, 3], summing.sum()[1:6:2, 3])
        np.testing.assert_array_equal(image[-1], summing.sum()[-1])
        np.testing.assert_array_equal(image[[0, 2, 5], 1:4], summing.sum()[[0, 2, 5], 1:4])
        np.testing.assert_array_equal(image[:, ::3], summing.sum()[:, ::3])
        with pytest.raises(KeyError):
            f["nothing"]
        first = f["frames"][()]
        summing.send(5)
        summing.wait_for_sum()
        assert (first, f["frames"][()]) == (20, 25), "values are read anew"
        np.testing.assert_array_equal(image[()], summing.sum())
    summing.end()
    with opened(h5pyd, cluster, f"/{summing.scan}") as f:
        assert f["scan/finished"][()] == True  # noqa: E712
        assert f["frames"][()] == FRAMES


def test_h5pyd_reads_rows_of_events(cluster, instrument, h5pyd):
    running = RunningScan(cluster, instrument, "roi", parameters={"rows": "1:3"}, output="out.h5")
    cluster.wait_for(lambda: running.viewer.value("/scan/results") == 20, "the rows of 20 events")
    with opened(h5pyd, cluster) as f:
        rows = f["sum"]
        assert rows.shape == (FRAMES + 2,) and rows.dtype == np.float64
        np.testing.assert_array_equal(rows[1:21], [pixels_of(n)[1:3].sum() for n in range(20)])
        assert np.isnan(rows[0]) and np.isnan(rows[21:]).all()
    running.end()


def test_h5pyd_reads_everything_that_can_be_published(cluster, instrument, publishing_object, h5pyd):
    running = RunningScan(cluster, instrument, publishing_object)
    folded = 20 + 2  # the start by both workers
    cluster.wait_for(lambda: running.viewer.value("/events") == folded, "all results")
    with opened(h5pyd, cluster) as f:
        assert dict(f.attrs) == {"NX_class": "NXroot", "default": "entry"}
        data = f[f.attrs["default"]][f["entry"].attrs["default"]]
        attributes = dict(data.attrs)
        assert attributes["NX_class"] == "NXdata"
        assert list(attributes["axes"]) == [".", "x"]
        assert attributes["offset"] == 1.25 and attributes["whole"] == True  # noqa: E712
        np.testing.assert_array_equal(attributes["shape"], [2, 3])
        assert "uncertainties" not in data.attrs
        signal = data[attributes["signal"]]
        assert signal.attrs["long_name"] == "counts of the \u00b5-beam"
        assert signal.dtype == np.float32
        np.testing.assert_array_equal(signal[()], [[folded, np.nan, np.nan], [np.nan] * 3])
        np.testing.assert_array_equal(data["x"][1:], [1.5, 2.5])
        assert f["entry/data/x"].attrs["units"] == "mm"
        assert (f["events"][()], f["signed"][()], f["flag"][()]) == (folded, -3, True)
        assert f["flag"].dtype == bool
        assert text(f["title"][()]) == "gr\u00fc\u00df dich"
        assert [text(name) for name in f["names"][()]] == ["I", "q"]
        assert f["a name with blanks"][()] == 1
        np.testing.assert_array_equal(f["bytes"][()], [1, 255])
        counts = f["counts"]
        assert counts.dtype == np.uint16
        np.testing.assert_array_equal(counts[()], [1, 2, 65535])
        np.testing.assert_array_equal(counts[[0, 2]], [1, 65535])
        assert f["number"].attrs["units"] == "1"
        np.testing.assert_array_equal(f["number"][:4], [0, 1, 2, 3])
        assert f["number"][-1] == f["number"].attrs["_FillValue"] == 2**32 - 1
        assert "nothing" not in f
    running.end()


def test_h5pyd_finds_no_other_scan(summing, cluster, h5pyd):
    with pytest.raises(OSError):
        opened(h5pyd, cluster, "/another")


def test_h5pyd_opens_an_earlier_snapshot(summing, cluster, h5pyd):
    kept = summing.viewer.get("/api/v1/snapshots")
    summing.end()
    number = kept["latest"]
    with opened(h5pyd, cluster, f"/{summing.scan}/{number}") as f:
        assert f["frames"][()] == 20


# --- h5web ---------------------------------------------------------------------------------------

def test_what_h5web_asks(summing, cluster):
    """Its requests in their order, all of which take JSON."""
    viewer = summing.viewer
    domain = {"domain": "/"}
    root = viewer.get("/", **domain)["root"]
    group = viewer.get(f"/groups/{root}", **domain)
    assert (group["linkCount"], group["attributeCount"]) == (3, 0)
    links = {link["title"]: link for link in viewer.get(f"/groups/{root}/links", **domain)["links"]}
    image = links["image"]
    assert (image["class"], image["collection"]) == ("H5L_TYPE_HARD", "datasets")
    described = viewer.get(f"/datasets/{image['id']}", **domain)
    assert described["shape"] == {"class": "H5S_SIMPLE", "dims": [6, 8]}
    assert described["type"] == {"class": "H5T_INTEGER", "base": "H5T_STD_U64LE"}
    path = f"/datasets/{image['id']}/value"
    assert viewer.get(path, **domain)["value"] == summing.sum().tolist()
    assert viewer.get(path, select="[0,:]", **domain)["value"] == [summing.sum()[0].tolist()]
    assert viewer.get(path, select="[3,4]", **domain)["value"] == [[int(summing.sum()[3, 4])]]
    assert viewer.get(f"/datasets/{links['frames']['id']}/value", **domain)["value"] == 20


# --- the page ------------------------------------------------------------------------------------

def test_what_the_page_asks(summing, cluster):
    viewer = summing.viewer
    assert cluster.get("config")["results"] == cluster.results_url
    assert viewer.get("/api/v1/status") is True
    listed = viewer.get("/api/v1/snapshots")
    assert (listed["scan"], listed["finished"]) == (summing.scan, False)
    numbers = [s["number"] for s in listed["snapshots"]]
    assert numbers == sorted(numbers) and numbers[-1] == listed["latest"]
    items = viewer.items()
    assert items["/image"]["shape"] == [6, 8] and items["/image"]["dtype"] == "uint64"

    seen = viewer.ask("/api/v1/view", params={"path": "/image", "width": 4, "height": 3})
    assert seen.headers["X-Shape"] == "3,4" and seen.headers["X-Full-Shape"] == "6,8"
    expected = summing.sum().reshape(3, 2, 4, 2).mean((1, 3))
    np.testing.assert_allclose(np.frombuffer(seen.content, "<f4").reshape(3, 4), expected, rtol=1e-6)
    low, high = map(float, seen.headers["X-Range"].split(","))
    assert (low, high) == (summing.sum().min(), summing.sum().max())

    exact = viewer.get("/api/v1/value?path=/image", at="2,3")
    assert exact["value"] == int(summing.sum()[2, 3])


def events_of(url, stop, found):
    with requests.get(f"{url}/api/v1/events?rate=50", stream=True, timeout=PATIENCE) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                found.append(json.loads(line[6:]))
                if stop(found[-1]):
                    return


def test_events_tell_of_a_scan_to_its_end(summing, cluster):
    found = []
    reader = threading.Thread(target=events_of, args=(cluster.results_url, lambda e: e["finished"], found))
    reader.start()
    wait_until(lambda: found, "the first event")
    summing.end()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert all(event["scan"] == summing.scan for event in found)
    numbers = [event["snapshot"] for event in found]
    assert numbers == sorted(set(numbers))
    assert found[-1]["finished"]


def test_who_hangs_on_to_it_stops_nobody(summing, cluster):
    """Readers that read nothing: the scan goes on, others are served, and the process ends in time."""
    hanging = []
    for path in ("/api/v1/events", "/api/v1/tree", "/"):
        for _ in range(5):
            peer = socket.create_connection(("127.0.0.1", cluster.results_port))
            peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            hanging.append(peer)
    for _ in range(5):  # in the middle of a request
        peer = socket.create_connection(("127.0.0.1", cluster.results_port))
        peer.sendall(b"GET /api/v1/tr")
        hanging.append(peer)
    assert summing.viewer.value("/frames") == 20
    summing.end()
    assert summing.viewer.value("/frames") == FRAMES
    process = cluster.of_role("all")[0]
    begin = time.monotonic()
    process.child.terminate()
    assert process.wait() == 0
    assert time.monotonic() - begin < PATIENCE / 2
    for peer in hanging:
        peer.close()


# --- who serves it -------------------------------------------------------------------------------

def test_the_process_with_the_reducer_serves(cluster, instrument):
    cluster.configure(analysis="sum")
    cluster.start_parts(1)
    viewer = Viewer(cluster.results_url)
    assert viewer.get("/api/v1/tree") == {"scan": None, "snapshot": 0, "results": 0, "finished": False, "items": []}
    assert cluster.get("config")["results"] == cluster.results_url
    scan = cluster.begin({"det": one_each(4)})
    det = instrument("det")
    det.header()
    for number in range(4):
        send_image(det, number)
    det.end()
    cluster.wait_for_end(scan)
    assert viewer.get("/api/v1/snapshots")["finished"] is True
    assert viewer.value("/frames") == 4


def test_a_second_scan_is_the_latest(summing, cluster):
    summing.end()
    first = summing.scan
    second = cluster.begin({"det": one_each(3)})
    listed = summing.viewer.get("/api/v1/snapshots")
    assert listed["scan"] == second
    assert [s["scan"] for s in listed["scans"]] == [second, first]
    old = summing.viewer.get("/api/v1/tree", scan=first)
    assert {i["path"]: i.get("value") for i in old["items"]}["/frames"] == FRAMES


def test_tokens(cluster):
    tokens = cluster.folder / "tokens.toml"
    tokens.write_text('[[token]]\nname = "page"\nscope = "view"\nsecret = "viewer-0123456789"\n')
    tokens.chmod(0o600)
    cluster.configure(http={"tokens": str(tokens)})
    process = cluster.start("all")
    viewer = Viewer(cluster.results_url)
    wait_until(lambda: "results at http" in process.log, "the results server")
    assert viewer.ask("/api/v1/tree").status_code == 401
    assert viewer.ask("/").status_code == 401
    allowed = viewer.ask("/api/v1/tree", headers={"Authorization": "Bearer viewer-0123456789"})
    assert allowed.status_code == 200


def test_beyond_this_machine_only_with_tokens(cluster):
    cluster.configure()
    process = cluster.start("all", "--results", f"0.0.0.0:{cluster.results_port}")
    assert process.wait() == 1
    assert "[http] tokens" in process.log
    cluster.bury(process)


def test_a_replay_can_be_watched(cluster, recording, tmp_path):
    """Step by step, so that there is time to look."""
    recorded = recording("dump_xrd.cbors")
    viewer = Viewer(cluster.results_url)
    log = tmp_path / "replay.log"
    with open(log, "wb") as out, subprocess.Popen(
            [str(BINARY), "replay", str(recorded), "--analysis", "roi", "--step", "--results",
             f"127.0.0.1:{cluster.results_port}"], stdin=subprocess.PIPE, stdout=out, stderr=out) as process:
        try:
            wait_until(lambda: b"results at http" in log.read_bytes(), "the results server")
            wait_until(lambda: viewer.get("/api/v1/snapshots")["scan"], "the scan")
            for _ in range(3):
                process.stdin.write(b"\n")
                process.stdin.flush()
            wait_until(lambda: viewer.value("/scan/results"), "a result")
            assert viewer.get("/api/v1/snapshots")["finished"] is False
            assert process.poll() is None
            process.stdin.close()
            assert process.wait(PATIENCE) == 0, log.read_text()
        finally:
            process.kill()


def test_a_replay_is_watched_from_this_machine_only(cluster, recording):
    process = Process("replay", cluster.folder, "replay", recording("dump_xrd.cbors"), "--results", "0.0.0.0:0")
    assert process.wait() == 1
    assert "--results 0.0.0.0:0" in process.log
