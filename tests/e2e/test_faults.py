"""Instruments that get it wrong: it costs the event in question, is counted and named, and shifts
nothing."""

import json
import random

import pytest

from witness import events_of, expected_events, one_each

FRAMES = 20
BAD = 7  # the frame that something is wrong with ...
BAD_EVENT = BAD + 1  # ... and its event
ROWS = {"det": one_each(FRAMES), "other": one_each(FRAMES)}


def missing(det):
    """Lost on the way: its message number is missing as well."""
    det.message_number += 1


def never_sent(det):
    """The instrument skipped a number of its own."""


def truncated(det):
    parts = det.image_parts(BAD)
    det.message_number += 1
    det.send_parts([parts[0], parts[1][:-1]])


def without_pixels(det):
    parts = det.image_parts(BAD)
    det.message_number += 1
    det.send_parts(parts[:1])


def oversized(det):
    parts = det.image_parts(BAD)
    det.message_number += 1
    det.send_parts([parts[0], parts[1] * 1000])


def duplicated(det):
    det.image(BAD)
    det.send_parts(det.sent[-1])


def not_json(det):
    det.send_parts([b"\x80\x04K\x01.", b"\xff" * 64])
    det.image(BAD)


def unfinished_json(det):
    det.send_parts([b'{"htype":"image","frame":7', b"\xff" * 64])
    det.image(BAD)


def unknown(det):
    det.send_parts([b'{"htype":"coffee_break","msg_number":3}'])
    det.image(BAD)


def an_empty_message(det):
    det.send_parts([b""])
    det.image(BAD)


# what is done, where it is counted, and whether the event is lost by it
COSTLY = {missing: None, never_sent: None, truncated: ("faults", "truncated"),
          without_pixels: ("faults", "truncated"), oversized: ("faults", "oversized")}
HARMLESS = {duplicated: ("verdicts", "duplicate"), not_json: ("faults", "not_json"),
            unfinished_json: ("faults", "not_json"), unknown: ("faults", "unknown"),
            an_empty_message: ("faults", "not_json")}
COUNTED = {fault: place for fault, place in {**COSTLY, **HARMLESS}.items() if place}


def name_of(case):
    return case.__name__


def send_with_fault(det, other, fault):
    """Both instruments; `det` has its fault in place of a frame or around it."""
    for each in (det, other):
        each.header()
    for number in range(FRAMES):
        if number == BAD:
            fault(det)
        else:
            det.image(number)
        other.image(number)
    for each in (det, other):
        each.end()


@pytest.fixture
def played(cluster, instrument, witness):
    """Plays a fault; returns progress, what workers saw and the instruments."""

    def play(fault, **settings):
        cluster.configure(streams=list(ROWS), **witness.settings(), **settings)
        cluster.start_all()
        det, other = instrument("det"), instrument("other")
        scan = cluster.begin(ROWS)
        send_with_fault(det, other, fault)
        return cluster.wait_for_end(scan), events_of(witness.journals()), (det, other)

    return play


def expected_without_bad(det, other):
    """All events, and the bad one with nothing of `det`."""
    rows = {**ROWS, "det": [None if i == BAD else slot for i, slot in enumerate(ROWS["det"])]}
    return expected_events([det, other], rows)


def trouble_of(cluster):
    ledger = cluster.get("ledger")
    (trouble,) = ledger["troubles"]
    assert ledger["fates"]["incomplete"] == 1
    return trouble


@pytest.mark.parametrize("fault", COSTLY, ids=name_of)
def test_it_costs_its_own_event(cluster, played, fault):
    progress, saw, (det, other) = played(fault)
    assert progress["fates"]["incomplete"] == 1
    assert progress["fates"]["folded"] == FRAMES + 1

    expected = expected_without_bad(det, other)
    del expected[BAD_EVENT]
    assert saw == expected

    trouble = trouble_of(cluster)
    assert (trouble["first"], trouble["last"], trouble["fate"]) == (BAD_EVENT, BAD_EVENT, "incomplete")


@pytest.mark.parametrize("fault", COSTLY, ids=name_of)
def test_the_ledger_names_stream_and_frame(cluster, played, fault):
    played(fault)
    cause = trouble_of(cluster)["cause"]
    assert "'det'" in cause and "other" not in cause
    assert str(BAD) in cause, f"frame {BAD} is not named: {cause}"


@pytest.mark.parametrize("fault", HARMLESS, ids=name_of)
def test_it_costs_nothing(cluster, played, fault):
    progress, saw, instruments = played(fault)
    assert progress["fates"]["folded"] == FRAMES + 2
    assert saw == expected_events(instruments, ROWS)
    assert cluster.get("ledger")["troubles"] == []


@pytest.mark.parametrize("fault", COUNTED, ids=name_of)
def test_it_is_counted_while_the_scan_runs(cluster, instrument, witness, fault):
    cluster.configure(streams=list(ROWS), **witness.settings())
    cluster.start_all()
    det = instrument("det")
    scan = cluster.begin(ROWS)
    det.header()
    for number in range(BAD):
        det.image(number)
    fault(det)
    det.image(BAD + 1)
    group, name = COUNTED[fault]

    def counts():
        return cluster.stream_status()[group]

    cluster.wait_for(lambda: counts()[name] == 1, f"one {name} to be counted")
    other = cluster.stream_status("other")[group]
    assert not any(n for key, n in other.items() if key != "ok")
    cluster.stop()
    cluster.wait_for_end(scan)


@pytest.mark.parametrize("fault", [truncated, duplicated, not_json], ids=name_of)
def test_it_is_still_counted_when_the_scan_is_over(cluster, played, fault):
    played(fault)
    group, name = COUNTED[fault]
    assert cluster.stream_status().get(group, {}).get(name) == 1


@pytest.mark.parametrize("fault", COSTLY, ids=name_of)
def test_what_is_there_is_delivered_if_wished(cluster, played, fault):
    _, saw, (det, other) = played(fault, scan={"incomplete": "deliver"})
    assert saw == expected_without_bad(det, other)
    assert set(saw[BAD_EVENT]) == {"other"}


@pytest.mark.parametrize("fault", [missing, truncated], ids=name_of)
def test_what_is_delivered_in_part_is_named_all_the_same(cluster, played, fault):
    played(fault, scan={"incomplete": "deliver"})
    (trouble,) = cluster.get("ledger")["troubles"]
    assert (trouble["first"], trouble["last"]) == (BAD_EVENT, BAD_EVENT)
    assert "'det'" in trouble["cause"] and str(BAD) in trouble["cause"]


def test_frames_out_of_order_within_the_window(cluster, instrument, witness):
    cluster.configure(**witness.settings())
    cluster.start_all()
    det = instrument()
    scan = cluster.begin({"det": one_each(FRAMES)})
    det.header()
    for first in range(0, FRAMES, 4):
        for number in (first + 2, first, first + 3, first + 1):
            det.image(number)
    det.end()

    def place(parts):
        header = json.loads(parts[0])
        return {"header": -1, "series_end": FRAMES}.get(header["htype"], header.get("frame"))

    det.sent.sort(key=place)
    progress = cluster.wait_for_end(scan)
    assert progress["fates"]["folded"] == FRAMES + 2
    assert events_of(witness.journals()) == expected_events([det], {"det": one_each(FRAMES)})


def test_an_end_that_comes_too_early(cluster, instrument, witness):
    """The scan ends without waiting for ever; what was announced and never came is named."""
    cluster.configure(**witness.settings())
    cluster.start_all()
    det = instrument()
    scan = cluster.begin({"det": one_each(FRAMES)})
    det.series_of(5)
    progress = cluster.wait_for_end(scan)
    assert progress["fates"]["incomplete"] == FRAMES - 5
    assert progress["fates"]["folded"] == 5 + 2
    (trouble,) = cluster.get("ledger")["troubles"]
    assert (trouble["first"], trouble["last"]) == (6, FRAMES)
    assert "'det'" in trouble["cause"]


def test_more_frames_than_the_map_has(cluster, instrument, witness):
    """What is too much is dropped; the end of the series is still the last event, or named."""
    cluster.configure(**witness.settings())
    cluster.start_all()
    det = instrument()
    scan = cluster.begin({"det": one_each(5)})
    det.header()
    for number in range(8):
        det.image(number)
    det.end()
    progress = cluster.wait_for_end(scan)
    assert progress["total_events"] == 7
    saw = events_of(witness.journals())
    for event in range(1, 6):
        assert saw[event] == expected_events([det], {"det": one_each(8)})[event]


def test_a_stream_that_stays_silent_ends_by_its_time_out(cluster, instrument, witness):
    cluster.configure(streams=list(ROWS), **witness.settings(), scan={"stall_timeout": "1s"})
    cluster.start_all()
    other = instrument("other")
    scan = cluster.begin(ROWS)
    other.series_of(FRAMES)
    progress = cluster.wait_for_end(scan)
    assert progress["fates"]["folded"] == 0
    assert progress["fates"]["lost"] + progress["fates"]["incomplete"] == FRAMES + 2
    assert "'det'" in progress["trouble"]


def test_random_bytes_never_end_the_process(cluster, instrument, witness):
    noise = random.Random(5)
    cluster.configure(**witness.settings())
    cluster.start_all()
    det = instrument()
    scan = cluster.begin({"det": one_each(FRAMES)})
    det.header()
    for number in range(FRAMES):
        for _ in range(20):
            parts = [bytearray(p) for p in det.image_parts(number)]
            for _ in range(noise.randint(1, 4)):
                parts[0][noise.randrange(len(parts[0]))] = noise.randrange(256)
            garbled = bytes(parts[0])
            # What still reads as a frame of this number is a frame: leave those out.
            if b'"frame"' not in garbled.replace(b'"htype"', b""):
                det.send_parts([garbled, bytes(parts[1])])
        det.send_parts([noise.randbytes(noise.randrange(200)) for _ in range(noise.randint(1, 5))])
        det.image(number)
    det.end()
    progress = cluster.wait_for_end(scan)
    assert progress["fates"]["folded"] == FRAMES + 2
    assert events_of(witness.journals()) == expected_events([det], {"det": one_each(FRAMES)})
