"""More than anybody can take: who sends is held back, and a full disk is waited for. It costs nothing."""

import contextlib
import os
import subprocess

import numpy as np
import psutil
import pytest

from cluster import wait_until
from files import results
from undertaking import PATIENCE, STREAMS, Undertaking

MOST_MEMORY = 256 * 2**20  # of any process
MOST_GROWTH = 24 * 2**20  # of any process, from a third of the scan on
SHAPE = (64, 128)  # 16 KiB
PAUSE = 4  # ms of a worker for each event; there are four workers
SENT = 2 * 4 / PAUSE  # kHz


def sample(cluster, memory):
    for process in cluster.processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            memory.setdefault(process.name, []).append(psutil.Process(process.pid).memory_info().rss)


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.long)])
def test_twice_what_the_workers_can_take(cluster, crashing_object, seconds):
    frames = int(seconds * 1000 * 4 / PAUSE)
    scan = Undertaking(cluster, "crashing", frames=frames, rate=f"{SENT:.0f}kHz", shape=SHAPE,
                       plugin=crashing_object, parameters={"pause_us": PAUSE * 1000},
                       stream={"retain": "1MiB", "read_ahead": "256kB"}, worker={"memory": "1MiB"}).begin()
    held_back = set()
    early, all_memory = {}, {}

    def look():
        progress = cluster.get("progress")
        for name, stream in cluster.get("status")["streams"].items():
            if "held back" in stream["state"]:
                held_back.add(name)
        sample(cluster, all_memory)
        if progress["completed_events"] < frames / 3:
            sample(cluster, early)
        return progress["finished"]

    cluster.wait_for(look, "the scan to end", PATIENCE + 3 * seconds)
    scan.assert_whole()
    assert held_back == set(STREAMS)
    for name, samples in all_memory.items():
        print(f"{name}: at most {max(samples) / 2**20:.1f} MiB, in the first third "
              f"{max(early[name]) / 2**20:.1f} MiB")
        assert max(samples) <= MOST_MEMORY, name
        assert max(samples) - max(early[name]) <= MOST_GROWTH, name


# --- full disks ----------------------------------------------------------------------------------

class SmallDisk:
    """A file system of its own, and something that takes up the room in it."""

    def __init__(self, folder, size):
        self.folder = folder
        self.filler = folder / "filler"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "dtranspose", folder],
                              capture_output=True, text=True, timeout=20)
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def leave(self, room):
        stats = os.statvfs(self.folder)
        with open(self.filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, stats.f_bavail * stats.f_frsize - room)

    def make_room(self):
        self.filler.unlink()

    def unmount(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True, timeout=20)


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs to be root to mount a small file system")
    disk = SmallDisk(tmp_path / "small", "8m")
    disk.leave(room=32 << 10)
    yield disk
    disk.unmount()


def on_small_disk(cluster, disk, what, disk_full):
    """What is on the small disk: the reducer's journal or the output file."""
    folder = disk.folder if what == "journal" else cluster.folder
    sections = {"reducer": {"disk_full": disk_full, "journal": str(folder / "j")},
                "controller": {"journal": str(cluster.folder / "c")}}
    output = "small/{scan}.h5" if what == "output" else "{scan}.h5"
    return Undertaking(cluster, sections=sections, output=output).begin()


def error_of_reducer(cluster):
    return "".join(r.get("error", "") for r in cluster.get("status").get("reducers", {}).values())


@pytest.mark.parametrize("what", ["journal", "output"])
def test_a_full_disk_is_waited_for(cluster, small_disk, what):
    scan = on_small_disk(cluster, small_disk, what, "pause")
    error = cluster.wait_for(lambda: error_of_reducer(cluster), "the error to be told", PATIENCE)
    assert "space" in error and "small" in error
    progress = cluster.get("progress")
    assert not progress["finished"] and progress["state"] in ("running", "draining")
    small_disk.make_room()
    scan.assert_whole()
    assert error_of_reducer(cluster) == ""


@pytest.mark.parametrize("what", ["journal", "output"])
def test_a_full_disk_ends_the_scan_where_that_is_wanted(cluster, small_disk, what):
    scan = on_small_disk(cluster, small_disk, what, "fail")
    wait_until(lambda: cluster.get("progress")["finished"], "the scan to end", PATIENCE)
    progress = cluster.get("progress")
    assert sum(progress["fates"].values()) == progress["total_events"] == scan.frames + 2
    assert progress["state"] in ("stopped", "failed")
    assert "space" in progress["trouble"] and "small" in progress["trouble"]
    if progress["output"]:
        found = results(progress["output"])["sum"]
        there = ~np.isnan(found)
        np.testing.assert_array_equal(found[there], scan.expected()[:len(found)][there])
