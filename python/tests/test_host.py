"""The host against a stand-in of the program."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from engine import PATIENCE, Engine, HostFailed, stins, unpickled

from dtranspose import messages
from dtranspose.messages import COLUMN_ROW, EMPTY, HAS_FAILED, IS_DEFERRED, PICKLED, VALUE, BrokenConnection

Write = Callable[[str, str], Path]

MEAN = """
    import dtranspose

    class Worker(dtranspose.Worker):
        @classmethod
        def describe_parameters(cls):
            return [dtranspose.IntParameter("rows", 2, "how many rows")]

        @classmethod
        def describe_results(cls, parameters):
            if parameters["rows"] < 1:
                raise ValueError("parameter 'rows' is to be 1 or more")
            return [dtranspose.ResultDescription("mean", unit="counts")]

        def process_event(self, event, parameters, tick):
            image = event.image("det")
            if image is None:
                return None
            return {"mean": float(image[: parameters["rows"]].mean()), "tick": tick}
"""


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def test_says_what_it_is(engine: Engine) -> None:
    assert engine.hello["protocol"] == messages.VERSION
    assert engine.hello["pid"] == engine.child.pid
    assert engine.hello["numpy"] == np.__version__


def test_refuses_another_version_of_the_protocol(engine: Engine) -> None:
    engine.send(messages.WELCOME, {"protocol": 99, "role": "worker"})
    assert engine.child.wait(PATIENCE) == 2
    assert engine.child.stderr is not None
    assert b"version 99" in engine.child.stderr.read()


@pytest.mark.parametrize("shared", [False, True])
def test_maps_a_batch(engine: Engine, write: Write, shared: bool) -> None:
    path = write("mean.py", MEAN)
    loaded = engine.load("mean:Worker", path.parent)
    assert loaded["kind"] == "dtranspose" and loaded["file"] == str(path)
    assert loaded["parameters"] == [
        {"name": "rows", "type": "int", "default": b"2", "description": "how many rows"}
    ]
    assert engine.begin(parameters={"rows": "1"}) == {"tick_interval": 1.0}
    segment = engine.add_segment(1 << 16) if shared else None
    events: Any = [(0, {"det": ("STINS", ['{"htype": "header", "filename": "", "msg_number": 0}'])})]
    events += [(k, {"det": stins(k - 1, first=k)}) for k in range(1, 4)]
    answers = engine.process(events, segment=segment, ticks=[2])
    assert [a.kind for a in answers.answers] == [EMPTY, VALUE, VALUE, VALUE]
    assert [a.content for a in answers.answers[1:]] == [
        {"mean": 2.0, "tick": False},
        {"mean": 3.0, "tick": True},
        {"mean": 4.0, "tick": False},
    ]
    assert answers.tick_interval == 1.0
    assert answers.released


def test_describes_results_and_refuses_parameters(engine: Engine, write: Write) -> None:
    engine.load("mean:Worker", write("mean.py", MEAN).parent)
    described = engine.ask(messages.DESCRIBE, {"parameters": {"rows": b"3"}})
    assert described["results"] == [
        {"name": "mean", "type": "float64", "shape": [], "per_scan": False, "unit": "counts", "axes": []}
    ]
    with pytest.raises(HostFailed, match="parameter 'rows' is to be 1 or more"):
        engine.ask(messages.DESCRIBE, {"parameters": {"rows": b"0"}})


def test_a_changed_parameter_counts_from_its_version_on(engine: Engine, write: Write) -> None:
    engine.load("mean:Worker", write("mean.py", MEAN).parent)
    engine.begin(parameters={"rows": "1"})
    engine.ask(messages.SET_PARAMETERS, {"parameters": {"version": 2, "values": {"rows": b"2"}}})
    old = engine.process([(1, {"det": stins(0)})], parameters=1)
    new = engine.process([(2, {"det": stins(0)})], parameters=2)
    assert old.answers[0].content["mean"] == 1.0
    assert new.answers[0].content["mean"] == 2.5


def test_an_exception_fails_its_event_alone(engine: Engine, write: Write) -> None:
    path = write(
        "odd.py",
        """
        import dtranspose

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                if event.number == 2:
                    raise ValueError("shape of event 2")
                return event.number
        """,
    )
    engine.load("odd:Worker", path.parent)
    engine.begin()
    answers = engine.process([(k, {}) for k in range(1, 4)])
    assert [a.kind for a in answers.answers] == [VALUE, HAS_FAILED, VALUE]
    text = answers.answers[1].content
    assert text.endswith("ValueError: shape of event 2")
    assert "odd.py" in text and "parts.py" not in text
    assert answers.released


def test_a_stream_that_is_missing_is_named(engine: Engine, write: Write) -> None:
    path = write(
        "lacks.py",
        """
        import dtranspose

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                return {"missing": event.missing, "there": list(event)}
        """,
    )
    engine.load("lacks:Worker", path.parent)
    engine.begin(streams=["a", "b", "c"])
    answers = engine.process([(7, {"b": stins(0)})], missing={7: ["c", "a"]})
    assert answers.answers[0].content == {"missing": ["a", "c"], "there": ["b"]}


def test_what_the_program_has_decoded_is_the_image(engine: Engine, write: Write) -> None:
    engine.load("mean:Worker", write("mean.py", MEAN).parent)
    engine.begin()
    image = np.arange(12, dtype="float32").reshape(3, 4)
    answers = engine.process(
        [(1, {"det": ("EIGER_LEGACY", ["{}", b"compressed"])})],
        segment=engine.add_segment(1 << 16),
        decoded={(1, "det"): image},
    )
    assert answers.answers[0].content["mean"] == image[:2].mean()


@pytest.mark.parametrize("kind", ["Ours", "Theirs", "InTurn"])
def test_answers_are_as_they_were_when_given(engine: Engine, write: Write, kind: str) -> None:
    """An array and a list that change with the next event, small and large."""
    path = write(
        "changes.py",
        """
        import numpy as np
        import dtranspose

        class Changing:
            def __init__(self, *args, **kwargs):
                self.large, self.small, self.list = np.zeros(1 << 14), np.zeros(2), []

            def process_event(self, event, parameters, tick):
                self.large += 1
                self.small += 1
                self.list.append(1)
                return {"large": self.large, "small": self.small, "list": self.list}

        class Theirs(Changing):
            pass

        class Ours(Changing, dtranspose.Worker):
            pass

        class InTurn(Ours):
            def process_events(self, events, parameters, tick):
                for event in events:
                    yield self.process_event(event, parameters, tick)
        """,
    )
    engine.load(f"changes:{kind}", path.parent)
    engine.begin()
    answers = engine.process([(k, {}) for k in range(4)])
    for n, content in enumerate(unpickled(answers), 1):
        assert (
            content["large"].max() == n and content["small"].tolist() == [n, n] and len(content["list"]) == n
        )


def test_deferred_events_are_covered_by_a_flush(engine: Engine, write: Write) -> None:
    path = write(
        "sums.py",
        """
        import numpy as np
        import dtranspose

        class Worker(dtranspose.Worker):
            def __init__(self, scan, parameters, context):
                super().__init__(scan, parameters, context)
                self.sum, self.frames = 0, 0

            def process_event(self, event, parameters, tick):
                self.sum = self.sum + event.image().astype(np.uint64)
                self.frames += 1
                return dtranspose.DEFERRED

            def flush(self):
                if not self.frames:
                    return None
                result = {"sum": self.sum, "frames": self.frames}
                self.sum, self.frames = 0, 0
                return result

            def finish(self, parameters):
                return {"last": True}
        """,
    )
    engine.load("sums:Worker", path.parent)
    engine.begin()
    answers = engine.process([(k, {"det": stins(k)}) for k in range(3)])
    assert [a.kind for a in answers.answers] == [IS_DEFERRED] * 3
    (flushed,) = engine.ask(messages.FLUSH).answers
    assert flushed.content["frames"] == 3
    assert flushed.content["sum"].tolist() == [[0, 3, 6], [9, 12, 15]]
    assert engine.ask(messages.FLUSH).answers[0].kind == EMPTY
    assert engine.ask(messages.FINISH).answers[0].content == {"last": True}


BATCHES = """
    import dtranspose
    import numpy as np

    class Columnwise(dtranspose.Worker):
        def process_events(self, events, parameters, tick):
            images = events.stack("det", 1, "uint16", (2, 3))
            return dtranspose.Columns(sum=images.sum((1, 2)), number=events.numbers, corner=images[:, 0, :2])

    class Some(dtranspose.Worker):
        def process_events(self, events, parameters, tick):
            places = events.where("det", 2)
            images = events.stack("det", 1, "uint16", (2, 3), places)
            return dtranspose.Columns(sum=images.sum((1, 2)), number=events.numbers[places]).at(places)

    class Generator(dtranspose.Worker):
        def process_events(self, events, parameters, tick):
            for event in events:
                if event.number == 2:
                    raise RuntimeError("number 2")
                yield event.number

    class List(dtranspose.Worker):
        def process_events(self, events, parameters, tick):
            return [10 // (event.number - 2) for event in events]

    class TooFew(dtranspose.Worker):
        def process_events(self, events, parameters, tick):
            return [1]
"""


@pytest.mark.parametrize("shared", [False, True])
def test_columns_answer_a_whole_batch(engine: Engine, write: Write, shared: bool) -> None:
    engine.load("batches:Columnwise", write("batches.py", BATCHES).parent)
    engine.begin()
    segment = engine.add_segment(1 << 16) if shared else None
    answers = engine.process([(k, {"det": stins(k, first=k)}) for k in range(10)], segment=segment)
    assert [a.kind for a in answers.answers] == [COLUMN_ROW] * 10
    assert answers.columns["sum"].tolist() == [15 + 6 * k for k in range(10)]
    assert answers.columns["number"].tolist() == list(range(10))
    assert answers.columns["corner"].tolist() == [[k, k + 1] for k in range(10)]
    assert answers.released
    large = engine.process(
        [(k, {"det": stins(k, (64, 64))}) for k in range(10)], segment=engine.add_segment(1 << 20)
    )
    assert large.answers[0].kind == HAS_FAILED
    uneven = engine.process([(8, {"det": stins(8)}), (9, {"det": ("STINS", ["{}", b"short"])})])
    assert [a.kind for a in uneven.answers] == [VALUE, HAS_FAILED]
    assert "event 9, stream 'det'" in uneven.answers[1].content


def test_large_columns_may_be_frames(engine: Engine, write: Write) -> None:
    path = write(
        "whole.py",
        """
        import dtranspose

        class Worker(dtranspose.Worker):
            def process_events(self, events, parameters, tick):
                return dtranspose.Columns(image=events.stack("det", 1, "uint16", (64, 64)))
        """,
    )
    engine.load("whole:Worker", path.parent)
    engine.begin()
    events = [(k, {"det": stins(k, (64, 64), first=k)}) for k in range(10)]
    answers = engine.process(events, segment=engine.add_segment(1 << 20))
    assert answers.columns["image"][:, 0, 0].tolist() == list(range(10))
    engine.ask(messages.FLUSH)
    assert answers.released is False and engine.released == [answers.batch], "once they were sent"


@pytest.mark.parametrize("shared", [False, True])
def test_columns_of_some_events(engine: Engine, write: Write, shared: bool) -> None:
    engine.load("batches:Some", write("batches.py", BATCHES).parent)
    engine.begin(["other", "det"])
    segment = engine.add_segment(1 << 16) if shared else None
    events: Any = [(0, {"det": ("STINS", ["{}"])})]
    events += [(k, {"other": ("x", [b"1" * k]), "det": stins(k, first=k)}) for k in range(1, 12)]
    events += [(12, {"other": ("x", [b"1", b"2"])}), (13, {})]
    answers = engine.process(events, segment=segment)
    assert [a.kind for a in answers.answers] == [EMPTY, *[COLUMN_ROW] * 11, EMPTY, EMPTY]
    assert answers.columns["sum"].tolist() == [15 + 6 * k for k in range(1, 12)]
    assert answers.columns["number"].tolist() == list(range(1, 12))
    nothing = engine.process(events[:1])
    assert [a.kind for a in nothing.answers] == [EMPTY] and nothing.columns["sum"].shape == (0,)


@pytest.mark.parametrize("name, kinds", [("Generator", "VFV"), ("List", "VFV"), ("TooFew", "VVV")])
def test_batch_calls_fail_event_by_event(engine: Engine, write: Write, name: str, kinds: str) -> None:
    engine.load(f"batches:{name}", write("batches.py", BATCHES).parent)
    engine.begin()
    answers = engine.process([(k, {}) for k in (1, 2, 3)])
    assert [a.kind for a in answers.answers] == [HAS_FAILED if k == "F" else VALUE for k in kinds]


KEEPS = """
    import dtranspose
    import numpy as np

    class Worker(dtranspose.Worker):
        kept = []

        def process_event(self, event, parameters, tick):
            if event.number == 1:
                self.kept.append(event.image())
            if event.number == 3:
                self.kept.clear()
                self.event = event
                return None
            if event.number == 4:
                self.event.image()
            try:
                event.image()[0] = 5
            except ValueError as e:
                return {"kept": [x.sum() for x in self.kept], "why": str(e)}
"""


def test_what_a_payload_keeps_is_not_released_until_it_lets_go(engine: Engine, write: Write) -> None:
    engine.load("keeps:Worker", write("keeps.py", KEEPS).parent)
    engine.begin()
    segment = engine.add_segment(1 << 16)
    first = engine.process([(1, {"det": stins(0)})], segment=segment)
    assert not first.released
    second = engine.process([(2, {"det": stins(1)})], segment=segment)
    assert second.released
    assert second.answers[0].content == {"kept": [15], "why": "assignment destination is read-only"}
    assert engine.released == []
    engine.process([(3, {"det": stins(2)})], segment=segment)
    engine.ask(messages.FLUSH)
    assert engine.released == [first.batch]
    (late,) = engine.process([(4, {"det": stins(2)})], segment=segment).answers
    assert late.kind == HAS_FAILED and "during the call" in late.content


def test_results_that_are_no_values_are_pickled_or_refused(engine: Engine, write: Write) -> None:
    path = write(
        "things.py",
        """
        import dtranspose

        class Thing:
            pass

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                return [complex(1, 2), lambda: 0, Thing()][event.number]
        """,
    )
    engine.load("things:Worker", path.parent)
    engine.begin()
    answers = engine.process([(0, {}), (1, {}), (2, {})]).answers
    assert [a.kind for a in answers] == [PICKLED, HAS_FAILED, PICKLED]
    assert pickle.loads(answers[0].content) == complex(1, 2)
    assert "cannot be pickled" in answers[1].content
    engine.load("things:Worker", path.parent, pickles=False)
    engine.begin()
    answers = engine.process([(2, {})]).answers
    assert answers[0].kind == HAS_FAILED and "things.Thing" in answers[0].content


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("gone:Worker", "", "No module named 'gone'"),
        ("there:Worker", "x = 1", "has no 'Worker'"),
        ("there:x", "x = 1", "is no class"),
        ("there", "", "names no class"),
        ("there:Worker", "class Worker(:\n", "SyntaxError"),
        ("there:Worker", "raise OSError('no such detector')", "no such detector"),
    ],
)
def test_what_cannot_be_loaded_is_told(engine: Engine, write: Write, name: str, text: str, said: str) -> None:
    path = write("there.py", text)
    with pytest.raises(HostFailed) as failed:
        engine.load(name, path.parent)
    assert said in failed.value.traceback
    path.write_text("import dtranspose\nclass Fine(dtranspose.Worker): pass\n")
    assert engine.load("there:Fine", path.parent)["kind"] == "dtranspose"


def test_loads_from_another_folder(engine: Engine, write: Write) -> None:
    """Modules of the same name in both."""
    text = "import dtranspose\nclass Worker(dtranspose.Worker):\n    def process_event(self, *_): return {}\n"
    for folder in ("first", "second", "first"):
        path = write(f"{folder}/same.py", text.format(repr(folder)))
        engine.load("same:Worker", path.parent)
        engine.begin()
        assert engine.process([(1, {})]).answers[0].content == folder
    with pytest.raises(HostFailed):
        engine.load("none:Worker", path.parent)
    with pytest.raises(HostFailed, match="no class has been loaded"):
        engine.begin()


def test_requests_before_their_time_are_refused(engine: Engine, write: Write) -> None:
    with pytest.raises(HostFailed, match="no class has been loaded"):
        engine.begin()
    engine.load("mean:Worker", write("mean.py", MEAN).parent)
    with pytest.raises(HostFailed, match="no scan has begun"):
        engine.process([(1, {})])
    with pytest.raises(HostFailed, match="unknown type 77"):
        engine.ask(77)


def test_reloads(engine: Engine, write: Write) -> None:
    worker = """
        import dtranspose
        from helpers.factor import FACTOR
        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                return event.number * FACTOR
    """
    path = write("src/worker.py", worker)
    factor = write("helpers/factor.py", "FACTOR = 2\n")
    directory = path.parent.parent
    engine.load("src.worker:Worker", directory)
    engine.begin()
    assert engine.process([(3, {})]).answers[0].content == 6
    factor.write_text("FACTOR = 5\n")
    engine.ask(messages.RELOAD)
    assert engine.process([(3, {})]).answers[0].content == 6, (
        "the running one stays until the next scan begins"
    )
    engine.begin()
    assert engine.process([(3, {})]).answers[0].content == 15


def test_a_reload_that_fails_leaves_what_runs(engine: Engine, write: Write) -> None:
    path = write("mean.py", MEAN)
    engine.load("mean:Worker", path.parent)
    engine.begin()
    good = path.read_text()
    for bad in ("class Worker(:\n", "import nowhere\n", "x = 1\n", "1 / 0\n"):
        path.write_text(bad)
        with pytest.raises(HostFailed):
            engine.ask(messages.RELOAD)
        assert engine.process([(1, {"det": stins(0)})]).answers[0].kind == VALUE
        engine.begin()
        assert engine.process([(1, {"det": stins(0)})]).answers[0].kind == VALUE
    path.write_text(good.replace("mean()", "sum()"))
    engine.ask(messages.RELOAD)
    engine.begin()
    assert engine.process([(1, {"det": stins(0)})]).answers[0].content["mean"] == 15.0


def test_results_of_the_old_class_still_travel_after_a_reload_that_failed(
    engine: Engine, write: Write
) -> None:
    path = write(
        "classes.py",
        """
        import dataclasses
        import dtranspose

        @dataclasses.dataclass
        class Reading:
            mean: float

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                return Reading(2.5)
        """,
    )
    engine.load("classes:Worker", path.parent)
    engine.begin()
    path.write_text("class Worker(:\n")
    with pytest.raises(HostFailed):
        engine.ask(messages.RELOAD)
    assert engine.process([(1, {})]).answers[0].kind == PICKLED


def test_results_of_the_old_class_still_travel_after_a_reload(engine: Engine, write: Write) -> None:
    """Until the next scan begins; then those of the new one do."""
    text = """
        import dataclasses
        import dtranspose
        from {package}part import Reading

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                import {package}part  # what code imports late is of its own age, too
                return Reading({package}part.NUMBER)
    """
    part = """
        import dataclasses

        NUMBER = {number}

        @dataclasses.dataclass
        class Reading:
            mean: float
    """
    for package in ("", "inner."):
        folder = package.replace(".", "/")
        path = write(f"{folder}classes.py", text.replace("{package}", package))
        other = write(f"{folder}part.py", part.replace("{number}", "1"))
        engine.load(f"{package}classes:Worker", path.parent if not package else path.parent.parent)
        engine.begin()
        other.write_text(other.read_text().replace("NUMBER = 1", "NUMBER = 2 "))
        engine.ask(messages.RELOAD)
        old = engine.process([(1, {})]).answers[0]
        engine.begin()
        new = engine.process([(1, {})]).answers[0]
        assert (old.kind, new.kind) == (PICKLED, PICKLED), (old.content, new.content)
        sys.path.insert(0, str(path.parent if not package else path.parent.parent))
        try:
            assert (pickle.loads(old.content).mean, pickle.loads(new.content).mean) == (1, 2)
        finally:
            sys.path.pop(0)


def test_context_lives_over_scans_and_is_closed(engine: Engine, write: Write) -> None:
    path = write(
        "keeper.py",
        """
        import dtranspose

        class Worker(dtranspose.Worker):
            def __init__(self, scan, parameters, context):
                super().__init__(scan, parameters, context)
                context["scans"] = context.get("scans", []) + [scan.id]

            def process_event(self, event, parameters, tick):
                return self.context["scans"]

            @classmethod
            def close(cls, context):
                open("closed", "w").write(str(context["scans"]))
        """,
    )
    engine.load("keeper:Worker", path.parent)
    engine.begin(scan="one")
    engine.begin(scan="two", worker="w3", tags=["fast"])
    assert engine.process([(1, {})]).answers[0].content == ["one", "two"]
    assert engine.ask(messages.CLOSE) is None
    assert engine.child.wait(PATIENCE) == 0
    assert (path.parent / "closed").read_text() == "['one', 'two']"


REDUCER = """
    import dtranspose
    import numpy as np

    class Reducer(dtranspose.Reducer):
        def __init__(self, scan, parameters, context):
            super().__init__(scan, parameters, context)
            self.means = dtranspose.GrowingArray()
            self.seen = []
            self.ticks = 0

        def process_result(self, result, parameters):
            self.seen.append((result.event_number, result.events, result.worker))
            if result.event_number >= 0:
                self.means[result.event_number] = result.content["mean"]
            self.publish = {"mean": self.means.copy(), "mean_attrs": {"units": "counts"}}
            self.publish["seen"] = str(self.seen)

        def timer(self, parameters):
            self.ticks += 1
            return 0.5 if self.ticks < 2 else None

        def finish(self, parameters):
            self.publish["finished"] = True
            self.publish["odd"] = {"kept": 1, "not": object(), 5: 6}
"""


def test_folds_and_publishes(engine: Engine, write: Write) -> None:
    engine.load("folds:Reducer", write("folds.py", REDUCER).parent, role="reducer")
    engine.begin()
    engine.send(messages.NAMES, {"kind": "worker", "first": 4, "names": ["w4", "w5"]})
    assert engine.published() == {}
    failures = engine.fold(
        [(2, {"mean": 5.0}, 1, 5, 1), (0, {}), (None, None), (3, pickle.dumps({"mean": 7.0}), 2, 4, 1)]
    )
    assert list(failures) == [1] and failures[1].endswith("KeyError: 'mean'")
    tree = engine.published()
    assert np.array_equal(tree["mean"], [np.nan, np.nan, 5.0, 7.0], equal_nan=True)
    assert tree["mean_attrs"] == {"units": "counts"}
    assert tree["seen"] == "[(2, 1, 'w5'), (0, 1, '0'), (-1, 1, '0'), (3, 2, 'w4')]"
    assert engine.published(if_changed=True) is None
    assert engine.ask(messages.TIMER) == {"seconds": 0.5}
    assert engine.ask(messages.TIMER) == {"seconds": None}
    engine.ask(messages.FINISH)
    tree = engine.published(if_changed=True)
    assert tree["finished"] is True and tree["odd"] == {"kept": 1}
    assert any("odd/not" in log["text"] for log in engine.logs)


def test_logs_are_bounded(engine: Engine, write: Write) -> None:
    path = write(
        "chatty.py",
        """
        import logging
        import dtranspose

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                for k in range(20000):
                    logging.getLogger("mine").warning("line %d", k)
        """,
    )
    engine.load("chatty:Worker", path.parent)
    engine.begin()
    engine.process([(1, {})])
    assert 200 <= len(engine.logs) < 2000
    assert engine.logs[0] == {"level": "warning", "logger": "mine", "text": "line 0"}


def test_ends_when_the_program_is_gone(engine: Engine, write: Write) -> None:
    engine.load("mean:Worker", write("mean.py", MEAN).parent)
    engine.connection.close()
    assert engine.child.wait(PATIENCE) == 0


def test_nothing_is_left_when_the_program_is_killed_in_a_busy_moment(write: Write, tmp_path: Path) -> None:
    path = write(
        "busy.py",
        """
        import dtranspose, os

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                open("busy", "w").close()
                while True:
                    pass
        """,
    )
    before = set(os.listdir("/dev/shm"))
    program = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from engine import *
engine = Engine()
print(engine.child.pid, flush=True)
engine.load("busy:Worker", {str(path.parent)!r})
engine.begin()
segment = engine.add_segment(1 << 20)
engine.process([(1, {{"det": stins(0)}})], segment=segment)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        wait_for((path.parent / "busy").exists)
        os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    assert set(os.listdir("/dev/shm")) == before


def test_says_which_event_it_was_at_when_it_died(engine: Engine, write: Write) -> None:
    path = write(
        "dies.py",
        """
        import dtranspose, os

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                if event.number == 12:
                    os._exit(7)
        """,
    )
    engine.load("dies:Worker", path.parent)
    engine.begin()
    mark = engine.add_progress()
    engine.process([(k, {}) for k in range(3)])
    assert mark[0] == 0
    with pytest.raises(BrokenConnection):
        engine.process([(k, {}) for k in range(10, 15)])
    assert mark.tolist() == [2, 2]
    assert engine.child.wait(PATIENCE) == 7


def test_circles_of_large_arrays_do_not_pile_up(engine: Engine, write: Write) -> None:
    path = write(
        "circles.py",
        """
        import resource
        import numpy as np
        import dtranspose

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                circle = [np.ones(1 << 18)]
                circle.append(circle)
                return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        """,
    )
    engine.load("circles:Worker", path.parent)
    engine.begin()
    used = [engine.process([(n, {})]).answers[0].content for n in range(2000)]
    assert used[-1] < 2000 * 2 * 0.6, "MiB; all of them together would take 4000"


def test_messages_sent_ahead_are_answered_in_order(engine: Engine, write: Write) -> None:
    """Small and large ones, in one write, with a segment's descriptor in their midst."""
    path = write(
        "sizes.py",
        """
        import dtranspose

        class Worker(dtranspose.Worker):
            def process_event(self, event, parameters, tick):
                frame = event["det"].frames[0]
                return {"size": len(frame), "last": frame[-1], "again": bytes(frame)}
        """,
    )
    engine.load("sizes:Worker", path.parent)
    engine.begin()
    engine.type_number("x")
    sizes = [1, 100, 1 << 16, (1 << 16) - 200, 3 << 20, 5, 1 << 17, 65480, 65481, 65530]
    segment = engine.add_segment(1 << 23)
    packed = [engine.pack([(k, {"det": ("x", [b"\7" * n])})], segment=segment if k % 3 == 1 else None)
              for k, n in enumerate(sizes)]  # fmt: skip

    def send() -> None:
        for k, parts in enumerate(packed):
            engine.connection.send(messages.BATCH, 1000 + k, parts)
            if k == 4:
                engine.send(messages.SEGMENT, {"segment": 9, "size": segment.size}, [segment.fd])

    sender = threading.Thread(target=send)
    sender.start()
    for k, n in enumerate(sizes):
        reply = engine.reply()
        (answer,) = messages.AnswersMessage(reply.body).answers
        assert (reply.id, answer.content["size"], answer.content["last"]) == (1000 + k, n, 7)
        assert answer.content["again"] == b"\7" * n
    sender.join()
    late = engine.pack([(1, {"det": ("x", [b"\7" * 10])})], segment=segment)
    late = [late[0], *late[1:3], bytes(late[3]).replace(b"\1\0\0\0", b"\x09\0\0\0", 1), *late[4:]]
    assert engine.exchange(messages.BATCH, late).answers[0].content["size"] == 10


def test_a_killed_host_takes_nothing_along(engine: Engine, write: Write) -> None:
    engine.load("mean:Worker", write("mean.py", MEAN).parent)
    engine.begin()
    segment = engine.add_segment(1 << 16)
    events = [(1, {"det": stins(0)})]
    assert engine.process(events, segment=segment).answers[0].content["mean"] == 2.5
    engine.child.kill()
    with pytest.raises(BrokenConnection):
        engine.process(events, segment=segment)
    with Engine() as other:  # the next one gets the same memory, as it is
        other.load("mean:Worker", write("mean.py", MEAN).parent)
        other.begin()
        other.send(messages.SEGMENT, {"segment": segment.number, "size": segment.size}, [segment.fd])
        parts = engine.pack(events, segment=segment)
        other.type_number("STINS")
        assert other.exchange(messages.BATCH, parts).answers[0].content["mean"] == 2.5


def test_segments_can_be_dropped(engine: Engine, write: Write) -> None:
    engine.load("mean:Worker", write("mean.py", MEAN).parent)
    engine.begin()
    segment = engine.add_segment(1 << 16)
    assert engine.process([(1, {"det": stins(0)})], segment=segment).answers[0].kind == VALUE
    engine.send(messages.DROP_SEGMENT, {"segment": segment.number})
    wait_for(lambda: engine.ask(messages.FLUSH).answers[0].kind == EMPTY)
    assert "dtranspose frames" not in Path(f"/proc/{engine.child.pid}/maps").read_text()


def test_a_connection_that_speaks_something_else_ends_it(engine: Engine) -> None:
    engine.connection.socket.sendall(b"\xff" * 64)
    with pytest.raises(BrokenConnection):
        engine.reply()


def test_payloads_answer_as_pickles(engine: Engine, write: Write) -> None:
    path = write(
        "legacy.py",
        """
        class W:
            def __init__(self, *args, **kwargs):
                self.names = sorted(kwargs)
            def process_event(self, event, parameters=None, *args, **kwargs):
                return (event.event_number, self.names, event.streams["det"].frames[0][:5])
        """,
    )
    assert engine.load("legacy:W", path.parent)["kind"] == "dranspose"
    assert engine.begin() == {"tick_interval": None}
    answers = engine.process([(1, {"det": stins(0)})], segment=engine.add_segment(4096))
    assert answers.released
    assert unpickled(answers) == [(1, ["context", "parameters", "state"], b'{"hty')]
