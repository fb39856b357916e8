"""The same streams through processes of their own, started in any order, give the same file."""

import json

import numpy as np
import pytest
import zmq

from files import assert_same_content, results

ORDERS = [
    ["controller", "ingester", "worker", "worker", "reducer"],
    ["reducer", "worker", "worker", "ingester", "controller"],
    ["worker", "ingester", "controller", "reducer", "worker"],
    ["simulate", "ingester", "worker", "reducer", "worker", "controller"],
]


def start_in_order(cluster, order, streams_of_ingesters=((),)):
    """Every process of the order; the simulation last where the order does not name it. Returns its
    summary."""
    ingesters = iter(streams_of_ingesters)
    simulation = None
    for role in order:
        if role == "simulate":
            simulation = cluster.simulate("--min-workers", 4)
        elif role == "ingester":
            cluster.start(role, *(o for s in next(ingesters) for o in ("--stream", s)))
        else:
            cluster.start(role)
    simulation = simulation or cluster.simulate("--min-workers", 4)
    cluster.wait_for(lambda: not simulation.running(), "the simulation", 40)
    assert simulation.wait() == 0
    cluster.wait_for_members(processes=order.count("worker"))
    return simulation.summary


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_a_recording_in_any_starting_order(cluster, recording, order):
    file = recording("dump_xrd.cbors")
    cluster.configure(streams=["xrd"], analysis="roi", parameters={"rows": "0:2", "columns": "8:10"},
                      workers=2, output="live.h5", simulate=[{"stream": "xrd", "recording": str(file)}])
    replay = cluster.run("replay", "replay", file, "--analysis", "roi", "--param", "rows=0:2", "--param",
                         "columns=8:10", "--output", cluster.folder / "replay.h5")
    assert replay.wait() == 0

    summary = start_in_order(cluster, order)
    assert summary["state"] == "finished" and summary["events"] == 11
    assert summary["fates"]["folded"] == 9 and summary["fates"]["empty"] == 2
    assert summary["output"] == str(cluster.folder / "live.h5")
    assert_same_content(cluster.folder / "live.h5", cluster.folder / "replay.h5")


GENERATED = [
    {"stream": "fast", "frames": 200, "shape": [8, 16], "dtype": "uint16", "seed": 7},
    {"stream": "slow", "frames": 50, "every": 4, "shape": [5], "dtype": "uint32", "seed": 3},
]


def generated_images(cluster, stream):
    """What the simulated instrument sends, read off its socket."""
    simulation = cluster.run(f"probe-{stream}", "simulate", "--config", cluster.config, "--no-map",
                             "--stream", stream)
    images = {}
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.connect(cluster.url(stream))
        while (header := json.loads((parts := socket.recv_multipart())[0]))["htype"] != "series_end":
            if header["htype"] == "image":
                images[header["frame"]] = np.frombuffer(parts[1], header["type"]).reshape(header["shape"])
    assert simulation.wait() == 0
    return images


@pytest.mark.parametrize("order", [
    ["controller", "ingester", "ingester", "worker", "worker", "reducer"],
    ["ingester", "worker", "reducer", "worker", "ingester", "controller"],
], ids="-".join)
def test_an_ingester_process_for_each_stream(cluster, order):
    cluster.configure(streams=["fast", "slow"], analysis="roi", parameters={"stream": "slow"}, workers=2,
                      output="{scan}.h5", simulate=GENERATED)
    images = generated_images(cluster, "slow")
    assert sorted(images) == list(range(50))

    summary = start_in_order(cluster, order, [["fast"], ["slow"]])
    assert summary["events"] == 202
    assert summary["fates"]["folded"] == 50 and summary["fates"]["empty"] == 152

    expected = np.full(202, np.nan)
    for frame, pixels in images.items():
        expected[1 + 4 * frame] = pixels.mean()
    np.testing.assert_allclose(results(summary["output"])["mean"], expected, rtol=1e-15)


def test_one_process_and_many_write_the_same(cluster):
    cluster.configure(streams=["fast", "slow"], analysis="sum", parameters={"stream": "fast"}, workers=2,
                      output="{scan}.h5", simulate=GENERATED)
    everything = cluster.start_all()
    first = cluster.simulate()
    assert first.wait() == 0
    everything.end()
    cluster.processes.clear()

    summary = start_in_order(cluster, ORDERS[0])
    assert_same_content(first.summary["output"], summary["output"])
    assert results(summary["output"])["frames"] == 200
