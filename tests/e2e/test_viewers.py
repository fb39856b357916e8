"""Who looks on costs a scan nothing: not those who poll, nor those who read slowly, stop reading or never leave."""

import socket
import threading

import numpy as np
import pytest

from cluster import PATIENCE
from instruments import json_part
from test_results import Viewer
from witness import one_each

SHAPE = (512, 512)
EVENTS = 600
PATHS = ["/api/v1/tree", "/api/v1/view?path=/image&width=256&height=256", "/api/v1/snapshots", "/api/v1/status"]


class Scan:
    """A scan of images that are sent one by one."""

    def __init__(self, cluster, instrument):
        cluster.configure(analysis="sum", workers=2)
        cluster.start_all()
        self.cluster = cluster
        self.det = instrument("det")
        self.pixels = np.arange(np.prod(SHAPE), dtype=np.uint16).tobytes()
        self.id = cluster.begin({"det": one_each(EVENTS)})
        self.det.header()
        self.sent = 0

    def send(self, count):
        for number in range(self.sent, self.sent + count):
            self.det.send([json_part(htype="image", frame=number, shape=list(SHAPE), type="uint16", compression="none",
                                     msg_number=self.det.message_number), self.pixels])
        self.sent += count

    def viewer(self):
        return Viewer(self.cluster.results_url)

    def wait_for_image(self):
        viewer = self.viewer()
        self.cluster.wait_for(lambda: viewer.items().get("/image"), "an image")

    def end(self):
        """The scan takes all the rest at once and is whole: nobody holds it up."""
        self.send(EVENTS - self.sent)
        self.det.end()
        progress = self.cluster.wait_for_end(self.id)
        assert progress["fates"]["folded"] == EVENTS and progress["state"] == "finished"
        stream = self.cluster.stream_status()
        assert stream["verdicts"]["ok"] == EVENTS + 2 and "held back" not in stream["state"]


@pytest.fixture
def scan(cluster, instrument):
    scan = Scan(cluster, instrument)
    scan.send(50)
    scan.wait_for_image()
    return scan


def test_fifty_who_poll(scan):
    """On both ports, from one address, all the time."""
    wrong, answers = [], []
    over = threading.Event()

    def poll(place):
        viewer = scan.viewer()
        seen = 0
        try:
            while not over.is_set():
                answer = viewer.ask(PATHS[(place + seen) % len(PATHS)])
                assert answer.status_code == 200, answer.text
                progress = viewer.session.get(scan.cluster.controller_url + "/api/v1/progress", timeout=PATIENCE)
                assert progress.status_code == 200, progress.text
                seen += 1
                over.wait(0.1)
        except Exception as e:
            wrong.append(e)
        answers.append(seen)

    threads = [threading.Thread(target=poll, args=(i,)) for i in range(50)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        scan.send(20)
        scan.cluster.wait_for_events(scan.sent)
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not wrong, wrong[:3]
    assert len(answers) == 50 and all(answers), "everybody was answered"
    scan.end()


def connect(port, request, receive_buffer=None):
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", port))
    client.sendall(request.encode())
    return client


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"


def values_of(scan, path):
    """The path of a data set's values, as an HDF client finds it."""
    viewer = scan.viewer()
    root = viewer.get("/")["root"]
    link = viewer.get(f"/groups/{root}/links/{path}")["link"]
    return f"/datasets/{link['id']}/value"


def test_who_stops_reading_costs_its_own_connection_only(scan):
    """They ask for megabytes and for streams, and take nothing of the answer."""
    values = values_of(scan, "image")
    port, control = scan.cluster.results_port, scan.cluster.http_port
    mute = [connect(port, get(values) * 20, 4096) for _ in range(20)]
    mute += [connect(port, get("/api/v1/events?rate=50"), 4096) for _ in range(5)]
    mute += [connect(control, get("/api/v1/events?rate=50"), 4096) for _ in range(5)]
    mute += [connect(control, get("/api/v1/log_stream"), 4096) for _ in range(5)]
    mute += [connect(control, get("/api/v1/status") * 200, 4096) for _ in range(10)]
    silent = [connect(port, "GET /") for _ in range(10)] + [connect(control, "POST /api/v1/seq") for _ in range(10)]
    for _ in range(5):
        scan.send(20)
        scan.cluster.wait_for_events(scan.sent)
        assert scan.viewer().get("/api/v1/tree")["scan"] == scan.id
    scan.end()
    for client in mute + silent:
        client.close()


def test_who_reads_slowly_gets_one_whole_snapshot(scan):
    """What it reads does not change under its hands, however far the scan is meanwhile."""
    values = values_of(scan, "frames")
    whole = connect(scan.cluster.results_port, get(values_of(scan, "image")).replace("\r\n\r\n", "\r\nAccept: application/octet-stream\r\n\r\n"), 4096)
    head = whole.recv(4096)
    scan.end()
    received = head.split(b"\r\n\r\n", 1)[1]
    length = int([line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")][0].split()[1])
    while len(received) < length:
        part = whole.recv(65536)
        assert part, "the answer was cut off"
        received += part
    image = np.frombuffer(received, scan.viewer().items()["/image"]["dtype"])
    one = np.arange(np.prod(SHAPE), dtype=np.uint16)
    np.testing.assert_array_equal(image, (image[1] * one.astype(image.dtype)))  # so many equal ones, and no part of another
    assert 1 <= image[1] <= EVENTS
    assert scan.viewer().get(values)["value"] == EVENTS
    whole.close()


def test_streams_of_progress_and_of_the_log(scan):
    with scan.viewer().session.get(scan.cluster.controller_url + "/api/v1/events?rate=50", stream=True, timeout=PATIENCE) as events, \
            scan.viewer().session.get(scan.cluster.controller_url + "/api/v1/log_stream", stream=True, timeout=PATIENCE) as log:
        lines = events.iter_lines()
        assert events.headers["Content-Type"] == "text/event-stream"
        assert next(lines) == b"event: progress"
        assert b'"state":"running"' in next(lines)
        scan.end()
        assert any(b'"state":"finished"' in line for line in lines)
        records = log.iter_lines(chunk_size=1)
        started = scan.cluster.begin({"det": one_each(1)})
        assert any(started.encode() in line for line in records)
    scan.cluster.stop()
    scan.cluster.wait_for_end(started)
