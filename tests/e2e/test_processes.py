"""How processes start, are refused and end."""

import signal

import pytest

from cluster import Process, assert_ends, wait_until
from witness import one_each

SIGNALS = [signal.SIGTERM, signal.SIGINT]
ROLES = ["controller", "ingester", "worker", "reducer"]


def run(folder, *arguments):
    process = Process("command", folder, *arguments)
    try:
        process.wait()
    finally:
        process.end()
    return process


# --- refused -------------------------------------------------------------------------------------

@pytest.mark.parametrize("role", ["ingester", "worker", "reducer"])
def test_a_process_of_another_system_is_refused(cluster, role):
    cluster.configure()
    cluster.start("controller")
    other = cluster.folder / "other.toml"
    other.write_text(cluster.config.read_text().replace('name = "e2e"', 'name = "elsewhere"'))
    stranger = cluster.start(role, config=other)
    assert stranger.wait(10) not in (0, -6, -11)
    assert "elsewhere" in stranger.log and "e2e" in stranger.log
    config = cluster.get("config")
    assert not config["ingesters"] and not config["workers"] and not config["reducer"]


ERRORS = {
    'wrkers = 3': (None, "unknown section"),
    '[worker]\ncuont = 3': ("[worker] cuont", "count"),
    '[worker]\ncount = "three"': ("[worker] count", "three"),
    '[worker]\ncount = 0': ("[worker] count", "0"),
    '[scan]\nstop_timeout = "5 parsecs"': ("[scan] stop_timeout", "5 parsecs"),
    '[[stream]]\nname = "a"\nprotocol = "stin"\nurl = "tcp://127.0.0.1:1"': ("[[stream]] protocol", "stins"),
    '[[stream]]\nname = "a"\nprotocol = "stins"': ("[[stream]] url", "missing"),
    '[output]\nfile = "{scna}.h5"': ("[output] file", "{scna}"),
    '[worker': (None, ""),
}


@pytest.mark.parametrize("command", ["role", "check", "simulate"])
@pytest.mark.parametrize("text", ERRORS, ids=lambda t: t.replace("\n", " "))
def test_a_wrong_configuration_says_where(tmp_path, command, text):
    where, named = ERRORS[text]
    config = tmp_path / "wrong.toml"
    config.write_text("# a set-up\n\n" + text + "\n")
    line = 3 + text.count("\n") * (where is not None and where[1] != "[")
    if where == "[[stream]] protocol":
        line = 5
    elif where == "[[stream]] url":
        line = 3
    arguments = {"role": ["--role", "all", "--config", config], "check": ["check", config],
                 "simulate": ["simulate", "--config", config]}[command]
    process = run(tmp_path, *arguments)
    assert process.child.returncode not in (0, -6, -11), process.report()
    told = process.log + process.out
    assert f"wrong.toml:{line}: {where or ''}" in told, told
    assert named in told, told


@pytest.mark.parametrize("arguments, named", [
    (["--role", "wroker"], "wroker"),
    (["--role", "all", "--config", "missing.toml"], "missing.toml"),
    (["--role", "worker", "--join", "nowhere"], "--join"),
    (["--rol", "all"], "--rol"),
    (["replay"], "files"),
    (["replay", "missing.cbors"], "missing.cbors"),
], ids=lambda a: " ".join(a) if isinstance(a, list) else "")
def test_a_wrong_command_line_says_what(tmp_path, arguments, named):
    process = run(tmp_path, *arguments)
    assert process.child.returncode not in (0, -6, -11), process.report()
    assert named in process.log + process.out


def test_check_of_a_sound_configuration(cluster):
    cluster.configure(streams=["a", "b"], analysis="roi", output="{scan}.h5")
    process = run(cluster.folder, "check", cluster.config, "--json")
    assert process.child.returncode == 0, process.report()
    assert isinstance(process.summary, dict)


def test_an_analysis_that_is_not_there(cluster):
    cluster.configure(analysis="rio")
    process = cluster.start("all")
    if process.running():
        wait_until(lambda: not process.running() or cluster.get_or_none("config"), "a sign of life")
    if process.running():
        answer = cluster.post_map({"det": one_each(1)})
        assert answer.status_code == 400 and "rio" in answer.text
    else:
        assert process.wait() not in (0, -6, -11) and "rio" in process.log


def test_a_port_that_is_taken(cluster):
    cluster.configure()
    cluster.start_all()
    for name, options, taken in [("second", [], cluster.results_port),
                                 ("third", ["--results", "127.0.0.1:0"], cluster.http_port)]:
        another = cluster.start("all", *options, name=name)
        assert another.wait(10) not in (0, -6, -11)
        assert f"127.0.0.1:{taken}" in another.log


# --- ending --------------------------------------------------------------------------------------

def idle(cluster, instrument):
    pass


def silent(cluster, instrument):
    cluster.begin({"det": one_each(50)})


def started_then_silent(cluster, instrument):
    det = instrument()
    cluster.begin({"det": one_each(50)})
    det.header()
    det.image(0)
    cluster.wait_for_events(2)


def running(cluster, instrument):
    cluster.simulate()
    cluster.wait_for_events(20)


STATES = [idle, silent, started_then_silent, running]


def configure_for_ending(cluster):
    cluster.configure(analysis="roi", cluster={"return_timeout": "1s"}, output="{scan}.h5",
                      simulate=[{"stream": "det", "frames": 100_000, "shape": [16, 16], "rate": "1kHz"}])


@pytest.mark.parametrize("which", SIGNALS, ids=lambda s: s.name)
@pytest.mark.parametrize("state", STATES, ids=lambda s: s.__name__)
@pytest.mark.parametrize("role", ROLES)
def test_a_signal_ends_a_role(cluster, instrument, role, state, which):
    configure_for_ending(cluster)
    parts = cluster.start_parts(worker_processes=1)
    state(cluster, instrument)
    assert_ends(parts["worker0" if role == "worker" else role], which)
    # So do the ones that are left.
    for process in parts.values():
        if process.running():
            assert_ends(process, which)


@pytest.mark.parametrize("which", SIGNALS, ids=lambda s: s.name)
@pytest.mark.parametrize("state", STATES, ids=lambda s: s.__name__)
def test_a_signal_ends_everything_in_one_process(cluster, instrument, state, which):
    configure_for_ending(cluster)
    everything = cluster.start_all()
    state(cluster, instrument)
    assert_ends(everything, which)
    assert everything.summary["role"] == "all"


@pytest.mark.parametrize("which", SIGNALS, ids=lambda s: s.name)
@pytest.mark.parametrize("role", ["ingester", "worker", "reducer"])
def test_a_signal_ends_a_role_that_waits_for_its_controller(cluster, role, which):
    cluster.configure()
    process = cluster.start(role)
    wait_until(lambda: process.log, "a line of its log")
    assert_ends(process, which)


@pytest.mark.parametrize("which", SIGNALS, ids=lambda s: s.name)
def test_a_signal_ends_a_simulation(cluster, which):
    configure_for_ending(cluster)
    cluster.start_all()
    simulation = cluster.simulate()
    cluster.wait_for_events(20)
    simulation.send(which)
    assert simulation.wait(2) not in (-6, -11)


def test_a_worker_that_leaves_is_told_of(cluster):
    """Its scan does not hang."""
    configure_for_ending(cluster)
    parts = cluster.start_parts(worker_processes=1)
    silent(cluster, None)
    assert_ends(parts["worker0"])
    cluster.wait_for_progress(lambda p: p["finished"], "the scan to end without its worker", 15)
    assert cluster.get("config")["workers"] == []
