"""Analysis code in Python, run by the program in processes of their own."""

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from cluster import PATIENCE, REPOSITORY, Process, wait_until
from files import results, write_dump
from witness import one_each

PACKAGE = REPOSITORY / "python"
HERE = Path(__file__).resolve().parent
ENVIRONMENT = {"PYTHONPATH": f"{PACKAGE}{os.pathsep}{HERE}"}
EVENTS = 40


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])


def image_of(number):
    return np.full((3, 4), number + 1, np.uint16)


def stins(number, events):
    """The message of an event of a series: its start, an image, its end."""
    if number == 0:
        return [json.dumps({"htype": "header", "filename": "", "msg_number": 0})]
    if number == events - 1:
        return [json.dumps({"htype": "series_end", "msg_number": number})]
    image = image_of(number)
    header = {"htype": "image", "frame": number - 1, "shape": image.shape, "type": "uint16",
              "compression": "none", "msg_number": number}
    return [json.dumps(header), image.tobytes()]


def dump_of(folder, events):
    parts = ((k, [p.encode() if isinstance(p, str) else p for p in stins(k, events)]) for k in range(events))
    return write_dump(folder / "own.cbors", [(k, {"det": ("STINS", p)}, None) for k, p in parts])


def sums(events):
    return [np.nan, *(int(image_of(k).sum()) for k in range(1, events - 1)), np.nan]


def replay(folder, file, worker, *options, reducer="python_payload:Reducer", status=0, patience=60):
    process = Process("replay", folder, "replay", file, "--json", "--output", folder / "out.h5",
                      "--interpreter", sys.executable, "-w", f"python:{worker}", "-r", f"python:{reducer}",
                      *options)
    try:
        assert process.wait(patience) == status, process.report()
        assert_nothing_left(folder)
        return process
    finally:
        process.end()


def pids(folder, role):
    return [int(p.name.split("-")[1]) for p in (folder / "processes").glob(f"{role}-*")]


def is_there(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" and b"dtranspose.host" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_nothing_left(folder):
    left = [p for role in ("worker", "reducer") for p in pids(folder, role)]
    wait_until(lambda: not any(map(is_there, left)), "the processes of the analysis to end", 10)
    assert not [f for f in Path("/dev/shm").iterdir() if "dtranspose" in f.name]


def published(path):
    """The tree that the reducer published."""
    found = {}

    def visit(name, node):
        if isinstance(node, h5py.Dataset):
            found[name.rsplit("/", 1)[-1]] = node[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def troubles(folder):
    return json.loads((folder / "out.ledger.json").read_text())["troubles"]


def assert_all_folded_once(summary, folder, events=EVENTS, but=()):
    assert summary["folded"] == events - 2 - len(but)
    assert summary["empty"] == 2
    found = published(folder / "out.h5")
    expected = np.array(sums(events))
    expected[list(but)] = np.nan
    folded = [int(not np.isnan(x)) for x in expected]
    np.testing.assert_array_equal(found["folds"], folded[: len(found["folds"])])
    assert found["folds"].sum() == summary["folded"]
    assert found["total"] == np.nansum(expected)


# --- what works ----------------------------------------------------------------------------------

@pytest.mark.parametrize("worker", ["Worker", "Batches", "Pickles"])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_event_is_mapped_and_folded(tmp_path, worker, workers):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), f"python_payload:{worker}", "--workers", workers)
    assert_all_folded_once(process.summary, tmp_path)
    if worker != "Pickles":  # what only Python understands has no rows
        np.testing.assert_array_equal(results(tmp_path / "out.h5")["sum"][1:-1], sums(EVENTS)[1:-1])
    assert published(tmp_path / "out.h5")["pickled"] == (worker == "Pickles")


def test_results_in_the_workers_state(tmp_path):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:Deferring", "--workers", 2)
    assert process.summary["folded"] == EVENTS - 2
    found = published(tmp_path / "out.h5")
    assert (found["total"], found["covered"]) == (np.nansum(sums(EVENTS)), EVENTS - 2)


def test_processes_are_kept_over_scans(tmp_path):
    replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:Worker", "--workers", 1, "--loop", 3)
    assert (len(pids(tmp_path, "worker")), len(pids(tmp_path, "reducer"))) == (1, 1)


def test_a_payload_of_dranspose_as_it_is(recording, tmp_path):
    (tmp_path / "payloads").symlink_to(PACKAGE / "tests/payloads")
    process = replay(tmp_path, recording("dump_xrd.cbors"), "payloads.tutorial_worker:RoiWorker",
                     "--workers", 2, "--param", "folder=made", "--param", "till_row=2",
                     reducer="payloads.tutorial_reducer:RoiReducer")
    assert process.summary["failed"] == 0, process.report()
    (made,) = [p for p in (tmp_path / "made").iterdir() if "_processed" in p.name and "tree" not in p.name]
    with h5py.File(made) as file:
        np.testing.assert_array_equal(file["reduced"][1:],
                                      [9.25, 11.25, 11.75, 4.25, 2.25, 3.0, 4.75, 7.75, 10.75])


def configure(cluster, worker="Worker", **more):
    settings = {"worker": f"python_payload:{worker}", "reducer": "python_payload:Reducer",
                "interpreter": sys.executable, "directory": str(cluster.folder), "environment": ENVIRONMENT}
    parameters = {**settings, **more.pop("parameters", {})}
    return cluster.configure(analysis="python", parameters=parameters, output="out.h5", **more)


@pytest.mark.parametrize("everything", [True, False], ids=["one process", "processes"])
def test_scans_one_after_the_other(cluster, instrument, everything):
    configure(cluster)
    cluster.start_all() if everything else cluster.start_parts()
    det = instrument()
    for frames in (5, 12):
        (cluster.folder / "out.h5").unlink(missing_ok=True)
        scan = cluster.begin({"det": one_each(frames)})
        sent = []
        det.header()
        for number in range(frames):
            sent.append(int(np.frombuffer(det.image_parts(number)[1], np.uint16).sum()))
            det.image(number)
        det.end()
        progress = cluster.wait_for_end(scan, patience=60)
        assert progress["fates"].get("folded") == frames, cluster.get("ledger")
        np.testing.assert_array_equal(results(progress["output"])["sum"][1:-1], sent)
        assert published(progress["output"])["total"] == sum(sent)


def test_parameters_of_both_classes(cluster, instrument):
    """Both classes describe theirs, and refuse what cannot be."""
    configure(cluster)
    cluster.start_all()
    names = {p["name"]: p["dtype"] for p in cluster.get("parameters")}
    assert (names["at"], names["reducer_at"], names["once"]) == ("int", "int", "bool")
    refused = cluster.ask("POST", "parameter/at", data=b"-1")
    assert refused.status_code == 422 and "0 or more" in refused.text
    assert cluster.ask("POST", "parameter/at", data=b"2").status_code == 200


def test_parameters_change_in_mid_scan(cluster):
    """Both parts are given those that a result was made with."""
    configure(cluster, "Factor", workers=2, parameters={"reducer": "python_payload:Ticks"},
              simulate=[{"stream": "det", "frames": 600, "shape": [4, 4], "rate": "300Hz"}])
    cluster.start_all()
    cluster.simulate()
    for factor in (2, 3):
        cluster.wait_for_events(factor * 100)
        assert cluster.ask("POST", "parameter/factor", data=str(factor)).status_code == 200
    progress = cluster.wait_for_end(patience=60)
    assert progress["fates"]["folded"] == 600, cluster.get("ledger")["troubles"]
    assert set(results(progress["output"])["sum"][1:-1]) == {1, 2, 3}
    assert published(progress["output"])["wrong"] == 0


def test_ticks_come_at_the_interval_that_the_class_says(cluster):
    configure(cluster, "Remembering", workers=1, parameters={"reducer": "python_payload:Ticks"},
              simulate=[{"stream": "det", "frames": 600, "shape": [4, 4], "rate": "300Hz"}])
    cluster.start_all()
    cluster.simulate()
    progress = cluster.wait_for_end(patience=60)
    found = published(progress["output"])
    assert progress["fates"]["folded"] == 600
    # 2 s at the least. How much longer it took is not known here.
    assert 2 <= found["ticks"] <= 1 + 5 * cluster.get("progress")["seconds"]
    assert found["workers"] == 1


def test_a_process_in_the_place_of_another_has_seen_the_start(tmp_path):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:Remembering", "--workers", 1,
                     "--param", "how=exit", "--param", "once=true")
    assert len(pids(tmp_path, "worker")) == 2
    assert_all_folded_once(process.summary, tmp_path)


def test_compressed_images_come_as_pixels(cluster):
    instruments = [{"stream": "det", "frames": 30, "shape": [16, 20], "seed": 3,
                    "options": {"compression": "bslz4"}}]
    found = []
    for analysis in ("python", "roi"):
        if analysis == "python":
            configure(cluster, simulate=instruments)
        else:
            cluster.configure(analysis="roi", output="roi.h5", simulate=instruments)
        program = cluster.start_all()
        cluster.simulate()
        progress = cluster.wait_for_end(patience=60)
        assert progress["fates"]["folded"] == 30, cluster.get("ledger")["troubles"]
        found.append(results(progress["output"])["sum"][1:-1])
        cluster.kill(program)
    np.testing.assert_array_equal(*found)


RELOADED = """
import dtranspose

class Worker(dtranspose.Worker):
    @classmethod
    def describe_parameters(cls):
        return [dtranspose.IntParameter("PARAMETER", 1)]

    @classmethod
    def describe_results(cls, parameters):
        return [dtranspose.ResultDescription("sum", "uint64")]

    def process_event(self, event, parameters, tick):
        return None if event.image() is None else {"sum": ANSWER}
"""


def test_code_is_read_anew_for_the_next_scan(cluster, instrument):
    code = cluster.folder / "changing.py"

    def scan_gives(answer):
        (cluster.folder / "out.h5").unlink(missing_ok=True)
        scan = cluster.begin({"det": one_each(6)})
        det.series_of(6)
        progress = cluster.wait_for_end(scan, patience=60)
        assert set(results(progress["output"])["sum"][1:-1]) == {answer}, cluster.get("ledger")

    code.write_text(RELOADED.replace("PARAMETER", "first").replace("ANSWER", "1"))
    configure(cluster, parameters={"worker": "changing:Worker", "reducer": ""})
    cluster.start_parts(1)
    det = instrument()
    scan_gives(1)
    code.write_text(RELOADED.replace("PARAMETER", "second").replace("ANSWER", "2"))
    scan_gives(1)
    answer = cluster.ask("POST", "analysis/reload")
    assert answer.status_code == 200 and answer.json()["from"] == "now", answer.text
    assert "second" in [p["name"] for p in cluster.get("parameters")]
    scan_gives(2)

    code.write_text("class Worker\n")
    answer = cluster.ask("POST", "analysis/reload")
    assert answer.status_code == 400 and "SyntaxError" in answer.text
    scan_gives(2)


def test_changed_code_is_noticed(cluster):
    code = cluster.folder / "changing.py"
    code.write_text(RELOADED.replace("PARAMETER", "first").replace("ANSWER", "1"))
    configure(cluster, parameters={"worker": "changing:Worker", "reducer": ""})
    program = cluster.start_all("--watch")
    code.write_text(RELOADED.replace("PARAMETER", "second").replace("ANSWER", "2"))
    cluster.wait_for(lambda: "second" in [p["name"] for p in cluster.get("parameters")], "the new code")
    code.write_text("class Worker")
    cluster.wait_for(lambda: "SyntaxError" in program.log, "the fault to be told")
    assert "second" in [p["name"] for p in cluster.get("parameters")]


def test_only_python_is_read_anew(cluster):
    cluster.configure()
    cluster.start_all()
    answer = cluster.ask("POST", "analysis/reload")
    assert answer.status_code == 400 and "none" in answer.text


# --- what goes wrong -----------------------------------------------------------------------------

@pytest.mark.parametrize("how, told", [("raise", "ValueError: this is no good"), ("write", "read-only")])
def test_an_exception_costs_its_event(tmp_path, how, told):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:Worker", "--workers", 2, "--param",
                     f"how={how}")
    assert_all_folded_once(process.summary, tmp_path, but=[7])
    (trouble,) = troubles(tmp_path)
    assert (trouble["first"], trouble["fate"]) == (7, "failed")
    assert told in trouble["cause"] and "python_payload.py" in trouble["cause"]


@pytest.mark.parametrize("worker, reducer", [("WorkerInit", "Reducer"), ("Worker", "ReducerInit")])
def test_a_class_that_cannot_be_made_keeps_its_scan_from_beginning(tmp_path, worker, reducer):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), f"python_payload:{worker}", "--workers", 1, status=1,
                     reducer=f"python_payload:{reducer}")
    assert "__init__ is no good" in process.log


def test_an_exception_in_flush_costs_what_was_deferred(tmp_path):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:DeferringFlush", "--workers", 1,
                     status=3)  # nothing came of it
    assert (process.summary["folded"], process.summary["failed"]) == (0, EVENTS - 2)
    assert all("flush is no good" in t["cause"] for t in troubles(tmp_path))


@pytest.mark.parametrize("worker, reducer, told", [
    ("WorkerFinish", "Reducer", "finish is no good"),
    ("Worker", "ReducerTimer", "timer is no good"),
])
def test_an_exception_in_other_methods_is_told(tmp_path, worker, reducer, told):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), f"python_payload:{worker}", "--workers", 1,
                     reducer=f"python_payload:{reducer}")
    assert_all_folded_once(process.summary, tmp_path)
    assert told in process.log + (tmp_path / "out.ledger.json").read_text()


def test_an_exception_in_the_end_of_the_reducer_fails_its_scan(tmp_path):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:Worker", "--workers", 1, status=1,
                     reducer="python_payload:ReducerFinish")
    assert "finish is no good" in process.summary["trouble"]


@pytest.mark.parametrize("how", ["exit", "leave", "segv", "kill"])
@pytest.mark.parametrize("worker", ["Worker", "Batches"])
def test_an_event_that_ends_its_process_again_and_again(tmp_path, how, worker):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), f"python_payload:{worker}", "--workers", 1,
                     "--param", f"how={how}")
    assert_all_folded_once(process.summary, tmp_path, but=[7])
    (trouble,) = troubles(tmp_path)
    assert (trouble["first"], trouble["fate"]) == (7, "failed")
    told = {"exit": "ended with code 5", "leave": "ended with code 6", "segv": "signal 11", "kill": "signal 9"}
    assert told[how] in trouble["cause"]
    if how == "segv":
        assert "python_payload.py" in trouble["cause"]


@pytest.mark.parametrize("worker", ["Worker", "Batches", "Deferring"])
@pytest.mark.parametrize("how", ["exit", "segv"])
def test_an_event_that_ends_its_process_once(tmp_path, how, worker):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), f"python_payload:{worker}", "--workers", 1,
                     "--param", f"how={how}", "--param", "once=true")
    assert (tmp_path / "done").exists() and len(pids(tmp_path, "worker")) == 2
    assert (process.summary["folded"], process.summary["failed"]) == (EVENTS - 2, 0)
    found = published(tmp_path / "out.h5")
    assert (found["total"], found["covered"]) == (np.nansum(sums(EVENTS)), EVENTS - 2)


def test_much_output_stops_nobody(tmp_path):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:Worker", "--workers", 1, "--param",
                     "how=flood")
    assert_all_folded_once(process.summary, tmp_path)
    assert "so much to say 0" in process.log and "more lines" in process.log
    assert len(process.log) < 1_000_000


@pytest.mark.parametrize("how, told", [("loop", "event_timeout"), ("hog", "memory_limit")])
def test_an_event_that_takes_too_much(cluster, instrument, how, told):
    configure(cluster, workers=1, scan={"event_timeout": "1s", "max_attempts": 2},
              parameters={"how": how, "memory_limit": "300MiB"})
    cluster.start_all()
    det = instrument()
    scan = cluster.begin({"det": one_each(20)})
    det.series_of(20)
    progress = cluster.wait_for_end(scan, patience=60)
    assert (progress["fates"]["folded"], progress["fates"]["failed"]) == (19, 1)
    (trouble,) = cluster.get("ledger")["troubles"]
    assert trouble["first"] == 7 and told in trouble["cause"]
    if how == "loop":
        assert "in loop" in trouble["cause"]  # where it was


class Killer:
    """Ends processes of one role at random times, by what they cannot see coming."""

    def __init__(self, folder, role, pause):
        self.folder, self.role, self.pause = folder, role, pause
        self.killed = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def run(self):
        chance = random.Random(3)
        while not self.over.wait(chance.uniform(0, 2 * self.pause)):
            alive = [p for p in pids(self.folder, self.role) if is_there(p)]
            if alive:
                try:
                    os.kill(chance.choice(alive), signal.SIGKILL)
                    self.killed += 1
                except ProcessLookupError:
                    pass


@pytest.mark.parametrize("worker", ["Worker", "Batches", "Deferring"])
def test_processes_that_are_killed_at_random(cluster, worker):
    events = 2000
    configure(cluster, worker, workers=2, scan={"max_attempts": 50},
              simulate=[{"stream": "det", "frames": events, "shape": [4, 4], "rate": "400Hz"}])
    cluster.start_all()
    with Killer(cluster.folder, "worker", 0.4) as killer:
        cluster.simulate()
        progress = cluster.wait_for_end(patience=90)
        assert killer.killed > 3
    fates = progress["fates"]
    assert (fates["folded"], fates.get("failed", 0)) == (events, 0), cluster.get("ledger")["troubles"]
    assert published(progress["output"])["covered"] == events
    if worker != "Deferring":
        assert set(published(progress["output"])["folds"][1:]) == {1}


def test_a_reducer_that_is_killed_folds_its_journal_again(cluster):
    events = 1500
    configure(cluster, workers=2, sections={"reducer": {"journal": str(cluster.folder / "journal")}},
              simulate=[{"stream": "det", "frames": events, "shape": [4, 4], "rate": "400Hz"}])
    cluster.start_all()
    with Killer(cluster.folder, "reducer", 0.7) as killer:
        cluster.simulate()
        progress = cluster.wait_for_end(patience=90)
        assert killer.killed > 1
    assert progress["state"] == "finished", progress
    assert progress["fates"]["folded"] == events, cluster.get("ledger")["troubles"]
    found = published(progress["output"])
    assert found["covered"] == events and set(found["folds"][1:]) == {1}


def test_a_reducer_that_is_lost_without_a_journal_fails_its_scan(tmp_path):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:Worker", "--workers", 1, "--param",
                     "reducer_how=exit", status=1)
    assert process.summary["state"] == "failed"
    assert "ended with code 5" in process.summary["trouble"] and "journal" in process.summary["trouble"]


def test_an_exception_in_the_reducer_costs_its_event(tmp_path):
    process = replay(tmp_path, dump_of(tmp_path, EVENTS), "python_payload:Worker", "--workers", 1, "--param",
                     "reducer_how=raise")
    assert (process.summary["folded"], process.summary["failed"]) == (EVENTS - 3, 1)
    (trouble,) = troubles(tmp_path)
    assert trouble["first"] == 3 and "ValueError: this is no good" in trouble["cause"]


def test_nothing_outlives_a_program_that_is_killed(cluster):
    configure(cluster, workers=2, simulate=[{"stream": "det", "frames": 100000, "shape": [4, 4], "rate": "100Hz"}])
    program = cluster.start_all()
    cluster.simulate()
    cluster.wait_for_events(20)
    alive = pids(cluster.folder, "worker") + pids(cluster.folder, "reducer")
    assert len(alive) == 3 and all(map(is_there, alive))
    for process in list(cluster.processes):
        cluster.kill(process)
    assert program.child.returncode == -signal.SIGKILL
    assert_nothing_left(cluster.folder)


# --- what is said of a configuration -------------------------------------------------------------

def check(folder, status, **settings):
    all_of_it = {"worker": "python_payload:Worker", "reducer": "python_payload:Reducer",
                 "interpreter": sys.executable, "directory": str(folder), **settings}
    lines = "".join(f"{key} = {json.dumps(content)}\n" for key, content in all_of_it.items()
                    if key != "environment")
    (folder / "site.toml").write_text(f'[analysis]\nuse = ["python"]\n[analysis.python]\n{lines}')
    process = Process("check", folder, "check", folder / "site.toml")
    try:
        assert process.wait(PATIENCE) == status, process.report()
        return process.out + process.log
    finally:
        process.end()


def test_check_loads_the_classes(tmp_path):
    assert "analysis python" in check(tmp_path, 0)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("settings, told", [
    ({"interpreter": "no-such-python"}, ["no-such-python"]),
    ({"interpreter": "/bin/false"}, ["/bin/false", "interpreter"]),
    ({"worker": "python_payload:Nobody"}, ["python_payload:Nobody", "has no 'Nobody'"]),
    ({"worker": "nowhere:Worker"}, ["No module named 'nowhere'"]),
    ({"worker": "wrong:Worker"}, ["SyntaxError"]),
    ({"directory": "/nowhere"}, ["/nowhere"]),
    ({"at": -1}, ["0 or more"]),
    ({"att": 1}, ["att"]),
    ({"worker": "python_payload"}, ["python_payload", "src.roi:Worker"]),
], ids=lambda x: str(x) if isinstance(x, dict) else "")
def test_check_says_what_is_wrong(tmp_path, settings, told):
    (tmp_path / "wrong.py").write_text("class Worker:\n    def\n")
    said = check(tmp_path, 1, **settings)
    for text in told:
        assert text in said


def test_an_interpreter_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    said = check(tmp_path, 1)
    assert "No module named 'dtranspose'" in said and "pip install" in said and sys.executable in said


@pytest.mark.parametrize("lines, where", [
    ('worker = "src.roi:Worker"', "[analysis] worker"),
    ('use = ["python"]', "[analysis] use"),
    ('use = ["roi"]\nworker = "python:src.roi:Worker"', "[analysis] use"),
    ('worker = "python:src.roi"', "[analysis] worker"),
])
def test_a_configuration_that_cannot_be(tmp_path, lines, where):
    (tmp_path / "site.toml").write_text(f"[analysis]\n{lines}\n")
    process = Process("check", tmp_path, "check", tmp_path / "site.toml")
    assert process.wait(PATIENCE) == 1
    assert where in process.log


def test_a_class_sees_the_numbers_of_an_analysis_before_it(cluster):
    python = {"worker": "python_payload:AfterRoi", "interpreter": sys.executable, "directory": str(cluster.folder),
              "environment": ENVIRONMENT}
    cluster.configure(analysis=["roi", "python"], parameters={"roi": {}, "python": python}, output="out.h5",
                      simulate=[{"stream": "det", "frames": 20, "shape": [4, 4]}])
    cluster.start_all()
    assert cluster.simulate().wait(60) == 0
    with h5py.File(cluster.folder / "out.h5") as file:
        means = file["entry/result/roi.mean"][1:-1]
        seen = file["entry/result/python.seen"][1:-1]
    assert np.isfinite(means).all() and (means == seen).all()
