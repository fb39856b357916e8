"""Every view, on a phone and on a desktop, light and dark; with labels for who cannot see it."""

import pytest
from playwright.sync_api import expect

from conftest import SIZES, THEMES

VIEWS = ("overview", "results", "ledger", "parameters", "log", "start")

# Everything that can be pressed or filled in and has no name for a screen reader.
NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, textarea')]
    .filter((e) => e.offsetParent !== null)
    .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.title))
    .map((e) => e.outerHTML)"""

# Text whose contrast with what is behind it is below 4.5, as WCAG 2.1 has it (1.4.3), of what is on the screen.
FAINT = """() => {
    const parse = (c) => { const m = c.match(/[0-9.]+/g).map(Number); return {rgb: m.slice(0, 3), a: m[3] ?? 1}; };
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (e) => { for (; e; e = e.parentElement) {
        const c = parse(getComputedStyle(e).backgroundColor); if (c.a > 0.99) return c.rgb; } return [255, 255, 255]; };
    const see_through = (e) => { for (; e; e = e.parentElement) if (getComputedStyle(e).opacity < 1) return true; return false; };
    const faint = [];
    for (const e of document.querySelectorAll('body *')) {
        const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!text || !e.offsetParent || see_through(e) || e.closest('noscript, svg')) continue;
        const [a, b] = [light(parse(getComputedStyle(e).color).rgb), light(behind(e))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${e.className} ${e.textContent.trim().slice(0, 40)}`);
    }
    return faint;
}"""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_every_view_fits_and_is_labelled(running, look, size, theme, request):
    viewer = look(size, theme)
    page = viewer.open(running.controller_url)
    expect(page.get_by_role("navigation", name="Views").get_by_role("link")).to_have_count(len(VIEWS))
    expect(page.get_by_test_id("bottleneck")).to_be_visible()
    for view in VIEWS:
        page.get_by_role("navigation").get_by_role("link", name=view.capitalize()).click()
        expect(page.get_by_role("main", name=view.capitalize())).to_be_visible()
        expect(page.locator("main > *").first).to_be_visible()
        width = SIZES[size][0]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{view} is wider than the screen"
        assert page.evaluate(NAMELESS) == [], view
        assert page.evaluate(FAINT) == [], view


def test_dark_is_dark_and_light_is_light(running, look):
    brightness = "() => getComputedStyle(document.documentElement).backgroundColor.match(/[0-9]+/g).map(Number)[0]"
    light, dark = look(theme="light"), look(theme="dark")
    assert light.open(running.controller_url).evaluate(brightness) > 200
    page = dark.open(running.controller_url)
    assert page.evaluate(brightness) < 60
    # The viewer's own choice goes before that of the system, and stays.
    button = page.get_by_role("button", name="Theme:")
    button.click()
    expect(button).to_have_accessible_name("Theme: light. Change it")
    assert page.evaluate(brightness) > 200
    page.reload()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert page.evaluate(brightness) > 200


def test_the_viewer_sets_how_often_the_page_asks(running, look):
    viewer = look()
    page = viewer.open(running.controller_url)

    def asked_within(milliseconds):
        page.wait_for_timeout(300)
        before = sum("progress" in url for url in viewer.asked)
        page.wait_for_timeout(milliseconds)
        return sum("progress" in url for url in viewer.asked) - before

    page.get_by_label("How often the page asks").select_option("10")
    often = asked_within(2000)
    page.get_by_label("How often the page asks").select_option("0.5")
    assert asked_within(2000) <= 2 < often
    page.reload()
    expect(page.get_by_label("How often the page asks")).to_have_value("0.5")


def test_the_keys_open_the_views(running, look):
    page = look().open(running.controller_url)
    for i, view in enumerate(VIEWS):
        page.keyboard.press(str(i + 1))
        expect(page.get_by_role("main", name=view.capitalize())).to_be_visible()
    # Not while somebody writes.
    page.get_by_label("Map", exact=True).press_sequentially("12")
    expect(page.get_by_role("main", name="Start")).to_be_visible()
