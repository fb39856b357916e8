"""Scans over time: instruments that come late or talk too early, and one scan after the other."""

import numpy as np
import pytest

from files import results
from witness import events_of, expected_events, one_each


def test_an_instrument_that_is_not_there_yet(cluster, instrument, witness):
    cluster.configure(streams=["det", "aux"], **witness.settings())
    cluster.start_all()
    aux = instrument("aux")
    rows = {"det": one_each(6), "aux": one_each(6)}
    scan = cluster.begin(rows)
    aux.series_of(6)
    cluster.wait_for(lambda: cluster.stream_status("aux")["state"] == "complete", "`aux` to be complete")
    status = cluster.stream_status("det")
    assert status["connected"] is False and "waiting" in status["state"]
    assert cluster.get("progress")["completed_events"] == 0

    det = instrument("det")
    cluster.wait_for(lambda: cluster.stream_status("det")["connected"], "`det` to be connected")
    det.series_of(6)
    assert cluster.wait_for_end(scan)["fates"]["folded"] == 8
    assert events_of(witness.journals()) == expected_events([det, aux], rows)


def test_an_instrument_that_falls_silent_is_shown(cluster, instrument):
    cluster.configure()
    cluster.start_all()
    det = instrument()
    cluster.begin({"det": one_each(6)})
    det.header()
    det.image(0)
    cluster.wait_for(lambda: "silent" in cluster.stream_status()["state"], "the silence to be told")


def wait_for_dropped(cluster, messages):
    cluster.wait_for(lambda: cluster.stream_status()["discarded_while_idle"] == messages,
                     f"{messages} messages to be dropped")


def test_what_was_sent_before_arming_is_dropped(cluster, instrument, witness):
    cluster.configure(**witness.settings())
    cluster.start_all()
    det = instrument()
    det.series_of(9)
    wait_for_dropped(cluster, 11)

    scan = cluster.begin({"det": one_each(5)})
    det.series_of(5)
    assert cluster.wait_for_end(scan)["fates"]["folded"] == 7
    assert events_of(witness.journals()) == expected_events([det], {"det": one_each(5)})


def test_a_series_that_was_under_way_when_the_scan_was_armed(cluster, instrument, witness):
    """Without its start it cannot be told what it belongs to: the next series is the one."""
    cluster.configure(**witness.settings())
    cluster.start_all()
    det = instrument()
    det.header()
    for number in range(3):
        det.image(number)
    wait_for_dropped(cluster, 4)

    scan = cluster.begin({"det": one_each(5)})
    for number in range(3, 8):
        det.image(number)
    det.end()
    cluster.wait_for(lambda: cluster.stream_status()["verdicts"]["stray"] == 6, "6 strays to be counted")
    det.series_of(5)
    assert cluster.wait_for_end(scan)["fates"]["folded"] == 7
    assert events_of(witness.journals()) == expected_events([det], {"det": one_each(5)})


def test_leftovers_do_not_get_into_the_next_scan(cluster, instrument, witness):
    cluster.configure(**witness.settings())
    cluster.start_all()
    det = instrument()
    first = cluster.begin({"det": one_each(3)})
    det.series_of(3)
    for number in range(3, 60):
        det.image(number)
    cluster.wait_for_end(first)
    for number in range(60, 90):
        det.image(number)

    witness.forget()
    second = cluster.begin({"det": one_each(5)})
    det.series_of(5)
    assert cluster.wait_for_end(second)["fates"]["folded"] == 7
    assert events_of(witness.journals()) == expected_events([det], {"det": one_each(5)})


def send_images(det, images):
    """A series of images whose pixels are given."""
    det.header()
    for number, pixels in enumerate(images):
        header, _ = det.image_parts(number, shape=pixels.shape)
        det.message_number += 1
        det.send_parts([header, pixels.astype("<u2").tobytes()])
    det.end()


@pytest.mark.parametrize("everything", [True, False], ids=["one process", "processes"])
def test_scans_one_after_the_other(cluster, instrument, everything):
    cluster.configure(analysis="roi", output="scan-{scan}.h5")
    cluster.start_all() if everything else cluster.start_parts()
    det = instrument()
    noise = np.random.default_rng(1)
    for length in (5, 17, 3):
        images = noise.integers(0, 60000, (length, 6, 7))
        scan = cluster.begin({"det": one_each(length)})
        send_images(det, images)
        progress = cluster.wait_for_end(scan)
        assert progress["output"] == str(cluster.folder / f"scan-{scan}.h5")
        found = results(progress["output"])
        np.testing.assert_array_equal(found["sum"], [np.nan, *images.sum((1, 2)), np.nan])
        np.testing.assert_array_equal(found["max"], [np.nan, *images.max((1, 2)), np.nan])
    assert len(list(cluster.folder.glob("scan-*.h5"))) == 3


def test_a_file_that_is_there_already_is_kept(cluster, instrument):
    """`overwrite` is off: the scan is refused before it starts, naming the file."""
    cluster.configure(analysis="roi", output="out.h5")
    cluster.start_all()
    (cluster.folder / "out.h5").write_text("precious")
    answer = cluster.post_map({"det": one_each(2)})
    assert 400 <= answer.status_code < 500 and "out.h5" in answer.text
    assert (cluster.folder / "out.h5").read_text() == "precious"


def test_a_process_that_joins_between_two_scans(cluster, instrument, witness):
    cluster.configure(workers=1, **witness.settings())
    cluster.start_parts(worker_processes=1)
    det = instrument()
    first = cluster.begin({"det": one_each(10)})
    det.series_of(10)
    cluster.wait_for_end(first)

    witness.forget()
    late = cluster.start("worker", name="late")
    cluster.wait_for_members(processes=2)
    second = cluster.begin({"det": one_each(100)})
    det.series_of(100)
    assert cluster.wait_for_end(second)["fates"]["folded"] == 102
    assert events_of(witness.journals()) == expected_events([det], {"det": one_each(100)})
    assert len(next(iter(witness.of_process(late.pid).values()))) > 2


def test_frames_larger_than_any_budget(cluster, instrument, witness):
    """One item of any size passes."""
    cluster.configure(**witness.settings(), stream={"retain": "64kB", "read_ahead": "4kB"},
                      worker={"memory": "64kB"})
    cluster.start_parts()
    det = instrument()
    rows = one_each(8)
    scan = cluster.begin({"det": rows})
    det.header()
    for number in range(8):
        det.send(det.image_parts(number, shape=(512, 256)))
    det.end()
    assert cluster.wait_for_end(scan)["fates"]["folded"] == 10
    assert {e: s["det"]["sizes"][1:] for e, s in events_of(witness.journals()).items()} == {
        0: [], 9: [], **{e: [262144] for e in range(1, 9)}}
