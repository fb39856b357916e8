"""What a person meets who types a command, and gets something wrong or leaves it out."""

import json
import re

import pytest

from cluster import Process
from files import assert_same_content, write_dump


@pytest.fixture
def xrd(recording):
    return recording("dump_xrd.cbors")


def run(folder, *arguments):
    process = Process(arguments[0], folder, *arguments)
    try:
        process.wait()
        return process
    finally:
        process.end()


def one_each(count):
    return [[{"constraint": event}] for event in range(count)]


# --- a scan of which nothing came ----------------------------------------------------------------

def test_a_replay_of_which_every_event_fails_says_so_in_its_status(xrd, tmp_path):
    process = run(tmp_path, "replay", xrd, "--json", "--analysis", "histogram", "--param", "signal=xrd:nothing")
    assert process.child.returncode == 3, process.report()
    assert process.summary["state"] == "finished" and process.summary["failed"] == 9
    assert "nothing came of it: 9 events failed" in process.log
    assert "events 1 to 9 failed: stream 'xrd': no number 'nothing'" in process.log


def test_an_analysis_that_answers_nothing_is_no_failure(xrd, tmp_path):
    process = run(tmp_path, "replay", xrd, "--json", "--analysis", "none")
    assert process.child.returncode == 0, process.report()
    assert "nothing" not in process.log


def test_a_simulation_of_which_every_event_fails_says_so_in_its_status(cluster):
    cluster.configure(analysis="histogram", parameters={"signal": "det:nothing"},
                      simulate=[{"stream": "det", "frames": 20, "rate": "0"}])
    cluster.start_all()
    simulated = cluster.simulate()
    assert simulated.wait() == 3, simulated.report()
    assert "nothing came of it: 20 events failed" in simulated.log
    assert "stream det: prepares 20 frames of stins" in simulated.log
    assert simulated.summary["state"] == "finished"
    troubles = cluster.get("ledger")["troubles"]
    assert [(t["first"], t["last"]) for t in troubles] == [(1, 20)], "neighbours of one cause are one"
    cluster.bury(simulated)


# --- streams that there are not ------------------------------------------------------------------

def test_a_parameter_that_names_no_stream_is_refused(cluster):
    cluster.configure(streams=("det", "alba"), analysis="roi")
    cluster.start_all()
    answer = cluster.ask("POST", "parameter/stream", data="dett")
    assert answer.status_code == 422
    assert "there is no stream 'dett'; there are det, alba" in answer.text
    assert cluster.ask("GET", "parameter/stream").content == b""
    assert cluster.ask("POST", "parameter/stream", data="alba").status_code == 200


def test_a_scan_whose_configuration_names_no_stream_is_refused(cluster):
    cluster.configure(analysis="sort", parameters={"signal": "det:sum", "x": "contrast:sx", "x_grid": "0:1:2"})
    cluster.start_all()
    answer = cluster.post_map({"det": one_each(2)})
    assert answer.status_code == 400
    assert "parameter 'x': there is no stream 'contrast'; there are det" in answer.text


def test_a_recording_that_cannot_be_is_refused_when_it_is_asked_for(cluster, tmp_path):
    (tmp_path / "file").write_text("no folder")
    cluster.configure()
    cluster.start_all()
    answer = cluster.ask("POST", "parameter/dump_prefix", data=str(tmp_path / "file" / "deep" / "run7_"))
    assert answer.status_code == 422
    assert "parameter 'dump_prefix'" in answer.text and f"{tmp_path}/file is no folder" in answer.text
    assert cluster.ask("POST", "parameter/dump_prefix", data=str(tmp_path / "made" / "run7_")).status_code == 200
    assert not (tmp_path / "made").exists()
    assert cluster.ask("POST", "parameter/dump_prefix", data="").status_code == 200


# --- check ---------------------------------------------------------------------------------------

def test_check_tells_all_that_is_wrong_with_an_analysis_and_where(tmp_path):
    (tmp_path / "file").write_text("no folder")
    config = tmp_path / "site.toml"
    config.write_text("""
[[stream]]
name = "det"
protocol = "stins"
url = "tcp://127.0.0.1:5555"

[recording]
directory = "file/recordings"

[analysis]
use = ["sort"]

[analysis.sort]
signal = "dett:sum"
x = "sx"
x_grid = "0:1"
y = "det:y"
y_grid = "1:2:3"
i0 = "alba:channel1"
sgnal = "det:sum"
""")
    process = run(tmp_path, "check", config)
    assert process.child.returncode == 1
    found = {int(place[1]): line for line in process.log.splitlines() if (place := re.search(r"site.toml:(\d+): ", line))}
    assert sorted(found) == [8, 14, 15, 16, 19, 20], process.log
    assert "[recording] directory" in found[8] and "is no folder" in found[8]
    assert "[analysis.sort] signal" in found[14] and "there is no stream 'dett'; there are det" in found[14]
    assert "'x'" in found[15]
    assert "'x_grid'" in found[16]
    assert "'alba'" in found[19]
    assert "'sgnal'" in found[20]


def test_check_says_where_an_analysis_is_that_there_is_not(tmp_path):
    config = tmp_path / "site.toml"
    config.write_text('[analysis]\nuse = ["rio"]\n')
    process = run(tmp_path, "check", config)
    assert process.child.returncode == 1 and "site.toml:2: [analysis] use: " in process.log and "rio" in process.log


def test_files_in_parameters_are_looked_for_beside_the_configuration(tmp_path):
    beside = tmp_path / "deep"
    beside.mkdir()
    (beside / "site.toml").write_text('[analysis]\nuse = ["azint"]\n[analysis.azint]\nponi = "geometry.poni"\n')
    process = run(tmp_path, "check", "deep/site.toml")
    assert process.child.returncode == 1 and "geometry.poni" in process.log
    poni = ("Detector_config: {\"pixel1\": 1e-4, \"pixel2\": 1e-4, \"max_shape\": [10, 10]}\nDetector: Detector\n"
            "poni_version: 2\nDistance: 0.1\nPoni1: 0.0005\nPoni2: 0.0005\nRot1: 0\nRot2: 0\nRot3: 0\n"
            "Wavelength: 1e-10\n")
    (beside / "geometry.poni").write_text(poni)
    process = run(tmp_path, "check", "deep/site.toml")
    assert process.child.returncode == 0, process.report()
    (beside / "geometry.poni").rename(tmp_path / "geometry.poni")
    assert run(tmp_path, "check", "deep/site.toml").child.returncode == 0, "else where one is"


# --- replay --------------------------------------------------------------------------------------

def test_a_replay_takes_the_analysis_of_a_configuration(xrd, tmp_path):
    config = tmp_path / "site.toml"
    config.write_text('[analysis]\nuse = ["roi"]\n[analysis.roi]\nrows = "0:2"\n')
    process = run(tmp_path, "replay", xrd, "--config", config, "--output", "configured.h5")
    assert process.child.returncode == 0, process.report()
    assert "9 folded" in process.out and "nothing is analysed" not in process.log
    run(tmp_path, "replay", xrd, "--analysis", "roi", "--param", "rows=0:2", "--output", "told.h5")
    assert_same_content(tmp_path / "configured.h5", tmp_path / "told.h5")
    process = run(tmp_path, "replay", xrd, "--config", config, "--param", "rows=0:20")
    assert process.child.returncode == 3, "--param wins: " + process.report()


def test_a_replay_that_analyses_nothing_says_so(xrd, tmp_path):
    process = run(tmp_path, "replay", xrd)
    assert process.child.returncode == 0, process.report()
    assert "nothing is analysed: say what to do with --analysis NAME" in process.log


def test_what_lies_beside_recordings_is_left_out_of_a_replay(xrd, tmp_path):
    def pixel(value):
        return {"det": ("STINS", [json.dumps({"htype": "image", "frame": value, "shape": [1, 1], "type": "uint16",
                                              "compression": "none"}).encode(), bytes([value, 0])])}
    write_dump(tmp_path / "run7_det-ingester-1.cbors", [(e, pixel(e), None) for e in range(3)])
    (tmp_path / "run7_mapping-1.json").write_text('{"parts": {}, "sequence": []}')
    (tmp_path / "run7_parameters-1.json").write_text('[{"name": "rows", "data": "0:1"}]')
    process = run(tmp_path, "replay", *sorted(tmp_path.glob("run7_*")), "--analysis", "roi", "--json")
    assert process.child.returncode == 0, process.report()
    assert process.summary["events"] == 3
    assert "run7_mapping-1.json is the trigger map of a recorded scan" in process.log
    assert "run7_parameters-1.json has the parameters of a recorded scan" in process.log


# --- analyses ------------------------------------------------------------------------------------

def test_one_analysis_is_shown_alone(tmp_path):
    process = run(tmp_path, "analyses", "cog")
    assert process.child.returncode == 0 and process.out.startswith("cog: ")
    assert "roi: " not in process.out
    listed = run(tmp_path, "analyses", "cog", "--json").summary["analyses"]
    assert [a["name"] for a in listed] == ["cog"]
    process = run(tmp_path, "analyses", "gog")
    assert process.child.returncode == 1 and "gog" in process.log and "cog" in process.log
