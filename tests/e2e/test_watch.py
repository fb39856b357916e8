"""What monitoring systems and people at 3 a.m. ask for: health, numbers, log."""

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
    assert set(cluster.get("streams")) == {"det"}
