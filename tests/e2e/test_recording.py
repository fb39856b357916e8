"""What is recorded of a live scan: whole, readable by others, replayed to the same results."""

import gzip
import os
import random
import subprocess

import pytest

from cluster import Process
from files import assert_same_content, events_of_dump

FRAMES = 200


def configure(cluster, recording, frames=FRAMES, rate="1kHz", shape=(16, 16), streams=("one", "two"), output="out.h5",
              **more):
    return cluster.configure(
        streams=streams, analysis="roi", parameters={"rows": "0:4"}, output=output,
        sections={"recording": {"directory": str(cluster.folder / "recordings"), **recording}},
        simulate=[{"stream": s, "frames": frames, "rate": rate, "shape": list(shape), "seed": i}
                  for i, s in enumerate(streams)], **more)


def recorded(cluster, ending="cbors"):
    return sorted((cluster.folder / "recordings").glob(f"*-ingester-*.{ending}"))


def run_scan(cluster):
    simulated = cluster.simulate()
    done = cluster.wait_for_end()
    assert simulated.wait() == 0
    return done


def inspect(cluster, file):
    process = Process(cluster.next_name("inspect"), cluster.folder, "inspect", file, "--json")
    assert process.wait() == 0, process.report()
    return process.summary


def test_live_and_replayed_at_any_speed_by_any_number_of_workers(cluster):
    configure(cluster, {})
    cluster.start_all()
    done = run_scan(cluster)
    assert done["fates"]["folded"] == FRAMES
    files = recorded(cluster)
    assert len(files) == 2
    for speed in ([], ["--speed", "1"], ["--speed", "10"]):
        for workers in (1, 2, 8):
            output = cluster.folder / f"again-{workers}-{'-'.join(speed)}.h5"
            process = Process(cluster.next_name("replay"), cluster.folder, "replay", *files, "--json", "--analysis",
                              "roi", "--param", "rows=0:4", "--workers", workers, *speed, "--output", output)
            assert process.wait() == 0, process.report()
            assert_same_content(done["output"], output)


@pytest.mark.parametrize("packed, ending, unpack", [
    ("gzip", "cbors.gz", lambda file: gzip.decompress(file.read_bytes())),
    ("zstd", "cbors.zst", lambda file: subprocess.run(["zstd", "-dc", file], check=True, stdout=subprocess.PIPE).stdout)])
def test_packed_recordings_are_those_of_the_usual_tools(cluster, packed, ending, unpack):
    configure(cluster, {"packed": packed})
    cluster.start_all()
    run_scan(cluster)
    for file in recorded(cluster, ending):
        plain = cluster.folder / "plain.cbors"
        plain.write_bytes(unpack(file))
        assert [number for number, _ in events_of_dump(plain)] == list(range(FRAMES + 2))
        assert inspect(cluster, file)["streams"] == inspect(cluster, plain)["streams"]


def test_a_full_disk_is_named_and_costs_no_event(cluster):
    configure(cluster, {}, frames=2000, rate="0", shape=(64, 64), streams=("one",))
    cluster.start_all()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    small = cluster.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "none", small], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        cluster.ask("POST", "parameter/dump_prefix", data=str(small / "run_"))
        simulated = cluster.simulate()
        done = cluster.wait_for_end()
        assert simulated.wait() == 0
        assert done["fates"]["folded"] == 2000, "a recording that fails costs no event"
        stream = cluster.get("ledger")["streams"]["one"]
        assert "No space left" in stream["recording_error"]
        assert any("not recorded whole" in c and "No space left" in c for c in cluster.get("ledger")["complaints"])
        file = next(small.glob("run_one-ingester-*"))
        events = events_of_dump(file)
        there = [number for number, streams in events if streams]
        assert 0 < len(there) < 2002 and there == sorted(set(there))
        lost = {e for first, last in stream["recording"]["lost"] for e in range(first, last + 1)}
        assert lost == set(range(2002)) - set(there)
    finally:
        subprocess.run(["umount", small], check=True)


def test_frames_that_came_in_another_order_are_replayed(cluster, instrument):
    """A recording is of events in their order, however the frames came."""
    configure(cluster, {}, streams=("one",))
    cluster.start_all()
    det = instrument("one")
    scan = cluster.begin({"one": [[{"constraint": e}] for e in range(8)]})
    det.header()
    for number in (1, 0, 2, 5, 4, 3, 7, 6):
        det.image(number)
    det.end()
    done = cluster.wait_for_end(scan)
    assert done["fates"]["folded"] == 8
    file, = recorded(cluster)
    assert sorted(number for number, _ in events_of_dump(file)) == list(range(10))
    again = cluster.folder / "again.h5"
    process = Process("replay", cluster.folder, "replay", file, "--json", "--analysis", "roi", "--param", "rows=0:4",
                      "--output", again)
    assert process.wait() == 0, process.report()
    assert_same_content(done["output"], again)


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize("packed", ["none", "zstd"])
def test_killed_in_the_middle_a_file_reads_up_to_its_last_whole_event(cluster, times, packed):
    configure(cluster, {"packed": packed}, frames=200_000, rate="0", shape=(256, 512), streams=("one",), output="",
              stream={"retain": "64MB"})
    seed = random.Random(times)
    for _ in range(times):
        system = cluster.start_all()
        simulated = cluster.simulate()
        cluster.wait_for_events(seed.randrange(100, 1500))
        cluster.kill(system)
        simulated.end()
        cluster.bury(simulated)
        file, = recorded(cluster, "cbors" if packed == "none" else "cbors.zst")
        said = inspect(cluster, file)
        stream = said["streams"][0] if isinstance(said["streams"], list) else said["streams"]["one"]
        assert stream["events"] > (50 if packed == "none" else 0), said  # packing is slow
        check_whole_events(cluster, file, stream["events"], packed)
        file.unlink()


def check_whole_events(cluster, file, entries, packed):
    """What inspect counted is there, one after the other, by a reader of our own."""
    import cbor2

    content = file
    if packed == "zstd":
        content = cluster.folder / "plain.cbors"
        with open(content, "wb") as out:
            subprocess.run(["zstd", "-dc", file], stdout=out, stderr=subprocess.DEVNULL)
    with open(content, "rb") as source:
        for event in range(entries):
            item = cbor2.load(source)
            assert (item.value if item.tag == 55799 else item).value[0] == event
        try:
            cbor2.load(source)
            torn = False
        except (cbor2.CBORDecodeError, EOFError):
            torn = True
    assert torn, "there is more than inspect has said"


# --- as it is received ---------------------------------------------------------------------------

@pytest.mark.parametrize("packed, ending", [("none", ""), ("gzip", ".gz"), ("zstd", ".zst")])
def test_a_wire_recording_is_written_beside_the_stream_and_replays_to_the_same(cluster, packed, ending):
    configure(cluster, {"as": "wire", "packed": packed}, frames=2000, rate="0", streams=("one",))
    cluster.start_all()
    done = run_scan(cluster)
    assert done["fates"]["folded"] == 2000
    file, = (cluster.folder / "recordings").iterdir()
    assert file.name.startswith("one-wire-") and file.name.endswith(".dtwire" + ending)
    ledger = cluster.get("ledger")
    recording = ledger["streams"]["one"]["wire_recording"]
    assert recording["file"] == str(file) and recording["bytes"] == file.stat().st_size
    assert recording["messages"] == 2002
    assert recording["behind_bytes"] == recording["gap_messages"] == recording["lost_messages"] == 0
    assert not any("recorded" in c for c in ledger["complaints"]), ledger["complaints"]
    assert inspect(cluster, file)["messages"] == 2002
    again = cluster.folder / "again.h5"
    process = Process("replay", cluster.folder, "replay", file, "--json", "--analysis", "roi", "--param", "rows=0:4",
                      "--output", again)
    assert process.wait() == 0, process.report()
    assert_same_content(done["output"], again)


def test_a_wire_recording_that_may_not_hold_its_stream_names_what_it_lacks(cluster):
    """Less may wait than one frame: whatever comes while another is written is left out."""
    configure(cluster, {"as": "wire", "behind": "gap", "budget": "1kB"}, frames=5000, rate="0", shape=(64, 64),
              streams=("one",))
    cluster.start_all()
    done = run_scan(cluster)
    assert done["fates"]["folded"] == 5000, "the recording costs no event"
    file, = (cluster.folder / "recordings").iterdir()
    ledger = cluster.get("ledger")
    recording = ledger["streams"]["one"]["wire_recording"]
    found = inspect(cluster, file)
    assert found["messages"] == recording["messages"]
    assert recording["messages"] + recording["gap_messages"] == 5002 and recording["gap_messages"] > 0
    assert any(f"{recording['gap_messages']} messages are left out of it" in c for c in ledger["complaints"])
    assert any(f"{recording['gap_messages']} messages of {recording['gap_bytes']} bytes were received but not recorded"
               in w for w in found["warnings"]), found["warnings"]


def test_a_wire_recording_on_a_full_disk_is_named_and_costs_no_event(cluster):
    small = cluster.folder / "recordings"
    small.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "none", small], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        configure(cluster, {"as": "wire"}, frames=2000, rate="0", shape=(64, 64), streams=("one",))
        cluster.start_all()
        done = run_scan(cluster)
        assert done["fates"]["folded"] == 2000
        ledger = cluster.get("ledger")
        recording = ledger["streams"]["one"]["wire_recording"]
        assert any("not recorded whole" in c and "No space left" in c for c in ledger["complaints"])
        file, = small.iterdir()
        messages = inspect(cluster, file)["messages"]
        assert 0 < messages < 2002 and messages + recording["lost_messages"] == 2002
    finally:
        subprocess.run(["umount", small], check=True)
