"""What the reducer publishes, on the page: lists, curves, pictures, going back in time."""

import json
import re
import urllib.parse

import pytest
import requests
from playwright.sync_api import expect

from cluster import wait_until
from conftest import skip_without_page
from reading import wait_on


def tree_of(server, patience=20):
    return requests.get(f"{server}/api/v1/tree", timeout=patience).json()


@pytest.fixture
def shown(results, look):
    """A page at the view of results, once something is published; and the server they come from."""
    page_url, server = results
    viewer = look()
    page = viewer.open(page_url, "results")
    expect(page.get_by_role("region", name="Items").get_by_role("button").first).to_be_visible()
    return viewer, page, server


def picture_in(page, server):
    item = next((i for i in tree_of(server)["items"] if i["kind"] == "array" and len(i["shape"]) == 2), None)
    if item is None:
        pytest.skip("nothing of two dimensions is published")
    panel = page.locator(f'.panel[data-path="{item["path"]}"]')
    if not panel.count():
        name = item["path"].split("/")[-1]
        page.get_by_role("region", name="Items").get_by_role("button", name=re.compile(f"^{re.escape(name)}")).first.click()
    canvas = panel.get_by_test_id("picture")
    canvas.scroll_into_view_if_needed()
    expect(canvas).to_have_attribute("data-snapshot", re.compile(r"\d+"))
    return item, panel, canvas


def go_back(page):
    """One snapshot back from the latest, where nothing changes any more; its number."""
    slider = page.get_by_label("Snapshot", exact=True)
    first = int(slider.get_attribute("max"))
    wait_on(page, lambda: int(slider.get_attribute("max")) > first, "another snapshot")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "false")
    return int(re.search(r"\d+", page.get_by_test_id("snapshot").inner_text())[0])


def views_asked(viewer, path):
    asked = [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(u).query)) for u in viewer.asked if "/api/v1/view" in u]
    return [query for query in asked if query.get("path") == path]


def test_everything_published_is_listed(shown):
    _, page, server = shown
    names = [i["path"].split("/")[-1] for i in tree_of(server)["items"] if i["kind"] != "group"]
    listed = page.get_by_role("region", name="Items").locator("li button")
    expect(listed).to_have_count(len(names))


def test_a_picture_follows_the_scan(shown):
    _, page, server = shown
    _, _, canvas = picture_in(page, server)
    before = int(canvas.get_attribute("data-snapshot"))
    wait_on(page, lambda: int(canvas.get_attribute("data-snapshot")) > before, "a newer snapshot")


def test_no_more_pixels_are_asked_for_than_the_screen_has(shown):
    viewer, page, server = shown
    item, _, canvas = picture_in(page, server)
    box = canvas.bounding_box()
    for query in views_asked(viewer, item["path"]):
        assert int(query["width"]) <= box["width"] and int(query["height"]) <= box["height"]


def test_only_what_is_seen_is_asked_for_when_zoomed(shown):
    viewer, page, server = shown
    item, panel, canvas = picture_in(page, server)
    panel.get_by_role("button", name="Zoom in").click()
    panel.get_by_role("button", name="Zoom in").click()
    rows, columns = item["shape"]
    wait_on(page, lambda: "rows" in views_asked(viewer, item["path"])[-1], "a part to be asked for")
    first, last = map(int, views_asked(viewer, item["path"])[-1]["rows"].split(":"))
    assert 0 <= first < last < rows or last - first < rows
    panel.get_by_role("button", name="Show all").click()
    expect(canvas).to_have_attribute("data-window", f"0,{rows},0,{columns}")
    wait_on(page, lambda: "rows" not in views_asked(viewer, item["path"])[-1], "all to be asked for")


def test_the_value_under_the_cursor_is_exact(shown):
    _, page, server = shown
    item, panel, canvas = picture_in(page, server)
    snapshot = go_back(page)
    canvas.focus()
    page.keyboard.press("ArrowRight")
    reading = panel.get_by_test_id("reading")
    expect(reading).to_have_text(re.compile(r"row \d+, column \d+: [^≈]"))
    row, column = map(int, re.match(r"row (\d+), column (\d+)", reading.inner_text()).groups())
    assert (row, column) == (item["shape"][0] // 2, item["shape"][1] // 2 + 1)
    exact = requests.get(f"{server}/api/v1/value", timeout=20,
                         params={"path": item["path"], "at": f"{row},{column}", "snapshot": snapshot}).json()["value"]
    written = reading.inner_text().split(": ")[1].replace("\u2212", "-").replace("\u202f", "")
    if exact is None:
        assert written in ("–", "NaN")
    else:
        assert float(written) == pytest.approx(exact, rel=1e-3)


def test_going_back_in_time_and_live_again(shown):
    _, page, server = shown
    _, _, canvas = picture_in(page, server)
    then = go_back(page)
    expect(canvas).to_have_attribute("data-snapshot", str(then))
    page.wait_for_timeout(1500)
    expect(canvas).to_have_attribute("data-snapshot", str(then))
    page.get_by_role("button", name="Live").click()
    wait_on(page, lambda: int(canvas.get_attribute("data-snapshot")) > then + 1, "the latest again")


def test_colours_range_and_scale_are_the_viewers_and_stay(shown):
    _, page, server = shown
    item, panel, canvas = picture_in(page, server)
    pixels = """canvas => { const c = canvas.getContext('2d'); let sum = 0;
        for (const v of c.getImageData(0, 0, canvas.width, canvas.height).data) sum = (sum * 31 + v) % 1000000007; return sum; }"""
    expect(canvas).to_have_attribute("data-snapshot", str(go_back(page)))
    seen = {canvas.evaluate(pixels)}
    panel.get_by_role("button", name=re.compile("^Settings")).click()
    panel.get_by_label("Colours").select_option("grey")
    wait_on(page, lambda: canvas.evaluate(pixels) not in seen, "other colours")
    seen.add(canvas.evaluate(pixels))
    panel.get_by_label("Range").select_option("fixed")
    panel.get_by_label("to", exact=True).fill("1e9")
    page.keyboard.press("Tab")
    wait_on(page, lambda: canvas.evaluate(pixels) not in seen, "another range")
    kept = page.evaluate("() => Object.entries(localStorage).find(([key]) => key.startsWith('dtranspose.board'))[1]")
    assert any(p["paths"] == [item["path"]] and p["look"]["scale"] == "grey" for p in json.loads(kept))


def test_three_maps_as_one(shown):
    _, page, server = shown
    pictures = [i for i in tree_of(server)["items"] if i["kind"] == "array" and len(i["shape"]) >= 2]
    if len(pictures) < 2:
        pytest.skip("fewer than two maps are published")
    page.get_by_role("button", name="RGB").click()
    panel = page.locator(".panel.three")
    expect(panel.get_by_test_id("picture")).to_have_attribute("data-snapshot", re.compile(r"\d+"))


def test_a_stack_has_a_slider(shown):
    viewer, page, server = shown
    stack = next((i for i in tree_of(server)["items"] if i["kind"] == "array" and len(i["shape"]) == 3), None)
    if stack is None:
        pytest.skip("no stack is published")
    page.get_by_role("region", name="Items").get_by_role("button", name=re.compile(f"^{stack['path'].split('/')[-1]}")).click()
    slider = page.get_by_label("Slice of dimension 0")
    slider.focus()
    page.keyboard.press("ArrowRight")
    wait_on(page, lambda: (views_asked(viewer, stack["path"]) or [{}])[-1].get("index") == "1", "slice 1 to be asked for")


def test_a_curve_is_drawn(shown):
    _, page, server = shown
    curve = next((i for i in tree_of(server)["items"] if i["kind"] == "array" and len(i["shape"]) == 1), None)
    if curve is None:
        pytest.skip("nothing of one dimension is published")
    panel = page.locator(f'.panel[data-path="{curve["path"]}"]')
    if not panel.count():
        page.get_by_role("region", name="Items").get_by_role("button", name=re.compile(f"^{curve['path'].split('/')[-1]}")).first.click()
    plot = panel.get_by_test_id("curve")
    expect(plot).to_have_attribute("data-snapshot", re.compile(r"\d+"))
    plot.focus()
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_test_id("reading")).to_have_text(re.compile(r"^\d+.*: .*\d"))


def test_without_results_the_page_says_what_is_missing(running, look):
    if running.get("config").get("results"):
        pytest.skip("this program serves results")
    page = look().open(running.controller_url, "results")
    expect(page.get_by_role("main")).to_contain_text("No process of this system serves results while a scan runs")


def test_results_that_come_after_the_page_are_found(cluster, look):
    cluster.configure(streams=("pilatus",), analysis="sum")
    cluster.start("controller")
    wait_until(lambda: cluster.get_or_none("config"), "the controller to answer")
    skip_without_page(cluster)
    if "results" not in cluster.get("config"):
        pytest.skip("this program serves no results while a scan runs: config has no `results`")
    viewer = look()
    page = viewer.open(cluster.controller_url, "results")
    expect(page.get_by_role("main")).to_contain_text("No process of this system serves results")
    cluster.start("reducer")
    expect(page.get_by_role("region", name="Moment")).to_be_visible()
    viewer.errors.clear()  # the browser complains of what the page was not yet allowed to ask
