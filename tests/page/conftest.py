"""Fixtures of the tests of the live page: the built program, simulated instruments, and Chromium in front of it.
How to run them: `./dev test --only page`, or `pytest tests/page`.

DTRANSPOSE is the program, DTRANSPOSE_COUNTING_PLUGIN the plug-in of tests/plugin. Without a browser, or with a program that was built without its page, the tests are
skipped and say so. DTRANSPOSE_PAGE_MOCK=URL has the tests of results look at `web/mock.mjs` instead.
"""

import os
import shutil
import urllib.parse

import pytest
import requests

from cluster import BINARY
from cluster_fixture import cluster, pytest_runtest_makereport  # noqa: F401

try:
    import playwright.sync_api as playwright
except ImportError:
    playwright = None

PATIENCE = 20_000  # ms that anything may take before its test fails
SIZES = {"phone": (360, 740), "desktop": (1440, 900)}
THEMES = ("light", "dark")
# What a browser does by itself that a machine without internet only complains of.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


def pytest_sessionstart(session):
    if not playwright:
        pytest.exit("skipped: the Python package playwright is not installed", returncode=0)
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: build it, or set DTRANSPOSE", returncode=2)


@pytest.fixture(scope="session")
def browser():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        except playwright.Error as error:
            pytest.skip(f"no browser: install the package chromium ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


class Viewer:
    """Somebody with a browser. Remembers whom the page asked, and what went wrong in it."""

    def __init__(self, browser, size, theme):
        width, height = SIZES[size]
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme,
                                           has_touch=size == "phone", reduced_motion="reduce")
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.errors = []
        self.asked = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if self.is_trouble(m) else None)
        self.page.on("request", lambda request: self.asked.append(request.url))

    @staticmethod
    def is_trouble(message):
        """What a server refuses is said on the page, and by the browser as well."""
        refused = "the server responded with a status of 4" in message.text
        return message.type == "error" and not refused

    def open(self, url, view="overview"):
        self.page.goto(f"{url}/#/{view}")
        return self.page

    @property
    def hosts(self):
        return {urllib.parse.urlsplit(url).hostname for url in self.asked if url.startswith("http")}


@pytest.fixture
def look(browser):
    """Makes viewers; what went wrong in the page of one of them fails the test."""
    viewers = []

    def make(size="desktop", theme="light"):
        viewers.append(Viewer(browser, size, theme))
        return viewers[-1]

    yield make
    errors = [error for viewer in viewers for error in viewer.errors]
    for viewer in viewers:
        viewer.context.close()
    assert errors == []


def skip_without_page(cluster):
    if "page.js" not in cluster.session.get(cluster.controller_url).text:
        pytest.skip(f"{BINARY} was built without its page: it needs npm")


ENDLESS = 100_000  # frames: nobody waits for the last one


@pytest.fixture
def system(cluster):
    """Everything in one process, two instruments that are simulated, nothing started yet."""
    def start(analysis="sum", parameters=None, http=None):
        entries = [{"stream": "pilatus", "frames": ENDLESS, "shape": [48, 64], "dtype": "uint16", "rate": "200Hz"},
                   {"stream": "fluo", "frames": ENDLESS, "shape": [1, 256], "dtype": "uint32", "rate": "200Hz", "seed": 1}]
        cluster.configure(streams=("pilatus", "fluo"), analysis=analysis,
                          parameters={"stream": "pilatus"} if parameters is None else parameters,
                          simulate=entries, http=http, output="out.h5")
        if http:
            cluster.start("all")
        else:
            cluster.start_all()
            skip_without_page(cluster)
        return cluster

    return start


@pytest.fixture
def running(system):
    """A scan that goes on until somebody stops it."""
    cluster = system()
    cluster.simulate()
    cluster.wait_for_events(10)
    return cluster


@pytest.fixture
def results(request):
    """Where a page with results is to be seen; skipped where the program serves none."""
    if mock := os.environ.get("DTRANSPOSE_PAGE_MOCK"):
        requests.post(f"{mock}/api/v1/sequence", json={"parts": {}, "sequence": []}, timeout=20)
        return mock, requests.get(f"{mock}/api/v1/config", timeout=20).json()["results"]
    cluster = request.getfixturevalue("running")
    told = cluster.get("config").get("results")
    if not told:
        pytest.skip("this program serves no results while a scan runs: config has no `results`")
    if cluster.session.get(f"{told}/api/v1/tree").status_code == 404:
        pytest.skip("this program serves no results while a scan runs: api/v1/tree answers 404")
    return cluster.controller_url, told

