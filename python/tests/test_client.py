"""The clients against real servers on the loopback."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from servers import Server, hdf_server

from dtranspose.client import Control, Dataset, Group, RequestFailed, Results

TREE = {
    "_attrs": {"default": "entry"},
    "live": 34,
    "title": "a scan",
    "entry": {
        "image": np.arange(24, dtype=">u2").reshape(4, 6),
        "image_attrs": {"units": "counts", "axes": ["y", "x"]},
        "names": ["I", "q", "ä"],
        "flags": np.array([True, False, True]),
        "a b": {"nan": np.array([np.nan, 1.0, -np.inf], "f4")},
        "rows": np.array([(1, 2.5), (3, 4.5)], [("n", "<i4"), ("x", "<f8")]),
        "empty": np.zeros((0, 3)),
    },
}


def test_reads_what_is_served() -> None:
    with hdf_server(TREE) as server:
        results = Results(server.url)
        assert results.keys() == ["live", "title", "entry"] and len(results) == 3
        assert results.attrs == {"default": "entry"}
        assert results["live"][()] == 34 and results["title"][()] == "a scan"
        image = results["entry/image"]
        assert isinstance(image, Dataset) and image.shape == (4, 6) and image.dtype == np.dtype(">u2")
        assert image.attrs == {"units": "counts", "axes": ["y", "x"]} and len(image) == 4
        some = np.s_[1:3, ::2], np.s_[..., 5], np.s_[3:3], np.s_[2:, -2:]
        for index in (np.s_[:], np.s_[...], np.s_[1], np.s_[-1, 2], *some):
            got = image[index]
            assert np.array_equal(got, TREE["entry"]["image"][index]), index  # type: ignore[index]
            assert np.shape(got) == np.shape(TREE["entry"]["image"][index])  # type: ignore[index]
        assert results["entry/names"][:].tolist() == ["I", "q", "ä"] and results["entry/names"][1] == "q"
        assert results["entry/flags"][:].tolist() == [True, False, True]
        group = results["entry"]
        assert isinstance(group, Group) and "a b/nan" in group and "none" not in group
        assert np.array_equal(group["a b/nan"][:], [np.nan, 1.0, -np.inf], equal_nan=True)
        assert results["entry/rows"][:]["x"].tolist() == [2.5, 4.5]
        tree = results.tree()
        assert (
            tree["live"] == 34
            and tree["entry"]["image"].shape == (4, 6)
            and tree["entry"]["empty"].shape == (0, 3)
        )
        selections = [
            q["select"] for _, p, q, _, _ in server.requests if "select" in q and p.endswith("value")
        ]
        assert "[1:3:1,0:6:2]" in selections


@pytest.mark.parametrize("index", [np.s_[4], np.s_[-5], np.s_[::-1], np.s_[0, 0, 0]])
def test_what_cannot_be_selected(index: Any) -> None:
    with hdf_server(TREE) as server, pytest.raises(IndexError):
        Results(server.url)["entry/image"][index]


def test_what_is_not_there() -> None:
    with hdf_server(TREE) as server:
        with pytest.raises(KeyError, match="there is no /entry/gone"):
            Results(server.url)["entry/gone/deeper"]
        with pytest.raises(KeyError, match="is no group"):
            Results(server.url)["live/x"]
        with pytest.raises(RequestFailed) as failed:
            Results(server.url, domain="/other")
        assert failed.value.status == 404 and failed.value.detail == "Domain not found"


def test_steers_a_scan() -> None:
    done = iter([False, False, True])

    def answer(method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> tuple[int, Any]:
        if headers.get("Authorization") != "Bearer secret":
            return 401, {"detail": "a token is needed"}
        if (method, path) == ("POST", "/api/v1/sequence"):
            parts = json.loads(body)["parts"]
            if "unknown" in parts.get("main", {}):
                return 400, {"detail": "streams {'unknown'} not available"}
            return 200, "d12fa0f4"
        if path == "/api/v1/progress":
            return 200, {"completed_events": 2, "finished": next(done)}
        if path == "/api/v1/parameters":
            return 200, [{"name": "rows", "dtype": "int", "default": 3, "description": None}]
        if path == "/api/v1/parameter/a b":
            return (200, b"\xff\0") if method == "GET" else (200, "0" * 64)
        return 200, {"path": path} if method == "GET" else None

    with Server(answer) as server:
        control = Control(server.url, token="secret")
        assert control.start({"det": [[{"constraint": 0}], None]}) == "d12fa0f4"
        assert control.start({"a": {"det": [[]]}}, ["a", "a"], wrap=False) == "d12fa0f4"
        first, second = server.requests[:2]
        assert json.loads(first[3]) == {
            "parts": {"main": {"det": [[{"constraint": 0}], None]}},
            "sequence": ["main"],
        }
        assert first[2] == {"all_wrap": "true"} and second[2] == {"all_wrap": "false"}
        assert first[4]["Content-Type"] == "application/json"
        assert control.wait(timeout=30, interval=0.001)["finished"] is True
        assert control.parameters()[0]["name"] == "rows"
        assert control.parameter("a b") == b"\xff\0"
        assert control.set_parameter("a b", 2.5) == "0" * 64 and server.requests[-1][3] == b"2.5"
        control.stop()
        assert server.requests[-1][:2] == ("POST", "/api/v1/stop")
        assert "form" not in server.requests[-1][4]["Content-Type"]
        for name in ("status", "ledger", "config", "sequence"):
            assert getattr(control, name)() == {"path": f"/api/v1/{name}"}
        with pytest.raises(RequestFailed, match="400 .*streams {'unknown'} not available"):
            control.start({"unknown": [[]]})
        with pytest.raises(RequestFailed, match="a token is needed"):
            Control(server.url).progress()


def test_waiting_has_an_end() -> None:
    with (
        Server(lambda *_: (200, {"finished": False})) as server,
        pytest.raises(TimeoutError, match="not finished"),
    ):
        Control(server.url).wait(timeout=0.0)


def test_nobody_there() -> None:
    with Server(lambda *_: (200, {})) as server:
        url = server.url
    with pytest.raises(OSError):
        Control(url, timeout=5).progress()
