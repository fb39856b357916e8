"""Processes that die, stand still, come back or come late in mid-scan: nothing is lost that is there."""

import os
import random
import re
import shutil
import signal

import numpy as np
import psutil
import pytest

from cluster import wait_until
from files import events_of_dump, results
from undertaking import NO_NUMBER, PATIENCE, STREAMS, Undertaking, numbers, wait_for_log
from witness import events_of

pytestmark = pytest.mark.usefixtures("frames_go")


def test_nothing_happens(cluster, frames_go):
    scan = Undertaking(cluster, frames=500).begin()
    scan.assert_whole()
    beside = [s.get("bytes_beside_messages", 0) for s in cluster.get("status")["streams"].values()]
    assert all(b > 0 for b in beside) == any(b > 0 for b in beside) == (frames_go == "beside"), beside


# --- killed --------------------------------------------------------------------------------------

@pytest.mark.parametrize("role, analysis", [
    ("controller", "roi"), ("controller", "sum"), ("worker", "roi"), ("worker", "sum"), ("reducer", "roi"),
    ("reducer", "sum")])
def test_another_takes_the_place_of(cluster, role, analysis):
    scan = Undertaking(cluster, analysis=analysis).begin()
    scan.reach(0.1)
    scan.kill(role)
    scan.assert_whole()


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not recorded"])
def test_another_takes_the_place_of_an_ingester(cluster, recorded):
    """What it had and nobody else costs those events alone, and they are named; nothing is lost that was
    recorded."""
    sections = {"recording": {"directory": str(cluster.folder / "recordings")}} if recorded else {}
    scan = Undertaking(cluster, sections=sections).begin()
    done = scan.reach(0.1)
    scan.kill("ingester")
    named = scan.assert_whole_but_named()
    assert len(named) <= scan.frames + 2 - done
    if recorded:
        assert named <= not_recorded(scan)


def not_recorded(scan):
    """Events of which the recordings lack a stream: as each says itself."""
    missing = set()
    for stream in STREAMS:
        path = scan.cluster.folder / "recordings" / f"{stream}-ingester-{scan.scan}.cbors"
        items = events_of_dump(path)
        events = [number for number, streams in items if streams]
        assert len(events) == len(set(events)), "recorded twice"
        lacking = set(range(scan.frames + 2)) - set(events)
        assert lacking <= {number for number, streams in items if not streams}, "not named in the recording"
        missing |= lacking
    return missing


def test_a_worker_process_that_nobody_replaces(cluster):
    scan = Undertaking(cluster, worker_processes=3).begin()
    scan.reach(0.3)
    scan.kill("worker", again=False)
    scan.assert_whole()


def test_all_worker_processes(cluster):
    scan = Undertaking(cluster).begin()
    scan.reach(0.3)
    scan.kill("worker", again=False)
    scan.kill("worker", again=False)
    cluster.wait_for(lambda: not cluster.get("config")["workers"], "both to be missed")
    cluster.start("worker")
    scan.assert_whole()


def test_a_reducer_twice(cluster):
    scan = Undertaking(cluster, frames=5000).begin()
    for part in (0.05, 0.3):
        scan.reach(part)
        scan.kill("reducer")
    scan.assert_whole()


def test_controller_and_reducer_together(cluster):
    scan = Undertaking(cluster).begin()
    scan.reach(0.3)
    scan.kill("controller", again=False)
    scan.kill("reducer", again=False)
    cluster.start("reducer")
    cluster.start("controller")
    scan.assert_whole()


def test_a_worker_process_while_draining(cluster, crashing_object):
    scan = Undertaking(cluster, "crashing", frames=300, plugin=crashing_object,
                       parameters={"linger_ms": 1500}).begin()
    cluster.wait_for_progress(lambda p: p["state"] == "draining", "the scan to drain")
    scan.kill("worker", again=False)
    scan.assert_whole()
    complaints = cluster.get("ledger")["complaints"]
    assert any("what it would have given at the end is lost" in c for c in complaints)


# --- frozen --------------------------------------------------------------------------------------

@pytest.mark.parametrize("role, analysis", [
    ("controller", "roi"), ("ingester", "roi"), ("worker", "roi"), ("worker", "sum"), ("reducer", "roi")])
def test_a_process_that_stands_still(cluster, role, analysis):
    scan = Undertaking(cluster, analysis=analysis).begin()
    scan.reach(0.1)
    scan.freeze(role)
    scan.assert_whole()


def test_standing_still_for_a_moment_is_no_death(cluster):
    scan = Undertaking(cluster, frames=8000, cluster_keys={"timeout": "20s"}).begin()
    for part, role in enumerate(("worker", "ingester", "reducer", "controller")):
        scan.reach(0.05 + 0.1 * part)
        victim = cluster.of_role(role)[0]
        victim.send(signal.SIGSTOP)
        wait_until(lambda: stands_still(victim), f"the {role} to stand still")
        if role != "controller":
            wait_for_standstill(cluster)
        victim.send(signal.SIGCONT)
    scan.assert_whole()
    for process in cluster.of_all_roles():
        assert not re.search("given up|lost|is gone|is back", process.log), process.log


def stands_still(process):
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def wait_for_standstill(cluster):
    """Nothing more is done: the others wait for somebody."""
    seen = []

    def look():
        seen.append(cluster.get("progress")["completed_events"])
        return len(seen) >= 5 and len(set(seen[-5:])) == 1

    cluster.wait_for(look, "the others to wait", PATIENCE)


# --- late ----------------------------------------------------------------------------------------

def test_a_worker_process_that_comes_in_mid_scan(cluster, witness):
    """It is shown what everybody was shown before, and gets its share."""
    settings = witness.settings()
    scan = Undertaking(cluster, "witness", plugin=settings["analysis"], parameters=settings["parameters"],
                       frames=4000, worker_processes=1).begin()
    scan.reach(0.1)
    late = cluster.start("worker", name="late")
    progress = scan.wait_for_end()
    assert (progress["fates"]["folded"], cluster.get("ledger")["troubles"]) == (scan.frames + 2, [])
    journals = witness.of_process(late.pid)
    assert len(journals) == 2
    for journal in journals.values():
        assert set(journal[0]) == set(STREAMS), "it has not seen the start of every stream"
        assert len(journal) > 10
    assert set(events_of(witness.journals())) == set(range(scan.frames + 2))


# --- events that end their process ---------------------------------------------------------------

class Guard:
    """Starts another worker process whenever one has died."""

    def __init__(self, cluster, fewest):
        self.cluster = cluster
        self.fewest = fewest
        self.statuses = []

    def look(self):
        for process in self.cluster.of_role("worker"):
            if not process.running():
                self.statuses.append(process.child.returncode)
                self.cluster.bury(process)
        while len(self.cluster.of_role("worker")) < self.fewest:
            wait_for_log(self.cluster.start("worker"), "joined")

    def wait_for_deaths(self, number):
        def all_seen():
            self.look()
            return len(self.statuses) >= number

        wait_until(all_seen, f"{number} processes to die", PATIENCE)

    def wait_for_end(self):
        def ended():
            self.look()
            return self.cluster.get("progress")["finished"]

        wait_until(ended, "the scan to end", PATIENCE)


BAD_EVENT = 500
ATTEMPTS = 3
WAYS = {  # how it ends, what the processes end by, how many, what the ledger says
    "null": (-signal.SIGSEGV, {ATTEMPTS}, "Segmentation fault"),
    "abort": (-signal.SIGABRT, {ATTEMPTS}, "Aborted"),
    "kill": (-signal.SIGKILL, {ATTEMPTS, ATTEMPTS + 1}, "ended .* processes"),
    "hang": (-signal.SIGABRT, {ATTEMPTS}, "event_timeout"),
    "throw": (None, {0}, "no beam in this event"),
}


@pytest.mark.parametrize("how", WAYS)
def test_an_event_that_ends_its_process(cluster, crashing_object, how):
    status, deaths, text = WAYS[how]
    scan = Undertaking(cluster, "crashing", frames=1000, plugin=crashing_object,
                       parameters={"event": BAD_EVENT, "how": how},
                       scan={"event_timeout": "500ms", "max_attempts": ATTEMPTS}).begin()
    guard = Guard(cluster, fewest=2)
    guard.wait_for_deaths(min(deaths))
    guard.wait_for_end()
    progress = scan.wait_for_end()
    assert progress["state"] == "finished"
    fates = {fate: events for fate, events in progress["fates"].items() if events}
    assert fates == {"folded": scan.frames - 1, "empty": 2, "failed": 1}
    troubles = cluster.get("ledger")["troubles"]
    assert [(t["first"], t["last"], t["fate"]) for t in troubles] == [(BAD_EVENT, BAD_EVENT, "failed")]
    assert re.search(text, troubles[0]["cause"]), troubles
    assert len(guard.statuses) in deaths and set(guard.statuses) <= {status}, guard.statuses
    found = results(progress["output"])
    expected = numbers(scan.frames)
    expected[BAD_EVENT] = NO_NUMBER
    np.testing.assert_array_equal(found["numbers"], expected)
    assert found["folds"] == scan.frames - 1


# --- chaos ---------------------------------------------------------------------------------------

EVENTS = 20_000
ROLES = ("controller", "ingester", "worker", "worker", "reducer")


class Chaos:
    """What was killed when, and by which seed."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.random = random.Random(seed)
        self.path = cluster.folder / "chaos.log"
        self.write(f"seed {seed}")

    def write(self, text):
        with open(self.path, "a") as log:
            log.write(text + "\n")
        print(text)

    def strike(self, scan, number):
        """A process of any role dies in mid-scan; another one takes its place."""
        role = self.random.choice(ROLES)
        done = scan.reach(self.random.uniform(0.02, 0.5))
        victim = self.random.choice(self.cluster.of_role(role))
        self.cluster.kill(victim)
        self.cluster.start(role)
        self.write(f"scan {number} {scan.scan}: {victim.name} ({victim.pid}) killed with {done} events done")
        return role


@pytest.mark.parametrize("scans, recorded", [
    (3, False), pytest.param(25, False, marks=pytest.mark.long),
    pytest.param(25, True, marks=pytest.mark.long)])
def test_chaos(cluster, crashing_object, scans, recorded):
    seed = int(os.environ.get("DTRANSPOSE_SEED", random.randrange(2**32)))
    chaos = Chaos(cluster, seed)
    sections = {"recording": {"directory": str(cluster.folder / "recordings")}} if recorded else {}
    scan = Undertaking(cluster, "crashing", frames=EVENTS - 2, rate="10kHz", plugin=crashing_object,
                       sections=sections)
    scan.begin()
    for number in range(scans):
        if number > 0:
            scan.start_instruments()
        role = chaos.strike(scan, number)
        if role == "ingester":
            chaos.write(f"  {len(scan.assert_whole_but_named())} events are named as lost")
        else:
            scan.assert_whole()
        assert scan.instruments.wait() == 0
        cluster.bury(scan.instruments)
        shutil.rmtree(cluster.folder / "recordings", ignore_errors=True)
        cluster.wait_for_members(processes=2)
