"""The REST interface as control systems know it."""

import re
import time
import uuid

import pytest

from witness import events_of, expected_events, one_each


@pytest.fixture
def ready(cluster, witness):
    """Two workers, streams `det` and `aux`, everything in one process."""
    cluster.configure(streams=["det", "aux"], workers=2, **witness.settings())
    cluster.start_all()
    return cluster


def test_before_the_first_scan(ready):
    progress = ready.get("progress")
    assert (progress["completed_events"], progress["total_events"]) == (0, 0)
    assert progress["finished"] is False
    assert ready.get("sequence") == {"parts": {}, "sequence": []}
    ready.stop()
    assert ready.get("status")["streams"].keys() == {"det", "aux"}


def test_a_sequence_comes_back_with_its_wrap(ready):
    parts = {"line": {"det": [[{"constraint": 0}], [{"tags": ["generic"], "constraint": None}], None, []]},
             "dark": {"aux": [[{"constraint": 3}, {"constraint": 5}]]}}
    answer = ready.post_map(parts, ["line", "dark", "line"])
    assert answer.status_code == 200
    assert str(uuid.UUID(answer.json())) == answer.json()

    generic = ["generic"]
    everybody = [[{"tags": generic, "constraint": None}]]
    expected = {
        "line": {"mapping": {"det": [[{"tags": generic, "constraint": 0}],
                                     [{"tags": generic, "constraint": None}], None, []]}},
        "dark": {"mapping": {"aux": [[{"tags": generic, "constraint": 3},
                                      {"tags": generic, "constraint": 5}]]}},
        "reserved_start_end": {"mapping": {"det": everybody, "aux": everybody}}}
    for path in ("sequence", "mapping"):
        got = ready.get(path)
        assert got["sequence"] == ["reserved_start_end", "line", "dark", "line", "reserved_start_end"]
        assert got["parts"] == expected


def test_without_wrap_nothing_is_added(ready):
    assert ready.post_map({"det": one_each(3)}, wrap=False).status_code == 200
    assert ready.get("sequence")["sequence"] == ["main"]
    assert ready.get("progress")["total_events"] == 3


def test_the_old_way_to_post_a_map(ready, instrument):
    answer = ready.ask("POST", "mapping", json={"det": one_each(3)})
    assert answer.status_code == 200
    assert ready.get("mapping")["sequence"] == ["reserved_start_end", "main", "reserved_start_end"]
    instrument("det").series_of(3)
    assert ready.wait_for_end(answer.json())["total_events"] == 5


def test_progress_of_a_scan(ready, instrument):
    det = instrument("det")
    scan = ready.begin({"det": one_each(10)})
    progress = ready.get("progress")
    assert progress["total_events"] == 12 and not progress["finished"]
    det.header()
    for number in range(4):
        det.image(number)
    progress = ready.wait_for_events(5)
    assert progress["completed_events"] == 5 and not progress["finished"]
    assert 5 <= progress["last_assigned"] <= 12
    for number in range(4, 10):
        det.image(number)
    det.end()
    progress = ready.wait_for_end(scan)
    assert (progress["last_assigned"], progress["completed_events"], progress["total_events"]) == (12, 12, 12)


def test_status_of_a_scan(ready, instrument):
    det = instrument("det")
    scan = ready.begin({"det": one_each(4)})
    det.header()
    det.image(0)
    ready.wait_for_events(2)
    status = ready.get("status")
    assert status["completed_events"] == [0, 1]
    assert status["finished"] is False
    assert isinstance(status["last_assigned"], int)
    for number in (1, 2, 3):
        det.image(number)
    det.end()
    ready.wait_for_end(scan)
    status = ready.get("status")
    assert status["completed_events"] == list(range(6)) and status["finished"] is True


def test_status_has_the_keys_that_clients_look_up(ready, instrument):
    scan = ready.begin({"det": one_each(4)})
    instrument("det").series_of(4)
    ready.wait_for_end(scan)
    status = ready.get("status")
    assert {"work_completed", "last_assigned", "assignment", "completed_events", "finished",
            "processing_times"} <= status.keys()
    # Empty on purpose: nothing is kept per event and worker.
    assert status["work_completed"] == {}


def test_config_lists_who_is_there(ready):
    config = ready.get("config")
    assert {s for i in config["ingesters"] for s in i["streams"]} == {"det", "aux"}
    assert len(config["workers"]) == 2
    assert all(w["tags"] == ["generic"] for w in config["workers"])
    assert config["reducer"]["name"] == "reducer"
    assert {"controller_version", "parameters_version", "parameters_hash"} <= config.keys()
    for member in [*config["ingesters"], *config["workers"], config["reducer"]]:
        assert {"service_uuid", "mapping_uuid", "processed_events", "event_rate", "name"} <= member.keys()
        assert ":" not in member["name"]
    assert all("url" in i and "connected_workers" in i for i in config["ingesters"])


def test_config_tells_clients_which_streams_are_available(ready):
    """Clients wait for the streams of all ingesters that every worker is connected to."""
    config = ready.get("config")
    streams = {s for i in config["ingesters"] for s in i["streams"]}
    for worker in config["workers"]:
        streams &= {s for i in worker["ingesters"] for s in i["streams"]}
    assert streams == {"det", "aux"}


def test_config_holds_uuids(ready):
    config = ready.get("config")
    for member in [*config["ingesters"], *config["workers"], config["reducer"]]:
        uuid.UUID(member["service_uuid"])
    scan = ready.begin({"det": one_each(3)})
    config = ready.get("config")
    assert all(w["mapping_uuid"] == scan for w in config["workers"])
    assert config["reducer"]["mapping_uuid"] == scan


def test_config_counts_events_of_workers(ready, instrument):
    scan = ready.begin({"det": one_each(20)})
    instrument("det").series_of(20)
    ready.wait_for_end(scan)
    assert sum(w["processed_events"] for w in ready.get("config")["workers"]) >= 22


def test_the_ledger_of_a_clean_scan(ready, instrument):
    scan = ready.begin({"det": [*one_each(4), []]})
    instrument("det").series_of(5)
    ready.wait_for_end(scan)
    ledger = ready.get("ledger")
    assert ledger["scan"] == scan and ledger["events"] == 7
    assert ledger["fates"] == {"folded": 6, "empty": 0, "discarded": 1, "failed": 0, "incomplete": 0,
                               "lost": 0}
    assert ledger["troubles"] == []


def test_load_of_the_workers(ready, instrument):
    assert ready.get("load") == {}
    det = instrument("det")
    scan = ready.begin({"det": one_each(100)})
    det.header()
    for number in range(50):
        det.image(number)
        ready.get("load?intervals=1&intervals=20")
    ready.wait_for_events(40)
    for number in range(50, 100):
        det.image(number)
    det.end()
    ready.wait_for_end(scan)
    load = ready.get("load?intervals=5&intervals=1000")
    assert load.keys() <= {w["name"] for w in ready.get("config")["workers"]} and load
    for worker in load.values():
        assert worker["intervals"].keys() == {"5", "1000", "scan"} and 0 < worker["last_event"] <= 102
        for span in worker["intervals"].values():
            assert 0 <= span["active"] <= span["total"]
    # Start and end go to both of them.
    assert sum(w["intervals"]["scan"]["events"] for w in load.values()) <= 104
    assert ready.get("load?intervals=5&scan=false")[next(iter(load))]["intervals"].keys() == {"5"}
    assert ready.ask("GET", "load?intervals=many").status_code == 422


def test_a_scan_macro_starts_a_scan(ready, instrument):
    answer = ready.ask("POST", "sardana_hook", json={"streams": ["det", "unknown"], "scan": {"nb_points": 4, "title": "ascan"}})
    assert answer.status_code == 200
    scan = answer.json()
    sequence = ready.get("sequence")
    assert sequence["sequence"] == ["reserved_start_end", "sardana", "reserved_start_end"]
    assert sequence["parts"]["sardana"]["mapping"] == {"det": [[{"tags": ["generic"], "constraint": i}] for i in range(4)]}
    instrument("det").series_of(4)
    assert ready.wait_for_end(scan)["fates"]["folded"] == 6
    for body, text in [({"streams": ["det"]}, "no scan info"), ({"streams": ["det"], "scan": {}}, "no nb_points in scan"),
                       ({"scan": {"nb_points": 4}}, "streams required")]:
        answer = ready.ask("POST", "sardana_hook", json=body)
        assert (answer.status_code, answer.json()) == (200, text)
    assert ready.ask("POST", "sardana_hook", json={"scan": {}, "odd": 1}).status_code == 422
    assert ready.get("progress")["scan"] == scan


# --- refusals ------------------------------------------------------------------------------------

GOOD = {"parts": {"main": {"det": [[{"constraint": 0}]]}}, "sequence": ["main"]}


def with_slot(slot):
    return {"parts": {"main": {"det": [slot]}}, "sequence": ["main"]}


REFUSED = {
    "unknown stream": ({"parts": {"main": {"det": [[]], "nope": [[]]}}, "sequence": ["main"]}, 400, "nope"),
    "unequal lengths": ({"parts": {"main": {"det": [[], []], "aux": [[], [], []]}}, "sequence": ["main"]},
                        422, r"'det' has 2 .*'aux' has 3\b"),
    "too few workers": (with_slot([{"constraint": c} for c in range(3)]), 400, r"2.*3"),
    "unknown part": ({**GOOD, "sequence": ["main", "mian"]}, 422, "mian"),
    "tags that nobody has": (with_slot([{"tags": ["gpu", "generic"], "constraint": 1}]), 400, "gpu"),
    "a slot that is a number": (with_slot(3), 422, "det"),
    "a virtual worker that is a number": (with_slot([3]), 422, "det"),
    "a constraint that is a text": (with_slot([{"constraint": "one"}]), 422, "det"),
    "tags that are a text": (with_slot([{"tags": "gpu", "constraint": 1}]), 422, "det"),
    "parts that are a list": ({"parts": [], "sequence": []}, 422, "parts"),
    "no sequence": ({"parts": {}}, 422, "sequence"),
    "no parts": ({"sequence": []}, 422, "parts"),
    "a list": ([], 422, ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_map_is_refused_and_leaves_nothing_behind(ready, instrument, witness, case):
    body, status, named = REFUSED[case]
    det = instrument("det")
    answer = ready.ask("POST", "sequence", json=body)
    assert answer.status_code == status, answer.text
    assert re.search(named, str(answer.json()["detail"])), answer.text
    assert ready.get("progress")["total_events"] == 0

    scan = ready.begin({"det": one_each(6)})
    det.series_of(6)
    assert ready.wait_for_end(scan)["fates"]["folded"] == 8
    assert events_of(witness.journals()) == expected_events([det], {"det": one_each(6)})


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"parts":{},"sequence":[]}x', b"\xff\xfe",
                                  b"[" * 100_000], ids=["empty", "open", "word", "trailing", "utf16", "deep"])
def test_a_body_that_is_no_json(ready, body):
    answer = ready.ask("POST", "sequence", data=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]
    assert ready.begin({"det": one_each(1)})


def test_a_wrap_that_is_neither_true_nor_false(ready):
    answer = ready.ask("POST", "sequence", params={"all_wrap": "perhaps"}, json=GOOD)
    assert answer.status_code == 422 and "all_wrap" in str(answer.json()["detail"])


def test_a_refusal_leaves_the_running_scan_alone(ready, instrument):
    det = instrument("det")
    scan = ready.begin({"det": one_each(4)})
    det.header()
    det.image(0)
    ready.wait_for_events(2)
    for body, status, _ in REFUSED.values():
        assert ready.ask("POST", "sequence", json=body).status_code == status
    progress = ready.get("progress")
    assert progress["scan"] == scan and not progress["finished"]
    for number in (1, 2, 3):
        det.image(number)
    det.end()
    assert ready.wait_for_end(scan)["fates"]["folded"] == 6


def test_paths_and_methods_that_are_none(ready):
    assert ready.ask("GET", "nothing").status_code == 404
    assert ready.ask("GET", "stop").status_code == 405
    assert ready.ask("DELETE", "sequence").status_code == 405


# --- stopping and replacing ----------------------------------------------------------------------

def test_a_second_map_replaces_a_running_scan(ready, instrument, witness):
    det, aux = instrument("det"), instrument("aux")
    first = ready.begin({"det": one_each(50)})
    det.header()
    for number in range(20):
        det.image(number)
    ready.wait_for_events(10)

    witness.forget()
    second = ready.begin({"aux": one_each(7), "det": one_each(7)})
    assert second != first
    progress = ready.get("progress")
    assert progress["scan"] == second and progress["total_events"] == 9
    # The first series is still going on and means nothing any more.
    for number in range(20, 25):
        det.image(number)
    det.end()
    det.series_of(7)
    aux.series_of(7)
    assert ready.wait_for_end(second)["fates"]["folded"] == 9
    saw = {name: j for name, j in witness.journals().items() if j}
    assert events_of(saw) == expected_events([det, aux], {"det": one_each(7), "aux": one_each(7)})


def test_maps_posted_one_after_the_other_without_data(ready, instrument):
    scans = [ready.begin({"det": one_each(5 + i)}) for i in range(10)]
    assert len(set(scans)) == 10
    instrument("det").series_of(14)
    progress = ready.wait_for_end(scans[-1])
    assert progress["fates"]["folded"] == 16


def test_stop_while_the_instrument_is_silent(ready):
    scan = ready.begin({"det": one_each(30)})
    start = time.monotonic()
    ready.stop()
    progress = ready.wait_for_end(scan)
    assert time.monotonic() - start < 1 + 1, "stop_timeout is 1 s"
    assert progress["fates"]["lost"] == 32 and progress["state"] == "stopped"
    ledger = ready.get("ledger")
    assert ledger["fates"]["lost"] == 32
    assert sum(t["last"] - t["first"] + 1 for t in ledger["troubles"]) == 32
    assert all(t["cause"] for t in ledger["troubles"])
    ready.stop()


def test_stop_in_the_middle_keeps_what_was_there(ready, instrument, witness):
    det = instrument("det")
    scan = ready.begin({"det": one_each(30)})
    det.header()
    for number in range(10):
        det.image(number)
    ready.wait_for_events(11)
    ready.stop()
    progress = ready.wait_for_end(scan)
    assert progress["fates"]["folded"] == 11 and progress["fates"]["lost"] == 21
    assert progress["state"] == "stopped"
    # And the next scan does not mind what is left of this series.
    for number in range(10, 30):
        det.image(number)
    det.end()
    witness.forget()
    again = ready.begin({"det": one_each(4)})
    det.series_of(4)
    assert ready.wait_for_end(again)["fates"]["folded"] == 6
    assert events_of(witness.journals()) == expected_events([det], {"det": one_each(4)})


def test_stop_while_workers_are_slow(cluster, instrument, witness):
    """Frames that have arrived are still worked on within the time-out, the rest is lost."""
    cluster.configure(workers=2, **witness.settings(pause_us=50_000))
    cluster.start_all()
    scan = cluster.begin({"det": one_each(400)})
    instrument().series_of(400)
    cluster.wait_for_events(5)
    start = time.monotonic()
    cluster.stop()
    progress = cluster.wait_for_end(scan)
    assert time.monotonic() - start < 1 + 1.5
    assert progress["fates"]["folded"] >= 5 and progress["fates"]["lost"] > 0


def test_readers_are_many(ready, instrument):
    """Every page asked for again and again while a scan runs."""
    det = instrument("det")
    scan = ready.begin({"det": one_each(200)})
    det.header()
    for number in range(200):
        det.image(number)
        if number % 10 == 0:
            for path in ("progress", "status", "config", "ledger", "sequence"):
                ready.get(path)
    det.end()
    assert ready.wait_for_end(scan)["fates"]["folded"] == 202
