"""What `inspect` says of recordings, and what it takes out of them, read without the product."""

import json

import cbor2
import h5py
import numpy as np
import pytest

from cluster import Process
from files import assert_same_content, events_of_dump, write_dump

# [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]] as uint16: 8 elements bit-shuffled in one block, 2 behind it as they are.
PACKED = bytes.fromhex("0000000000000014 00002000 00000012 f001 55667880 000000000000000000000000 09000a00")


def stins(htype, **content):
    return json.dumps({"htype": htype, **content}).encode()


def inspect(folder, *options, status=0):
    process = Process("inspect", folder, "inspect", *options, "--json")
    try:
        assert process.wait() == status, process.report()
        return process.summary if status == 0 else process.log
    finally:
        process.end()


@pytest.fixture
def packed_dump(tmp_path):
    """A start, three compressed images and an end; the number 1 is missing."""
    header = {"shape": [2, 5], "type": "uint16", "compression": "bslz4"}
    events = [(0, {"det": ("STINS", [stins("header", filename="a.h5", msg_number=0)])}, 1e9)]
    for event, number in enumerate((0, 2, 3), start=1):
        parts = [stins("image", frame=number, msg_number=number + 1, **header), PACKED]
        events.append((event, {"det": ("STINS", parts)}, 1e9 + event))
    events.append((4, {"det": ("STINS", [stins("series_end", msg_number=5)])}, 1e9 + 4))
    return write_dump(tmp_path / "packed.cbors", events)


def test_a_dump(packed_dump, tmp_path):
    found = inspect(tmp_path, packed_dump)
    assert (found["form"], found["events"], found["torn"], found["seconds"]) == ("dump", 5, None, 4)
    assert (found["first_time"], found["last_time"]) == ("2001-09-09T01:46:40Z", "2001-09-09T01:46:44Z")
    (stream,) = found["streams"]
    assert (stream["name"], stream["type"], stream["events"]) == ("det", "STINS", 5)
    assert stream["verdicts"]["gap"] == 1
    assert stream["images"] == [{"shape": [2, 5], "dtype": "uint16", "compression": "bslz4", "count": 3}]
    assert stream["first"] == [{"htype": "header", "filename": "a.h5", "msg_number": 0}]
    assert stream["last"] == [{"htype": "series_end", "msg_number": 5}]


def test_a_torn_dump(packed_dump, tmp_path):
    """Everything up to the last whole event is there, and where it is torn is told."""
    whole = packed_dump.read_bytes()
    torn = tmp_path / "torn.cbors"
    torn.write_bytes(whole[:-10])
    found = inspect(tmp_path, torn)
    assert found["torn"]["last_event"] == 3
    at = found["torn"]["byte"]
    assert cbor2.loads(whole[at:]).value[0] == 4  # the event that is torn begins there
    assert found["streams"][0]["events"] == 4
    assert "torn.cbors" in found["warnings"][0]


def test_chunks_are_taken_out_as_they_are(packed_dump, tmp_path):
    found = inspect(tmp_path, packed_dump, "--extract", "det", tmp_path / "out.h5")["extracted"]
    assert (found["shape"], found["compression"], found["left_out"]) == ([3, 2, 5], "bslz4", 0)
    with h5py.File(tmp_path / "out.h5") as file:
        data = file["entry/data"]
        assert data.chunks == (1, 2, 5)
        for n in range(3):
            assert data.id.read_direct_chunk((n, 0, 0)) == (0, PACKED)
        assert list(data._filters) == ["32008"]
        np.testing.assert_array_equal(file["entry/event"], [1, 2, 3])
        np.testing.assert_array_equal(file["entry/time"], 1e9 + np.arange(1, 4))


def test_images_of_recordings(recording, tmp_path):
    xrd = recording("dump_xrd.cbors")
    inspect(tmp_path, xrd, "--extract", "xrd", tmp_path / "xrd.h5")
    images = [np.frombuffer(parts[1], "uint16").reshape(10, 10)
              for _, streams in events_of_dump(xrd) for _, parts in streams.values() if len(parts) == 2]
    with h5py.File(tmp_path / "xrd.h5") as file:
        np.testing.assert_array_equal(file["entry/data"], images)

    capture = recording("xspress3-dump.cbors")
    inspect(tmp_path, capture, "--stream", "x=xspress3", "--extract", "x", tmp_path / "x.h5")
    with open(capture, "rb") as file:
        messages = []
        while file.read(1):
            file.seek(-1, 1)
            messages.append(cbor2.load(file))
    spectra = [np.frombuffer(m[0], "uint32").reshape(4, 4096) for m in messages if len(m[0]) == 65536]
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["entry/data"], spectra)
        np.testing.assert_array_equal(file["entry/number"], range(20))


def test_a_stream_that_cannot_be_taken_out(packed_dump, recording, tmp_path):
    log = inspect(tmp_path, packed_dump, "--extract", "x", tmp_path / "out.h5", status=1)
    assert "--extract x: there is no such stream in it" in log
    log = inspect(tmp_path, recording("contrast-dump.cbors"), "--stream", "c=contrast", "--extract", "c",
                  tmp_path / "out.h5", status=1)
    assert "entries of type contrast carry no images" in log
    assert not (tmp_path / "out.h5").exists()


def scan_recorded_as_received(cluster, frames=50):
    """A live scan whose streams are recorded as they are received; returns the files by stream."""
    cluster.configure(streams=("det",), analysis="roi", workers=2, output="live.h5",
                      simulate=[{"stream": "det", "frames": frames, "rate": "500Hz"}],
                      sections={"recording": {"directory": str(cluster.folder / "wire"), "as": "wire"}})
    cluster.start_all()
    assert cluster.simulate().wait() == 0
    (file,) = (cluster.folder / "wire").iterdir()
    assert file.name.startswith("det-wire-")
    return file


def test_a_wire_recording_of_a_scan(cluster, tmp_path):
    """It is written during the scan, described by itself, and replays to the same results at any speed."""
    file = scan_recorded_as_received(cluster)
    found = inspect(tmp_path, file)
    assert (found["form"], found["stream"], found["protocol"], found["entries"]) == ("wire", "det", "stins", 52)
    assert found["messages"] == 52 and found["torn"] is None
    assert found["verdicts"] == {"ok": 52}
    assert 0 < found["seconds"] < 20
    for options in ([], ["--speed", 2], ["--workers", 5]):
        process = Process("replay", tmp_path, "replay", file, "--json", "--analysis", "roi", "--output",
                          tmp_path / "again.h5", *options)
        assert process.wait() == 0, process.report()
        assert process.summary["folded"] == 50
        assert_same_content(tmp_path / "again.h5", tmp_path / "live.h5")
    assert process.summary["events"] == 52
    extracted = inspect(tmp_path, file, "--extract", "det", tmp_path / "det.h5")["extracted"]
    assert extracted["shape"] == [50, 64, 64]


def test_a_torn_wire_recording(cluster, tmp_path):
    file = scan_recorded_as_received(cluster)
    torn = tmp_path / "torn.dtwire"
    content = file.read_bytes()
    torn.write_bytes(content[:len(content) // 2])
    found = inspect(tmp_path, torn)
    messages = found["torn"]["messages"]
    assert 10 < messages < 40 and found["messages"] == messages
    assert "torn.dtwire" in found["warnings"][0]

    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    torn.write_bytes(damaged)
    found = inspect(tmp_path, torn)
    assert found["messages"] == 51 and found["verdicts"]["gap"] == 1
    assert "does not have its checksum" in found["warnings"][0]
