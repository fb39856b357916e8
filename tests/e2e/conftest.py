"""Fixtures of the end-to-end tests: they start the built program and talk to it as instruments, control
systems and people do. How to run them: `pytest tests/e2e`, or `pytest tests/e2e --long`.

DTRANSPOSE is the program, DTRANSPOSE_RECORDINGS a folder of recordings, DTRANSPOSE_WITNESS_PLUGIN,
DTRANSPOSE_CRASHING_PLUGIN and DTRANSPOSE_PUBLISHING_PLUGIN are plug-ins of tests/plugin if they are built already.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import zmq

from cluster import BINARY, REPOSITORY
from cluster_fixture import cluster, pytest_runtest_makereport  # noqa: F401
from instruments import Instrument
from witness import Witness


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests that take minutes as well")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    long = [item for item in items if "long" in item.keywords]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: build it, or set DTRANSPOSE", returncode=2)


@pytest.fixture(params=["beside", "in messages"])
def frames_go(request, cluster):
    """How frames get from one process to another."""
    cluster.defaults = {"bulk_from": "1B"} if request.param == "beside" else {"bulk": False}
    return request.param


@pytest.fixture
def instrument(cluster):
    """Makes the instrument of a configured stream."""
    context = zmq.Context()
    made = []

    def make(stream="det"):
        made.append(Instrument(context, cluster.url(stream), stream))
        return made[-1]

    yield make
    for each in made:
        each.close()
    context.term()


@pytest.fixture
def recording():
    """The path of a recording, by name; without it the test is skipped."""
    folder = Path(os.environ.get("DTRANSPOSE_RECORDINGS", REPOSITORY.parent / "shared/recordings"))

    def find(name):
        path = folder / name
        if not path.exists():
            pytest.skip(f"{path} is not there: set DTRANSPOSE_RECORDINGS to the folder of recordings")
        return path

    return find


def plugin(name, tmp_path_factory):
    """A plug-in of tests/plugin, from DTRANSPOSE_{NAME}_PLUGIN or compiled here against the headers that
    a plug-in may use and nothing else."""
    variable = f"DTRANSPOSE_{name.upper()}_PLUGIN"
    if built := os.environ.get(variable):
        return Path(built).resolve()
    if not shutil.which("g++"):
        pytest.skip(f"neither {variable} nor g++ is there")
    folder = tmp_path_factory.mktemp(name)
    for header in ["analysis/plugin", *(f"model/{n}" for n in "ids value frame event parameters".split())]:
        copy = folder / "include/dtranspose" / f"{header}.hpp"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "src" / f"{header}.hpp", copy)
    built = folder / f"{name}_plugin.so"
    subprocess.run(["g++", "-std=c++20", "-O1", "-shared", "-fPIC", "-I", folder / "include",
                    REPOSITORY / f"tests/plugin/{name}_plugin.cpp", "-o", built], check=True, timeout=300)
    return built


@pytest.fixture(scope="session")
def witness_object(tmp_path_factory):
    return plugin("witness", tmp_path_factory)


@pytest.fixture(scope="session")
def crashing_object(tmp_path_factory):
    return plugin("crashing", tmp_path_factory)


@pytest.fixture(scope="session")
def publishing_object(tmp_path_factory):
    return plugin("publishing", tmp_path_factory)


@pytest.fixture
def witness(witness_object, tmp_path):
    return Witness(witness_object, tmp_path / "journals")
