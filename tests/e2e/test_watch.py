"""What monitoring systems and people at 3 a.m. ask for: health, numbers, log."""

import json
import re


def test_health_names_who_is_missing(cluster):
    cluster.configure()
    cluster.start("controller")
    cluster.wait_for(lambda: ask_health(cluster) is not None, "an answer")
    answer = cluster.ask("GET", "health")
    assert answer.status_code == 503
    assert answer.json() == {"alive": True, "ready": False, "missing": ["ingesters", "workers", "reducer"]}
    for role in ("ingester", "worker", "reducer"):
        cluster.start(role)
    cluster.wait_for_members()
    answer = cluster.ask("GET", "health")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)


def ask_health(cluster):
    try:
        return cluster.ask("GET", "health")
    except OSError:
        return None


def test_metrics_are_those_of_the_scan(cluster):
    cluster.configure(simulate=[{"stream": "det", "frames": 50, "rate": "0", "shape": [4, 4]}])
    cluster.start_all()
    simulated = cluster.simulate()
    cluster.wait_for_end()
    assert simulated.wait() == 0
    answer = cluster.session.get(f"{cluster.controller_url}/metrics", timeout=5)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    numbers = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert numbers["dtranspose_scan_completed_events"] == "52"
    assert numbers['dtranspose_scan_fates{fate="empty"}'] == "52"
    assert numbers['dtranspose_stream_verdicts{stream="det",verdict="ok"}'] == "52"
    for line in answer.text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .*|[a-z_]+(\{.*\})? [-+0-9.e]+', line), line
    families = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


def test_the_log_is_there_for_who_asks(cluster):
    cluster.configure()
    cluster.start_all()
    records = cluster.get("logs")
    assert any("has joined" in r["msg"] for r in records)
    assert all(set(r) == {"time", "levelname", "msg", "component"} for r in records)
    assert cluster.get("logs?level=error") == []
    answer = cluster.ask("GET", "logs?level=foo")
    assert answer.status_code == 422 and "WARNING" in answer.json()["detail"]
    assert set(cluster.get("streams")) == {"det"}


def test_what_goes_wrong_elsewhere_is_in_the_log_of_the_controller(cluster):
    cluster.configure()
    parts = cluster.start_parts(worker_processes=1)
    told = []
    with cluster.session.get(f"{cluster.controller_url}/api/v1/log_stream", stream=True, timeout=20) as stream:
        cluster.kill(parts["reducer"])
        for line in stream.iter_lines(chunk_size=1):
            told.append(json.loads(line))
            if told[-1]["component"].startswith("worker@"):
                break
    assert told[-1]["levelname"] == "WARNING" and "lost reducer@" in told[-1]["msg"]
    assert told[-1] in cluster.get("logs?level=warning")


def test_metrics_say_how_long_frames_took(cluster):
    cluster.configure(simulate=[{"stream": "det", "frames": 50, "rate": "0", "shape": [4, 4]}])
    cluster.start_all()
    assert cluster.simulate().wait() == 0
    cluster.wait_for_end()
    text = cluster.session.get(f"{cluster.controller_url}/metrics", timeout=5).text
    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    counts = [int(n) for name, n in numbers.items() if name.startswith('dtranspose_stream_latency_seconds_bucket{stream="det"')]
    assert counts == sorted(counts) and counts[-1] == 52
    assert numbers['dtranspose_stream_latency_seconds_count{stream="det"}'] == "52"
    assert 0 < float(numbers['dtranspose_stream_latency_seconds_sum{stream="det"}']) < 52 * 20
