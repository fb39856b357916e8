"""The fixture of all tests that start the program, for their conftest."""

import pytest

from cluster import Cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails shows what its processes said."""
    report = yield
    if report.failed and isinstance(cluster := item.funcargs.get("cluster"), Cluster):
        report.sections += cluster.report()
    return report


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    odd = cluster.close()
    assert not odd, f"did not end by SIGTERM as they should, with status: {odd}"
