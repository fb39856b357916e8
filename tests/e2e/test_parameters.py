"""Parameters that are set while a scan runs: by REST, between two events, and never half."""

import json

import pytest

from cluster import wait_until

FRAMES = 600


@pytest.fixture
def scan(cluster):
    """Everything, at work on slow streams, with the analysis `roi`."""
    cluster.configure(analysis="roi", parameters={"rows": "0:1"}, output="out.h5",
                      simulate=[{"stream": "det", "frames": FRAMES, "rate": "400Hz", "shape": [8, 8]}])
    cluster.start_all()
    return cluster


def parameter(cluster, name):
    answer = cluster.ask("GET", f"parameter/{name}")
    return answer.content if answer.status_code == 200 else answer.status_code


def set_parameter(cluster, name, data, **query):
    return cluster.ask("POST", f"parameter/{name}", data=data, params=query)


def test_they_are_listed_and_have_their_initial_values(scan):
    listed = {p["name"]: p for p in scan.get("parameters")}
    assert list(listed) == sorted(listed)
    assert listed["dump_prefix"] == {"name": "dump_prefix", "description": "Prefix to dump ingester values",
                                     "dtype": "str", "default": ""}
    assert listed["rows"]["dtype"] == "str" and listed["rows"]["description"]
    assert parameter(scan, "rows") == b"0:1"
    assert parameter(scan, "columns") == listed["columns"]["default"].encode()
    assert parameter(scan, "no_such") == 404


def test_what_does_not_parse_is_refused_and_the_old_one_stays(scan):
    answer = set_parameter(scan, "rows", "nonsense")
    assert answer.status_code == 422 and "rows" in answer.json()["detail"]
    assert set_parameter(scan, "rows", b"\xff\xfe").status_code == 422
    assert parameter(scan, "rows") == b"0:1"
    first = set_parameter(scan, "unheard/of".replace("/", "_"), b"\x00\x01").json()
    assert len(first) == 64 and parameter(scan, "unheard_of") == b"\x00\x01"
    second = set_parameter(scan, "rows", "0:2").json()
    assert second != first
    assert scan.get("config")["parameters_hash"] == second


@pytest.mark.parametrize("spread", [False, True], ids=["one process", "a process per role"])
def test_a_change_in_mid_scan_reaches_everybody(cluster, spread):
    cluster.configure(analysis="roi", parameters={"rows": "0:1"}, output="out.h5",
                      simulate=[{"stream": "det", "frames": FRAMES, "rate": "400Hz", "shape": [8, 8]}])
    cluster.start_parts() if spread else cluster.start_all()
    simulated = cluster.simulate()
    cluster.wait_for_events(50)
    hashes = [set_parameter(cluster, "rows", f"0:{n}").json() for n in (2, 3, 4)]
    assert len(set(hashes)) == 3

    def everybody_has_it():
        config = cluster.get("config")
        parts = [config["reducer"], *config["workers"]]
        return config["parameters_hash"] == hashes[-1] and all(p["parameters_hash"] == hashes[-1] for p in parts)

    wait_until(everybody_has_it, "everybody to have the parameters")
    done = cluster.wait_for_end()
    assert simulated.wait() == 0
    assert done["fates"]["folded"] == FRAMES
    changes = cluster.get("ledger")["parameters"]
    assert [c["values"].get("rows") for c in changes] == ["0:1", "0:2", "0:3", "0:4"]
    versions = [c["version"] for c in changes]
    assert versions == list(range(versions[0], versions[0] + 4))


def test_a_scan_begins_with_what_was_set_before(scan):
    set_parameter(scan, "rows", "1:3")
    simulated = scan.simulate()
    scan.wait_for_end()
    assert simulated.wait() == 0
    assert [c["values"]["rows"] for c in scan.get("ledger")["parameters"]] == ["1:3"]


def test_recordings_go_where_the_prefix_says(scan):
    prefix = scan.folder / "deep" / "run_"
    set_parameter(scan, "dump_prefix", str(prefix))
    simulated = scan.simulate()
    scan.wait_for_end()
    assert simulated.wait() == 0
    uuid = scan.get("progress")["scan"]
    names = {p.name for p in (scan.folder / "deep").iterdir()}
    assert names == {f"run_det-ingester-{uuid}.cbors", f"run_mapping-{uuid}.json", f"run_parameters-{uuid}.json"}
    kept = json.loads((scan.folder / "deep" / f"run_parameters-{uuid}.json").read_text())
    assert {"name": "rows", "data": "0:1"} in kept
    mapping = json.loads((scan.folder / "deep" / f"run_mapping-{uuid}.json").read_text())
    assert mapping == scan.get("sequence")


def test_rows_keep_their_form_throughout_a_scan(cluster, tmp_path):
    """What would change it is refused as long as a scan is on, and taken afterwards."""
    poni = tmp_path / "one.poni"
    poni.write_text("Detector: Detector\nDetector_config: {\"pixel1\": 1e-4, \"pixel2\": 1e-4}\nDistance: 0.1\n"
                    "Poni1: 0\nPoni2: 0\nRot1: 0\nRot2: 0\nRot3: 0\nWavelength: 1e-10\n")
    cluster.configure(analysis="azint", parameters={"poni": str(poni), "bins": "10"}, output="out.h5",
                      simulate=[{"stream": "det", "frames": FRAMES, "rate": "400Hz", "shape": [8, 8]}])
    cluster.start_all()
    simulated = cluster.simulate()
    cluster.wait_for_events(20)
    answer = set_parameter(cluster, "bins", "20")
    assert answer.status_code == 409 and "intensity" in answer.json()["detail"], answer.text
    assert parameter(cluster, "bins") == b"10"
    assert set_parameter(cluster, "polarisation", "0.9").status_code == 200
    done = cluster.wait_for_end()
    assert simulated.wait() == 0
    assert done["fates"]["folded"] == FRAMES, cluster.get("ledger")
    assert set_parameter(cluster, "bins", "20").status_code == 200
