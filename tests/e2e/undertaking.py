"""A scan of simulated instruments in processes of their own, things that happen to it, and what must come
of it."""

import re
import signal

import numpy as np

from cluster import wait_until
from files import results

STREAMS = ("a", "b", "c")
SHAPE = (8, 8)
PATTERNS = 4  # of noise, which images take by turns
TIMEOUTS = {"heartbeat": "100ms", "timeout": "1s", "return_timeout": "30s"}
PATIENCE = 60
NO_NUMBER = np.iinfo(np.uint64).max  # where a result of whole numbers has no row


def random_numbers(seed, count):
    """Sebastiano Vigna's splitmix64, as the simulated instruments use it."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def images(seed, frames, shape=SHAPE):
    """What `dtranspose simulate` sends of uint16 images: noise below 16, and the frame's number in the first
    eight bytes."""
    pixels = int(np.prod(shape))
    noise = np.empty((PATTERNS, pixels), np.uint16)
    for i in range(PATTERNS):
        words = random_numbers(seed * PATTERNS + i, -(-pixels // 16))
        digits = words[:, None] >> (np.uint64(4) * np.arange(16, dtype=np.uint64))
        noise[i] = (digits & np.uint64(15)).ravel()[:pixels]
    sent = noise[np.arange(frames) % PATTERNS]
    sent[:, :4] = np.arange(frames, dtype=np.uint64)[:, None].view(np.uint16)
    return sent.reshape(frames, *shape)


class Undertaking:
    """The scan. Every event has a frame of each stream; `seen` is the stream that the analysis looks at."""

    def __init__(self, cluster, analysis="roi", frames=None, rate="1kHz", seen="b", plugin=None,
                 parameters=None, sections=None, worker_processes=2, cluster_keys=None, shape=SHAPE,
                 output="{scan}.h5", **others):
        # `sum` holds events back for up to a second: until then it shows no progress.
        frames = frames or (4000 if analysis == "sum" else 3000)
        self.cluster = cluster
        self.analysis = analysis
        self.frames = frames
        self.seen = seen
        self.scan = None
        if plugin is None:
            parameters = {"stream": seen}
        self.worker_processes = worker_processes
        cluster.configure(
            streams=STREAMS, analysis=plugin or analysis, parameters=parameters, output=output,
            cluster={**TIMEOUTS, **(cluster_keys or {})},
            sections={"reducer": {"journal": str(cluster.folder / "journal")}, **(sections or {})},
            simulate=[{"stream": name, "frames": frames, "shape": shape, "seed": seed, "rate": rate}
                      for seed, name in enumerate(STREAMS)], **others)

    def begin(self):
        """Everybody is there and the scan is under way."""
        self.parts = self.cluster.start_parts(worker_processes=self.worker_processes)
        self.start_instruments()
        return self

    def start_instruments(self):
        self.instruments = self.cluster.simulate(patience=PATIENCE)
        progress = self.cluster.wait_for_progress(lambda p: p["total_events"] > 0 and p["scan"] != self.scan,
                                                  "the scan to begin", PATIENCE)
        self.scan = progress["scan"]

    def reach(self, part):
        """Waits until so much of it is done; the events that are. Not all may be."""
        events = int(part * self.frames)
        progress = self.cluster.wait_for_progress(lambda p: p["completed_events"] >= events,
                                                  f"{events} events to complete", PATIENCE)
        assert progress["completed_events"] < progress["total_events"], "nothing is left to be disturbed"
        return progress["completed_events"]

    # --- what happens to it ----------------------------------------------------------------------

    def kill(self, role, again=True):
        """One process of the role; another one takes its place."""
        victim = self.cluster.of_role(role)[0]
        self.cluster.kill(victim)
        return self.cluster.start(role) if again else None

    def freeze(self, role):
        """A process stands still until somebody has missed it."""
        victim = self.cluster.of_role(role)[0]
        victim.send(signal.SIGSTOP)
        missed = re.compile(rf"lost \S*-{victim.pid}\b")
        self.cluster.wait_for(
            lambda: any(missed.search(p.log) for p in self.cluster.of_all_roles() if p is not victim),
            f"the {role} to be missed")
        victim.send(signal.SIGCONT)
        return victim

    # --- what comes of it ------------------------------------------------------------------------

    def wait_for_end(self):
        return self.cluster.wait_for_end(self.scan, PATIENCE)

    def wait_for_tidiness(self):
        """Nobody keeps a journal of a scan that is over."""
        folder = self.cluster.folder / "journal"
        wait_until(lambda: not folder.exists() or not any(folder.iterdir()), "the journals to be removed")

    def images(self):
        return images(STREAMS.index(self.seen), self.frames)

    def expected(self):
        """Rows of the result, those of start and end included."""
        sums = self.images().sum((1, 2), dtype=np.float64)
        return np.array([np.nan, *sums, np.nan])

    def assert_whole(self):
        """It ends as if nothing had happened."""
        progress = self.wait_for_end()
        self.wait_for_tidiness()
        assert progress["state"] == "finished", progress
        assert progress["fates"]["folded"] == self.frames, self.cluster.get("ledger")
        assert progress["fates"]["empty"] == 2
        ledger = self.cluster.get("ledger")
        assert ledger["troubles"] == []
        found = results(progress["output"])
        if self.analysis == "sum":
            assert found["frames"] == self.frames
            np.testing.assert_array_equal(found["image"], self.images().sum(0))
        elif self.analysis == "roi":
            np.testing.assert_array_equal(found["sum"], self.expected())
        else:
            np.testing.assert_array_equal(found["numbers"], numbers(self.frames))
            assert found["folds"] == self.frames
        return progress

    def assert_whole_but_named(self):
        """Like that, but for events that the ledger names with the stream and the numbers that are gone.
        Returns those."""
        progress = self.wait_for_end()
        self.wait_for_tidiness()
        assert progress["state"] == "finished", progress
        ledger = self.cluster.get("ledger")
        named = set()
        for trouble in ledger["troubles"]:
            assert trouble["fate"] in ("lost", "incomplete")
            assert re.search(rf"stream '?[{''.join(STREAMS)}]\b.*\d", trouble["cause"]), trouble
            named.update(range(trouble["first"], trouble["last"] + 1))
        fates = progress["fates"]
        assert len(named) == fates["lost"] + fates["incomplete"] and fates["failed"] == 0
        assert fates["folded"] + fates["empty"] + len(named) == progress["total_events"]
        found = results(progress["output"])
        if self.analysis == "roi":
            expected = self.expected()
            expected[sorted(named)] = np.nan
            np.testing.assert_array_equal(found["sum"], expected)
        else:
            expected = numbers(self.frames)
            expected[sorted(named)] = NO_NUMBER
            np.testing.assert_array_equal(found["numbers"], expected)
            assert found["folds"] == fates["folded"]
        return named


def numbers(frames):
    """Rows of the crashing plug-in: frames counted from 1, of each stream as many times as its place says."""
    weight = sum(range(1, len(STREAMS) + 1))
    return np.array([NO_NUMBER, *(weight * (n + 1) for n in range(frames)), NO_NUMBER], np.uint64)


def wait_for_log(process, text, patience=PATIENCE):
    return wait_until(lambda: text in process.log, f"{process.name} to say '{text}'", patience)
