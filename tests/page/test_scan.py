"""The scan in hand on the page: it goes on, it is stopped, it is started, its ledger is shown."""

import json
import re

from playwright.sync_api import expect

from reading import digits, grows, number, wait_on


def test_numbers_change_while_a_scan_runs(running, look):
    viewer = look()
    page = viewer.open(running.controller_url)
    expect(page.get_by_test_id("state")).to_have_text("running")
    for name in ("completed", "events", "packets-pilatus", "packets-fluo", "folded"):
        grows(page, name)
    expect(page.get_by_test_id("left")).to_have_text(re.compile("left"))
    expect(page.get_by_test_id("rate")).to_have_text(re.compile(r"[1-9]"))
    expect(page.get_by_role("progressbar", name="Progress of the scan")).to_have_attribute(
        "aria-valuemax", str(running.get("progress")["total_events"]))
    assert viewer.hosts == {"127.0.0.1"}, "the page asks nobody but this machine"


def test_the_pipeline_shows_everybody(running, look):
    page = look().open(running.controller_url)
    pipeline = page.get_by_role("region", name="Pipeline")
    for name in ("pilatus", "fluo", "pilatus ingester", "fluo ingester", "reducer"):
        expect(pipeline.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(pipeline.get_by_role("meter", name="Queue of pilatus")).to_have_attribute("aria-valuenow", re.compile(r"\d"))
    expect(pipeline.locator(".workers li")).to_have_count(2)
    expect(pipeline.get_by_test_id("bottleneck")).not_to_be_empty()
    expect(pipeline.locator(".links .flow").first).to_be_attached()


def test_a_silent_stream_is_marked_as_what_the_scan_waits_for(system, look):
    cluster = system()
    cluster.begin({"pilatus": [[{"constraint": 0}]] * 9})
    page = look().open(cluster.controller_url)
    expect(page.get_by_test_id("bottleneck")).to_contain_text("pilatus")
    expect(page.locator(".node.bottleneck h3")).to_have_text("pilatus")
    cluster.stop()


def test_a_scan_is_stopped(running, look):
    page = look().open(running.controller_url)
    page.get_by_role("button", name="Stop", exact=True).click()
    dialog = page.get_by_role("dialog", name="Stop the scan")
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog).to_be_hidden()
    assert running.get("progress")["state"] == "running"
    page.get_by_role("button", name="Stop", exact=True).click()
    dialog.get_by_role("button", name="Stop the scan").click()
    expect(page.get_by_test_id("state")).to_have_text("stopped")
    assert running.wait_for_end()["state"] == "stopped"
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)


def test_a_scan_is_stopped_with_the_keyboard_alone(running, look):
    page = look().open(running.controller_url)
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_visible()
    for _ in range(30):
        page.keyboard.press("Tab")
        if stop.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Stop the scan")
    expect(dialog).to_be_visible()
    last = dialog.get_by_role("button", name="Stop the scan")
    while not last.evaluate("button => button === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("state")).to_have_text("stopped")


def test_what_the_analysis_decides_is_shown(system, look):
    cluster = system(["roi", "statistics"], {"roi": {"stream": "pilatus"},
                                             "statistics": {"signal": "roi:mean", "precision": 0.5}})
    page = look().open(cluster.controller_url)
    cluster.simulate()
    decisions = page.get_by_role("region", name="Decisions")
    row = decisions.get_by_role("row", name="statistics.good enough")
    expect(row).to_contain_text("standard error")
    told = cluster.get("decisions")["decisions"]
    assert len(told) == 1
    expect(row.get_by_role("cell").nth(1)).to_have_text(str(told[0]["event"]))
    expect(row).to_contain_text(f"events {told[0]['value']['events']}")
    page.goto(f"{cluster.controller_url}/#/ledger")
    expect(page.get_by_role("region", name="Decisions").get_by_role("row")).to_have_count(2)
    cluster.stop()


def test_the_ledger_is_shown(running, look):
    running.stop()
    running.wait_for_end()
    page = look().open(running.controller_url, "ledger")
    ledger = running.get("ledger")
    assert ledger["fates"]["lost"] > 0
    for fate, count in ledger["fates"].items():
        expect(page.get_by_test_id(f"fate-{fate}")).to_be_visible()
        assert number(page, f"fate-{fate}") == count, fate
    first = page.get_by_role("region", name="Troubles").locator("tbody tr").first
    expect(first).to_contain_text(ledger["troubles"][0]["cause"])
    assert digits(first.locator("td").nth(1).inner_text()) == (
        ledger["troubles"][0]["last"] - ledger["troubles"][0]["first"] + 1)
    expect(page.get_by_role("rowheader", name="pilatus")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as JSON").click()
    assert json.loads(saved.value.path().read_text())["scan"] == ledger["scan"]


def test_before_the_first_scan_the_page_says_so(system, look):
    cluster = system()
    page = look().open(cluster.controller_url)
    expect(page.get_by_text("No scan yet")).to_be_visible()
    page.keyboard.press("3")
    expect(page.get_by_text("No scan yet, so there is no ledger")).to_be_visible()


def test_a_map_from_a_text_starts_a_scan(system, look):
    cluster = system()
    page = look().open(cluster.controller_url, "start")
    text = page.get_by_label("Map", exact=True)
    text.fill('{"parts": {"line": {"pilatus": [[{"constraint": 0}], []]}}, "sequence": ["line", "line", "line"]}')
    expect(page.get_by_test_id("map-summary")).to_have_text("6 events of pilatus; 1 part")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_test_id("start-said")).to_contain_text("has started")
    assert cluster.get("progress")["total_events"] == 8
    cluster.stop()


def test_a_map_from_a_file_starts_a_scan_and_can_be_taken_again(system, look, tmp_path):
    cluster = system()
    page = look().open(cluster.controller_url, "start")
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"pilatus": [[{"constraint": i}] for i in range(5)]}))
    page.get_by_label("Map file").set_input_files(file)
    expect(page.get_by_test_id("map-summary")).to_have_text("5 events of pilatus; 1 part")
    page.get_by_label("Put an event for the start").uncheck()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_test_id("start-said")).to_contain_text("has started")
    assert cluster.get("progress")["total_events"] == 5
    page.get_by_role("button", name="Take the last map").click()
    expect(page.get_by_label("Map", exact=True)).to_have_value(re.compile('"sequence":'))
    expect(page.get_by_test_id("map-summary")).to_have_text("5 events of pilatus; 1 part")
    cluster.stop()


def test_a_map_that_is_refused_shows_why(system, look):
    cluster = system()
    page = look().open(cluster.controller_url, "start")
    page.get_by_label("Map", exact=True).fill('{"nobody": [[]]}')
    page.get_by_role("button", name="Start", exact=True).click()
    said = page.get_by_test_id("start-said")
    expect(said).to_contain_text("nobody")
    detail = cluster.post_map({"nobody": [[]]}).json()["detail"]
    assert said.inner_text() == detail
    page.get_by_label("Map", exact=True).fill("{")
    expect(page.get_by_test_id("map-summary")).to_contain_text("not JSON")


def test_when_nobody_answers_the_page_says_so_and_recovers(system, look):
    cluster = system()
    viewer = look()
    page = viewer.open(cluster.controller_url)
    expect(page.get_by_test_id("state")).to_have_text("idle")
    page.route("**/api/v1/**", lambda route: route.abort())
    expect(page.get_by_role("alert")).to_contain_text("Nobody answers")
    page.unroute("**/api/v1/**")
    expect(page.get_by_test_id("state")).to_have_text("idle")
    viewer.errors.clear()  # the browser complains of what was cut off


def test_nobody_is_asked_while_the_page_is_hidden(running, look):
    viewer = look()
    page = viewer.open(running.controller_url)
    grows(page, "completed")
    page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    page.wait_for_timeout(1000)
    asked = len(viewer.asked)
    page.wait_for_timeout(1500)
    assert len(viewer.asked) == asked
    page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', {get: () => false, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    wait_on(page, lambda: len(viewer.asked) > asked, "the page to ask again")
