"""Every role in a network namespace of its own, with links between them that break and heal. As root only."""

import contextlib
import os
import re
import shutil
import subprocess

import pytest

from cluster import Cluster
from undertaking import Undertaking

PLACES = ("controller", "ingester", "worker", "other_worker", "reducer")
NOWHERE = "02:00:00:00:00:ff"  # a hardware address that nobody has


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Network:
    """A bridge, and a namespace with an address for each place. A link is cut by letting both of its ends
    send to where nobody is: nothing is refused, it only does not arrive."""

    def __init__(self):
        self.prefix = f"dt{os.getpid()}"
        self.net = f"10.213.{os.getpid() % 254 + 1}"

    def __enter__(self):
        try:
            ip("link", "add", self.prefix, "type", "bridge")
            ip("addr", "add", f"{self.net}.1/24", "dev", self.prefix)
            ip("link", "set", self.prefix, "up")
            for place in PLACES:
                self.add(place)
        except BaseException:
            self.__exit__()
            raise
        return self

    def add(self, place):
        space, outside = self.space(place), f"{self.prefix}{PLACES.index(place)}"
        ip("netns", "add", space)
        ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", outside, "master", self.prefix, "up")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "addr", "add", f"{self.address(place)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")

    def __exit__(self, *_):
        for place in PLACES:
            with contextlib.suppress(OSError):
                ip("netns", "del", self.space(place))
        with contextlib.suppress(OSError):
            ip("link", "del", self.prefix)

    def space(self, place):
        return f"{self.prefix}-{place}"

    def address(self, place):
        return f"{self.net}.{10 + PLACES.index(place)}"

    def cut(self, place, other):
        for here, there in ((place, other), (other, place)):
            ip("-n", self.space(here), "neigh", "replace", self.address(there), "lladdr", NOWHERE,
               "dev", "eth0", "nud", "permanent")

    def heal(self, place, other):
        for here, there in ((place, other), (other, place)):
            ip("-n", self.space(here), "neigh", "del", self.address(there), "dev", "eth0")


@pytest.fixture(scope="module")
def network():
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs to be root, and `ip` to make network namespaces with")
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(Network())
        except OSError as e:
            pytest.skip(f"no network namespaces can be made here: {e}")
        yield made


@pytest.fixture
def cluster(tmp_path, network):
    cluster = SpreadCluster(tmp_path, network)
    yield cluster
    odd = cluster.close()
    assert not odd, f"did not end by SIGTERM as they should, with status: {odd}"


class SpreadCluster(Cluster):
    """Each role where it belongs; instruments are beside the ingester."""

    def __init__(self, folder, network):
        super().__init__(folder)
        self.network = network
        self.hosts = {"controller": network.address("controller"), "streams": network.address("ingester")}
        self.controller_url = f"http://{network.address('controller')}:{self.http_port}"
        self.place_of = {}

    def prefix(self, place):
        return ["ip", "netns", "exec", self.network.space(place)]

    def start(self, role, *options, place=None, **others):
        place = place or (role if role != "worker" or not self.is_taken("worker") else "other_worker")
        port = self.join_port if role == "controller" else 0
        process = super().start(role, "--listen", f"{self.network.address(place)}:{port}", *options,
                                prefix=self.prefix(place), **others)
        self.place_of[process] = place
        return process

    def is_taken(self, place):
        return any(self.place_of[p] == place for p in self.of_all_roles())

    def simulate(self, *options, **others):
        return super().simulate(*options, prefix=self.prefix("ingester"), **others)

    def at(self, place):
        return next(p for p in self.of_all_roles() if self.place_of[p] == place)


pytestmark = pytest.mark.usefixtures("frames_go")


def wait_until_missed(cluster, place, other):
    """One end at least has given up the connection."""
    ends = [cluster.at(place), cluster.at(other)]

    def missed():
        return any(re.search(rf"lost \S*-{a.pid}\b", b.log) for a, b in (ends, ends[::-1]))

    cluster.wait_for(missed, f"{place} and {other} to miss each other")


def spread(cluster, **options):
    return Undertaking(cluster, cluster_keys={"insecure": True}, http={"insecure": True}, **options).begin()


@pytest.mark.parametrize("place, other", [
    ("controller", "worker"), ("ingester", "worker"), ("worker", "reducer"), ("controller", "reducer"),
    ("controller", "ingester")], ids=lambda p: p)
def test_a_link_that_breaks_and_heals(cluster, network, place, other):
    scan = spread(cluster, frames=4000)
    scan.reach(0.05)
    network.cut(place, other)
    try:
        wait_until_missed(cluster, place, other)
        assert not cluster.get("progress")["finished"]
    finally:
        network.heal(place, other)
    scan.assert_whole()


@pytest.mark.parametrize("role", ["worker", "reducer"])
def test_another_takes_the_place_of(cluster, role):
    scan = spread(cluster)
    scan.reach(0.1)
    scan.kill(role)
    scan.assert_whole()


def test_a_process_that_stands_still(cluster):
    scan = spread(cluster)
    scan.reach(0.1)
    scan.freeze("worker")
    scan.assert_whole()
