"""Payloads that were written for dranspose run as they are."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from engine import Engine, unpickled

import dtranspose
from dtranspose import compat, messages
from dtranspose.parts import fitted
from dtranspose.recording import read_capture, read_events

#: Means of the top right corner of the nine images of dump_xrd.cbors, events 1 to 9.
MEANS = [9.25, 11.25, 11.75, 4.25, 2.25, 3.0, 4.75, 7.75, 10.75]
HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    compat.install()
    yield
    for name in [n for n in sys.modules if n.startswith("payloads")]:
        del sys.modules[name]


def run(recording: Any, **more: Any) -> dtranspose.Outcome:
    return dtranspose.replay(
        recording, "payloads.tutorial_worker:RoiWorker", "payloads.tutorial_reducer:RoiReducer", **more
    )


def test_the_tutorial_runs_on_the_recording(recordings: Path) -> None:
    h5py = pytest.importorskip("h5py")
    outcome = run(recordings / "dump_xrd.cbors", workers=3)
    assert outcome.failed == {}
    assert (outcome.events, outcome.folded, outcome.empty) == (11, 10, 1)
    assert outcome.published["means"][1:].tolist() == MEANS
    with h5py.File("output/xrd_processed.h5") as file:
        assert file["reduced"][1:].tolist() == MEANS
        assert file["till_row"][()] == 2
    with h5py.File("output/xrd_processed.h5.tree.h5") as file:
        assert file["means"][1:].tolist() == MEANS
        assert file["means"].attrs["units"] == "counts" and file.attrs["default"] == "means"
    begins = [e for e, _, _ in outcome.reducer.order].count(0)
    assert begins == 3, "the start goes to every worker"
    assert outcome.reducer.timer_calls > 0
    assert {h for _, _, h in outcome.reducer.order} == {outcome.parameters.hash}
    assert sorted({w for _, w, _ in outcome.reducer.order}) == [f"replay-worker-{k}" for k in range(3)]
    for worker in outcome.workers:
        assert worker.context == {"made": 1, "finished": 2, "closed": True}
    readings = [r.payload for r in outcome.results if r.event_number]
    assert all(r.corner[1] == (2, 2) and isinstance(r.corner, tuple) for r in readings)
    assert any(r.tick for r in readings)


def test_parameters_reach_it_typed(recordings: Path) -> None:
    pytest.importorskip("h5py")
    outcome = run(
        recordings / "dump_xrd.cbors", parameters={"till_row": 3, "from_column": b"7", "folder": "there"}
    )
    means = [8.88889, 8.66667, 8.11111, 6, 6.66667, 8.22222, 10.6667, 12.4444, 14.3333]
    assert outcome.published["means"][1:] == pytest.approx(means, abs=1e-4)
    assert Path("there/xrd_processed.h5").exists()


def test_the_means_are_those_of_the_region(recordings: Path) -> None:
    """The same figures without any payload: what `roi` gives with rows 0:2 and columns 8:10."""
    images = [e.image("xrd") for e in read_events(recordings / "dump_xrd.cbors")]
    assert [float(i[0:2, 8:10].mean()) for i in images if i is not None] == MEANS


def test_from_the_command_line(recordings: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    from dtranspose.replaying import main

    Path("p.json").write_text('[{"name": "till_row", "data": "3"}, {"name": "unknown", "data": "x"}]')
    arguments = [
        "--worker",
        "payloads.tutorial_worker:RoiWorker",
        "--reducer",
        "payloads.tutorial_reducer:RoiReducer",
    ]
    assert main([str(recordings / "dump_xrd.cbors"), *arguments, "-p", "p.json"]) == 0
    assert capfd.readouterr().out == "11 events: 10 folded, 1 empty, 0 failed\n"
    assert main([*arguments, "--source", "payloads.tutorial_source:Source", "--param", "stream=nobody"]) == 1
    assert main([str(recordings / "gone.cbors"), *arguments]) == 1
    assert "gone.cbors" in capfd.readouterr().err


def test_a_source_of_ones_own() -> None:
    from payloads.tutorial_source import Source

    outcome = dtranspose.replay(
        Source().get_source_generators(), "payloads.tutorial_worker:RoiWorker", batch=1
    )
    assert outcome.failed == {}
    payloads = {r.event_number: r.payload for r in outcome.results}
    assert payloads[0].filename == ""
    assert [payloads[k].mean for k in range(1, 5)] == [0.0, 1.0, 2.0, 3.0]
    assert outcome.empty == 1


def test_in_the_host(engine: Engine, recordings: Path, tmp_path: Path) -> None:
    """Worker and reducer each in a real process of its own, as live."""
    h5py = pytest.importorskip("h5py")
    events = [
        (e.number, {n: (s.typ, s.frames) for n, s in e.streams.items()})
        for e in read_events(recordings / "dump_xrd.cbors")
    ]
    told = engine.load("payloads.tutorial_worker:RoiWorker", HERE)
    assert told["kind"] == "dranspose"
    assert [p["name"] for p in told["parameters"]] == ["till_row", "from_column", "stream", "careful"]
    assert engine.begin(["xrd"], worker="w7") == {"tick_interval": 0.0}
    segment = engine.add_segment(1 << 16)
    answers = engine.process(events, segment=segment, ticks=[4])
    assert [a.kind for a in answers.answers] == [messages.PICKLED] * 10 + [messages.EMPTY]
    assert answers.released and answers.tick_interval == 0.0
    assert engine.ask(messages.FINISH).answers[0].kind == messages.EMPTY
    sys.path.insert(0, str(HERE))
    readings = unpickled(answers)
    assert [r.mean for r in readings[1:10]] == MEANS and readings[4].tick and not readings[5].tick
    with Engine() as other:
        folder = str(tmp_path / "out")
        loaded = other.load(
            "payloads.tutorial_reducer:RoiReducer", HERE, role="reducer", parameters=told["parameters"]
        )
        assert [p["name"] for p in loaded["parameters"]] == [
            "folder",
            "till_row",
            "from_column",
            "stream",
            "careful",
        ]
        assert other.begin(["xrd"], parameters={"folder": folder}) == {"timer": True}
        other.send(messages.NAMES, {"kind": "worker", "first": 0, "names": ["w7"]})
        contents = [(k, a.content) for k, a in enumerate(answers.answers) if a.kind == messages.PICKLED]
        assert other.fold(contents) == {}
        assert other.ask(messages.TIMER) == {"seconds": 0.001}
        assert other.published()["means"][1:].tolist() == MEANS
        other.ask(messages.FINISH)
        with h5py.File(f"{folder}/xrd_processed.h5") as file:
            assert file["reduced"][1:].tolist() == MEANS


def mesh(recordings: Path) -> list[Any]:
    """The events of a scan of two streams: (number, {stream: (type, frames)})."""
    said = [m for m in read_capture(recordings / "contrast-dump.cbors") if b"heartbeat" not in bytes(m[0])]
    parts = list(read_capture(recordings / "xspress3-dump.cbors"))
    spectra = [parts[0], *(parts[k] + parts[k + 1] + parts[k + 2] for k in range(1, 61, 3)), parts[61]]
    return [
        (k, {"contrast": ("contrast", c), "xspress3": ("xspress", x)})
        for k, (c, x) in enumerate(zip(said, spectra))
    ]


def test_a_map_of_two_streams(engine: Engine, recordings: Path) -> None:
    """Positions and spectra of a mesh of 4 x 5 points: in the harness, and through shared memory."""
    events = mesh(recordings)
    assert len(events) == 22
    source = [
        SimpleNamespace(
            event_number=k, streams={n: dtranspose.StreamData(t, f) for n, (t, f) in streams.items()}
        )
        for k, streams in events
    ]
    name = "payloads.fluorescence:Fluorescence"
    outcome = dtranspose.replay([source], f"{name}Worker", f"{name}Reducer", workers=3)
    assert (outcome.failed, outcome.folded, outcome.empty) == ({}, 21, 1)
    tree = outcome.published
    spectra = [e["xspress3"].parse() for e in (dtranspose.Event(0, s.streams) for s in source[1:21])]
    expected = sum((x.data[:, 0:20].sum(1) * x.meta["dtc"] * x.exptime).sum() for x in spectra)
    assert tree["total"] == pytest.approx(expected) and expected > 0
    assert len(tree["map"]) == 20 and tree["title"].startswith("mesh sx -2 2 3 sy -2 2 4")

    engine.load(f"{name}Worker", HERE)
    engine.begin(["contrast", "xspress3"])
    answers = engine.process(events, segment=engine.add_segment(1 << 22))
    assert answers.released
    results = {
        k: pickle.loads(a.content) for k, a in enumerate(answers.answers) if a.kind == messages.PICKLED
    }
    replayed = {r.event_number: r.payload for r in outcome.results}
    assert results == replayed and len(results) == 21
    with Engine() as other:
        other.load(f"{name}Reducer", HERE, role="reducer")
        assert other.begin() == {"timer": False}
        assert other.fold([(k, pickle.dumps(r)) for k, r in results.items()]) == {}
        shown = other.published()
        assert shown["total"] == pytest.approx(expected) and shown["map"] == {}, (
            "keys that are no texts are skipped"
        )
        assert sorted(shown["points"]["x"]) == sorted(tree["points"]["x"])


class Calls:
    """The forms in which people have declared process_event."""

    def full(self, event: Any, parameters: Any, tick: Any) -> Any:
        return event, parameters, tick

    def tutorial(self, event: Any, *args: Any, parameters: Any = None, **kwargs: Any) -> Any:
        return event, parameters, kwargs["tick"]

    def absorbing(self, event: Any, parameters: Any = None, *args: Any, **kwargs: Any) -> Any:
        return event, parameters, args[0]

    def two(self, event: Any, parameters: Any = None) -> Any:
        return event, parameters, 3

    def one(self, event: Any) -> Any:
        return event, 2, 3

    def anything(self, *args: Any, **kwargs: Any) -> Any:
        return args

    def by_name(self, event: Any, **kwargs: Any) -> Any:
        return event, kwargs["parameters"], kwargs["tick"]

    def only_tick(self, event: Any, parameters: Any, *, tick: Any) -> Any:
        return event, parameters, tick


@pytest.mark.parametrize("name", [n for n in vars(Calls) if not n.startswith("_")])
def test_is_called_with_what_it_takes(name: str) -> None:
    assert tuple(fitted(getattr(Calls(), name), ("event", "parameters", "tick"))(1, 2, 3)) == (1, 2, 3)


@pytest.mark.skipif(compat.which() == "real", reason="dranspose itself is installed")
def test_names_and_classes_are_there() -> None:
    import dranspose.helpers.incremental
    from dranspose.data.lecroy import LecroyParsed
    from dranspose.data.positioncap import PositionCapValues
    from dranspose.event import EventData, InternalWorkerMessage, StreamData
    from dranspose.middlewares import (
        contrast,
        eiger_legacy,
        lecroy,
        pcap,
        positioncap,
        sardana,
        stream1,
        xspress,
    )
    from dranspose.protocol import (
        EventNumber,
        ReducerState,
        StreamName,
        WorkerName,
        WorkerState,
        WorkParameter,
    )

    for module in (contrast, eiger_legacy, lecroy, pcap, sardana, stream1, xspress):
        assert callable(module.parse)
    parser = positioncap.PositioncapParser()
    head = "arm_time: 2023-12-19T07:51:12.754Z\nfields:\n A uint32 Value\n B.VAL double Mean scale: 1\n\n"
    parser.parse(StreamData(typ="PCAP_RAW", frames=[head.encode()]))
    row = parser.parse(StreamData(typ="PCAP_RAW", frames=[b" 301989857 -2.5e-07\n"]))
    assert isinstance(row, PositionCapValues) and not isinstance(row, LecroyParsed)
    assert row.fields["A.Value"].value == 301989857 and row.fields["B.VAL.Mean"].value == -2.5e-07
    first = InternalWorkerMessage(
        event_number=EventNumber(1), streams={StreamName("a"): StreamData("x", [b"1"])}
    )
    event = EventData.from_internals([first])
    frame = event.streams["a"].frames[0]
    assert frame == b"1" and frame.bytes == b"1" and bytes(frame.buffer) == b"1"
    assert event.streams["a"].length == 1 and event.event_number == 1
    with pytest.raises(ValueError, match="stream"):
        EventData.from_internals([first, first])
    assert WorkerState(name=WorkerName("w")).name == "w" and ReducerState().__dict__ == {}
    assert WorkParameter(name="a", data=b"x").value is None
    buffer = dranspose.helpers.incremental.IncrementalBuffer(initial_rows=1, filler_value=-1)
    assert buffer.is_empty()
    for k in (2, 0):
        buffer.add_entry(k, np.array([k, k], np.int16))
    assert buffer.preview().tolist() == [[0, 0], [-1, -1], [2, 2]]
    assert buffer.preview(no_gaps=True).tolist() == [[0, 0]]
    assert buffer.has_entry(2) and not buffer.has_entry(1) and buffer.shape == (3, 2)
    assert pickle.loads(pickle.dumps(WorkParameter)) is WorkParameter
    with pytest.raises(ImportError):
        import dranspose.controller  # noqa: F401
