"""Every instrument over its real transport: what `simulate` sends reaches the workers, to the last byte."""

import gzip
import io
import json
import os
import pickle

import cbor2
import numpy as np
import pytest
import zmq

from files import results
from instruments import seen

# protocol, options of the reader, keys of the sender, entries beside start and end
GENERATED = [
    ("stins", {}, {"options": {"compression": "bslz4"}}, 12),
    ("stins", {}, {"options": {"blobs": "each", "metadata": True}, "shape": [3, 8, 8]}, 12),
    ("eiger_v1", {}, {"options": {"header_detail": "none"}, "dtype": "uint32"}, 12),
    ("eiger_v1", {}, {"options": {"header_detail": "all", "appendix": True}, "dtype": "uint16"}, 12),
    ("dectris_v2", {}, {"options": {"channels": 2, "header_detail": "all"}}, 12),
    ("xspress3", {}, {"options": {"form": "old"}, "shape": [4, 64], "dtype": "uint32"}, 12),
    ("xspress3", {}, {"options": {"segments": 3}, "shape": [4, 64], "dtype": "uint32"}, 12),
    ("pcap", {}, {}, 12),
    ("panda_tcp", {}, {"options": {"arms": 2}}, 26),
    ("panda_tcp", {"format": "framed", "process": "raw", "xml": True}, {}, 12),
    ("albaem", {}, {}, 12),
    ("contrast", {}, {}, 12),
    ("lecroy", {}, {"options": {"mode": "sequential", "triggers": 2, "samples": 50}}, 12),
    ("sardana", {}, {}, 12),
    ("bluesky", {}, {}, 12),
    ("bluesky", {}, {"options": {"serializer": "json", "page": 5}}, 12),
    ("raw", {"number": "/frame", "start": "/htype=header", "end": "/htype=end"}, {}, 12),
]

TAGS = {"stins": "STINS", "eiger_v1": "EIGER_LEGACY", "dectris_v2": "DECTRIS_V2", "xspress3": "xspress", "pcap": "PCAP",
        "panda_tcp": "PCAP_RAW", "albaem": "albaem", "contrast": "contrast", "lecroy": "lecroy_9fwdWp6Rq7",
        "sardana": "sardana", "bluesky": "bluesky", "raw": "raw"}


def stream_keys(cluster, protocol, options):
    keys = {"protocol": protocol}
    if protocol == "sardana":
        keys["url"] = f"http://127.0.0.1:{cluster.stream_ports['det']}"
    return keys | ({"options": options} if options else {})


def configure(cluster, witness, protocol, options, simulate):
    cluster.configure()  # takes a port
    cluster.configure(**witness.settings(), stream=stream_keys(cluster, protocol, options),
                      simulate=[{"stream": "det", **simulate}])


def simulated(cluster):
    """The simulation of the configuration, in one process with everything, once it has ended."""
    cluster.start_all()
    simulation = cluster.simulate()
    cluster.wait_for(lambda: not simulation.running(), "the simulation", 40)
    return simulation


@pytest.mark.parametrize("protocol,options,sender,entries", GENERATED,
                         ids=[f"{p}-{i}" for i, (p, *_) in enumerate(GENERATED)])
def test_a_generated_scan_arrives_whole(cluster, witness, protocol, options, sender, entries):
    configure(cluster, witness, protocol, options, {"frames": 12, "shape": [16, 16], "seed": 5, **sender})
    simulation = simulated(cluster)
    assert simulation.wait() == 0, simulation.log
    summary = simulation.summary
    assert summary["state"] == "finished" and summary["events"] == entries + 2
    assert summary["fates"]["folded"] == entries + 2
    status = cluster.stream_status()
    assert status["protocol"] == protocol
    assert not any(status["faults"].values()) and not status["verdicts"]["gap"], status
    for events in witness.journals().values():
        assert all(s["det"]["type"] == TAGS[protocol] for s in events.values())


def messages_of(file):
    """A raw capture: the parts of each message."""
    content = file.read_bytes()
    if file.suffix == ".gz":
        content = gzip.decompress(content)
    stream = io.BytesIO(content)
    messages = []
    while stream.tell() < len(content):
        messages.append([bytes(part) for part in cbor2.load(stream)])
    return messages


def groups(protocol, messages):
    """Which messages make an entry, by the rules of each format, told independently."""
    def json_of(parts):
        return json.loads(parts[0])

    if protocol == "contrast":
        return [m for m in messages if b"heartbeat" not in m[0]]
    if protocol == "xspress3" and len(messages[1]) == 1:
        images = [sum(messages[i:i + 3], []) for i in range(1, len(messages) - 1, 3)]
        return [messages[0], *images, messages[-1]]
    if protocol == "lecroy":
        prepare, start, *rest, stop = messages
        entries, group = [prepare], []
        for parts in rest:
            group += parts
            if json_of(parts).get("what") == 2:
                entries.append(start + group)
                group = []
        return [*entries, stop]
    return messages


RECORDED = [
    ("contrast-dump.cbors", "contrast", 22),
    ("xspress3-dump.cbors", "xspress3", 22),
    ("xspress3-multipart.cbors", "xspress3", 7),
    ("maui-02-continuous-3.cbor.gz", "lecroy", 4),
]


@pytest.mark.parametrize("name,protocol,events", RECORDED, ids=[r[0] for r in RECORDED])
def test_a_recording_reaches_the_workers_as_it_is(cluster, witness, recording, name, protocol, events):
    file = recording(name)
    configure(cluster, witness, protocol, {}, {"recording": str(file)})
    simulation = simulated(cluster)
    assert simulation.wait() == 0, simulation.log
    assert simulation.summary["events"] == simulation.summary["fates"]["folded"] == events
    expected = groups(protocol, messages_of(file))
    assert len(expected) == events
    for journal in witness.journals().values():
        for event, streams in journal.items():
            assert streams["det"]["sizes"] == [len(p) for p in expected[event]], event
            assert streams["det"]["hash"] == seen(expected[event])["hash"], event


def test_rows_of_a_pandabox_are_events_of_their_own(cluster, witness, recording):
    configure(cluster, witness, "pcap", {}, {"recording": str(recording("pcap-zmq.cbors"))})
    simulation = simulated(cluster)
    assert simulation.wait() == 0, simulation.log
    assert simulation.summary["events"] == simulation.summary["fates"]["folded"] == 1502


def test_images_that_were_cut_are_corrupt_blobs_and_the_scan_ends(cluster, witness, recording):
    configure(cluster, witness, "eiger_v1", {}, {"recording": str(recording("eiger-small.cbors"))})
    simulation = simulated(cluster)
    assert simulation.summary["fates"]["incomplete"] == 3 and simulation.summary["fates"]["folded"] == 2
    ledger = cluster.get("ledger")
    assert [(t["first"], t["fate"]) for t in ledger["troubles"]] == [(e, "incomplete") for e in (1, 2, 3)]
    for number, trouble in enumerate(ledger["troubles"]):
        assert f"stream 'det': number {number}: corrupt blob" in trouble["cause"]
    assert ledger["streams"]["det"]["faults"]["corrupt"] == 3


def test_the_ledger_is_kept_beside_the_results(cluster, instrument):
    cluster.configure(analysis="sum", output="out.h5")
    cluster.start_all()
    det = instrument()
    scan = cluster.begin({"det": [[{"constraint": i}] for i in range(4)]})
    det.header()
    for number in (0, 1, 3):
        det.message_number = 1 + number
        det.image(number)
    det.end()
    cluster.wait_for_end(scan)
    kept = json.loads((cluster.folder / "out.ledger.json").read_text())
    assert kept == cluster.get("ledger")
    assert kept["fates"]["incomplete"] == 1 and kept["streams"]["det"]["verdicts"]["gap"] == 1


@pytest.fixture
def thermometer(cluster):
    """Publishes readings whenever it is told to."""
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.LINGER, 0)

    def publish(reading):
        socket.send(json.dumps({"kelvin": reading}).encode())

    def begin():
        socket.bind(cluster.url("temperature"))
        assert socket.poll(10_000), "nobody subscribed"
        socket.recv()
        return publish

    yield begin
    socket.close()
    context.term()


@pytest.mark.parametrize("distributed", [False, True])
def test_events_get_the_value_as_of_the_frame_of_the_leader(cluster, instrument, thermometer, witness, distributed):
    cluster.configure(streams=["det", "temperature"], **witness.settings(),
                      of_stream={"temperature": {"protocol": "raw", "socket": "sub", "trigger": "software",
                                                 "leader": "det"}})
    if distributed:
        # Leader and follower in processes of their own.
        cluster.start("controller")
        for name in ("det", "temperature"):
            cluster.start("ingester", "--stream", name)
        cluster.start("worker")
        cluster.start("reducer")
        cluster.wait_for_members()
    else:
        cluster.start_all()
    publish = thermometer()
    publish(290)

    def arrived(count):
        return lambda: cluster.stream_status("temperature")["packets"] == count

    cluster.wait_for(arrived(1), "the first reading")
    det = instrument()
    slots = [[{"constraint": i}] for i in range(4)]
    scan = cluster.begin({"det": slots, "temperature": slots})
    det.header()
    det.image(0)
    cluster.wait_for_events(2)
    publish(291)
    cluster.wait_for(arrived(2), "the second reading")
    for number in (1, 2):
        det.image(number)
    cluster.wait_for_events(4)
    publish(292)
    cluster.wait_for(arrived(3), "the third reading")
    det.image(3)
    det.end()
    progress = cluster.wait_for_end(scan)
    assert progress["fates"]["folded"] == 6
    assert cluster.stream_status("temperature")["matched_by"] == "time"
    taken = {}
    for events in witness.journals().values():
        taken |= {event: streams["temperature"]["hash"] for event, streams in events.items()}
    hashes = {k: seen([json.dumps({"kelvin": k}).encode()])["hash"] for k in (290, 291, 292)}
    assert [taken[e] for e in range(6)] == [hashes[k] for k in (290, 290, 291, 291, 292, 292)]


def contrast_number(messages):
    points = [pickle.loads(m[0]) for m in messages]
    return [float(p["sx"]) for p in points if p["status"] == "running"]


def xspress3_number(messages):
    if len(messages[1]) == 1:
        messages = [sum(messages[i:i + 3], []) for i in range(1, len(messages) - 1, 3)]
    return [float(np.frombuffer(m[1], np.uint32).sum(dtype=np.uint64)) for m in messages if len(m) == 3]


def pcap_number(messages):
    rows = [json.loads(m[0]) for m in messages]
    return [x for r in rows if r["message_type"] == "data" for x in r["INENC3.VAL.Mean"]]


def lecroy_number(messages):
    first = json.loads(messages[2][0])["ch"]
    traces = [m for m in messages if len(m) == 3 and json.loads(m[0])["ch"] == first]
    return [np.frombuffer(m[1], np.float64).mean() for m in traces]


VALUES = [("contrast-dump.cbors", "contrast", contrast_number), ("xspress3-dump.cbors", "xspress3", xspress3_number),
          ("xspress3-multipart.cbors", "xspress3", xspress3_number), ("pcap-zmq.cbors", "pcap", pcap_number),
          ("maui-02-continuous-3.cbor.gz", "lecroy", lecroy_number)]


@pytest.mark.parametrize("name,protocol,numbers", VALUES, ids=[v[0] for v in VALUES])
def test_a_plugin_decodes_what_a_recording_holds(cluster, recording, name, protocol, numbers):
    plugin = os.environ.get("DTRANSPOSE_DECODER_PLUGIN")
    if not plugin:
        pytest.skip("set DTRANSPOSE_DECODER_PLUGIN to the plug-in that tests/plugin/decoder_plugin.cpp makes")
    file = recording(name)
    output = cluster.folder / "out.h5"
    replay = cluster.run("replay", "replay", file, "--stream", f"s={protocol}", "--analysis", plugin,
                         "--output", output, "--json")
    assert replay.wait() == 0, replay.log
    expected = numbers(messages_of(file))
    found = results(output)["number"]
    assert len(found) == len(expected) + 2
    np.testing.assert_allclose(found[1:-1], expected, rtol=1e-12)
    assert np.isnan(found[[0, -1]]).all()
