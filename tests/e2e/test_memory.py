"""Long scans: memory that does not grow with their length, nor the cost of an event."""

import time

import psutil
import pytest

EVENTS = 1_000_000
MOST_GROWTH = 16 * 2**20
LEAST_RATIO = 0.9
ATTEMPTS = 2  # machines are noisy; what is slow twice is slow


class Samples:
    """Time and resident memory of a process over the events that were complete."""

    def __init__(self):
        self.events, self.seconds, self.rss = [], [], []

    def take(self, events, process):
        self.events.append(events)
        self.seconds.append(time.monotonic())
        self.rss.append(process.memory_info().rss)

    def _at(self, events, values):
        """Between the two samples around it."""
        after = next(i for i, e in enumerate(self.events) if e >= events)
        if after == 0 or self.events[after] == events:
            return values[after]
        x, y = self.events[after - 1], self.events[after]
        return values[after - 1] + (values[after] - values[after - 1]) * (events - x) / (y - x)

    def rss_at(self, events):
        return self._at(events, self.rss)

    def rate_between(self, first, last):
        return (last - first) / (self._at(last, self.seconds) - self._at(first, self.seconds))


def run_scan(cluster):
    everything = cluster.start_all()
    process = psutil.Process(everything.pid)
    simulation = cluster.simulate(patience=120)
    samples = Samples()
    samples.take(0, process)

    def finished():
        progress = cluster.get("progress")
        samples.take(progress["completed_events"], process)
        return progress["finished"] and progress

    progress = cluster.wait_for(finished, "a million events", 900)
    assert progress["total_events"] == EVENTS + 2
    assert progress["fates"]["lost"] == progress["fates"]["incomplete"] == progress["fates"]["failed"] == 0
    assert simulation.wait() == 0
    everything.end()
    return samples


@pytest.mark.long
def test_a_million_events(cluster):
    cluster.configure(analysis="none", workers=2, simulate=[
        {"stream": "det", "frames": EVENTS, "shape": [1024], "dtype": "uint16"}])
    tenth = EVENTS // 10
    for attempt in range(ATTEMPTS):
        samples = run_scan(cluster)
        second = samples.rate_between(tenth, 2 * tenth)
        last = samples.rate_between(9 * tenth, EVENTS)
        early, late = samples.rss_at(2 * tenth), samples.rss_at(EVENTS)
        print(f"second tenth {second:.0f} events/s, last tenth {last:.0f} events/s ({last / second:.2f}); "
              f"memory {early / 2**20:.1f} MiB, then {late / 2**20:.1f} MiB, at most "
              f"{max(samples.rss) / 2**20:.1f} MiB")
        assert late - early <= MOST_GROWTH
        if last >= LEAST_RATIO * second:
            return
        cluster.processes.clear()
    pytest.fail(f"the last tenth is slower than the second: {last:.0f} and {second:.0f} events/s")
