"""Log, parameters and tokens on the page."""

import os
import re

import pytest
import requests
from playwright.sync_api import expect

from cluster import wait_until
from conftest import skip_without_page


def test_the_log_is_shown_from_a_level_on(running, look):
    page = look().open(running.controller_url, "log")
    if running.ask("GET", "logs").status_code == 404:
        expect(page.locator(".notice")).to_contain_text("api/v1/logs answers 404")
        pytest.skip("this program has no api/v1/logs; the page says so")
    lines = page.get_by_role("log").locator(".line")
    expect(lines.filter(has_text=running.get("progress")["scan"]).first).to_be_visible()
    page.get_by_label("With").fill("nothing of this kind was ever said")
    expect(lines).to_have_count(0)
    page.get_by_label("With").fill("")
    page.get_by_label("From level").select_option("ERROR")
    expect(lines.filter(has_text="INFO")).to_have_count(0)
    expect(lines).to_have_count(len(running.get("logs?level=ERROR")))


def test_parameters_are_a_form(running, look):
    page = look().open(running.controller_url, "parameters")
    answer = running.ask("GET", "parameters")
    if answer.status_code == 404:
        expect(page.locator(".notice")).to_contain_text("api/v1/parameters answers 404")
        pytest.skip("this program has no api/v1/parameters; the page says so")
    described = answer.json()
    assert described
    for parameter in described:
        expect(page.get_by_label(re.compile(f"^{re.escape(parameter['name'])} ")).first).to_be_visible()
        if parameter["description"]:
            expect(page.get_by_text(parameter["description"]).first).to_be_visible()


def form_of(page, name):
    field = page.locator(f'[id="parameter-{name}"]')
    return page.locator("form.parameter", has=field), field


def test_a_parameter_is_set_and_a_bad_one_is_refused_with_the_reason(system, look):
    plugin = os.environ.get("DTRANSPOSE_COUNTING_PLUGIN")
    if not plugin:
        pytest.skip("DTRANSPOSE_COUNTING_PLUGIN, an analysis with a number as parameter, is not set")
    cluster = system(analysis=plugin, parameters={"least": 0})
    if cluster.ask("GET", "parameters").status_code == 404:
        pytest.skip("this program has no api/v1/parameters")
    name = next(p["name"] for p in cluster.get("parameters") if p["dtype"] in ("int", "float"))
    page = look().open(cluster.controller_url, "parameters")
    form, field = form_of(page, name)
    expect(form.get_by_role("button", name="Set")).to_be_disabled()
    field.fill("12")
    form.get_by_role("button", name="Set").click()
    expect(form.get_by_role("status")).to_contain_text("Set.")
    assert cluster.ask("GET", f"parameter/{name}").content == b"12"
    field.fill("a dozen")
    field.press("Enter")
    refused = cluster.ask("POST", f"parameter/{name}", data=b"a dozen")
    assert refused.status_code == 422
    expect(form.get_by_role("status")).to_have_text(refused.json()["detail"])
    expect(field).to_have_attribute("aria-invalid", "true")
    assert cluster.ask("GET", f"parameter/{name}").content == b"12"
    form.get_by_role("button", name="Undo").click()
    expect(field).to_have_value("12")


SECRET = "the-secret-of-somebody-who-looks"


@pytest.fixture
def guarded(system, tmp_path):
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[[token]]\nname = "looks"\nscope = "view"\nsecret = "{SECRET}"\n')
    os.chmod(tokens, 0o600)
    cluster = system(http={"tokens": str(tokens)})

    def answers():
        try:
            return cluster.ask("GET", "progress").status_code == 401
        except requests.ConnectionError:
            return False

    wait_until(answers, "the controller to answer")
    skip_without_page(cluster)
    return cluster


def test_a_token_is_asked_for_and_kept_for_the_tab(guarded, look):
    page = look().open(guarded.controller_url)
    dialog = page.get_by_role("dialog", name="Token")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Token").fill("not-a-secret-of-anybody")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("the token is not known")
    dialog.get_by_label("Token").fill(SECRET)
    dialog.get_by_role("button", name="Use it").click()
    expect(page.get_by_test_id("state")).to_have_text("idle")
    page.reload()
    expect(page.get_by_test_id("state")).to_have_text("idle")
    expect(dialog).to_be_hidden()


def test_a_scope_that_is_too_small_is_told(guarded, look):
    page = look().open(guarded.controller_url, "start")
    page.get_by_role("dialog", name="Token").get_by_label("Token").fill(SECRET)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("state")).to_have_text("idle")
    page.get_by_label("Map", exact=True).fill('{"pilatus": [[]]}')
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_test_id("start-said")).to_contain_text("this needs a token with scope control")


def test_the_page_may_load_nothing_from_elsewhere(system):
    cluster = system()
    answer = cluster.session.get(cluster.controller_url)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "http://" not in answer.text and "https://" not in answer.text
    again = cluster.session.get(cluster.controller_url, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304 and not again.content


def test_the_files_are_packed_once(system):
    cluster = system()
    packed = cluster.session.get(f"{cluster.controller_url}/page.js", headers={"Accept-Encoding": "gzip"}, stream=True)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.raw.read(decode_content=False)) < 200_000
    plain = cluster.session.get(f"{cluster.controller_url}/page.js", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert len(plain.content) > 50_000 and b"<" in plain.content
