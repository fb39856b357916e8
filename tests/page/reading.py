"""What tests read off a page."""

import re


def digits(text):
    """12 345 -> 12345, whatever separates the thousands."""
    return int(re.sub(r"\D", "", text) or "-1")


def number(page, name):
    return digits(page.get_by_test_id(name).first.inner_text())


def grows(page, name, least=1):
    """Waits until a number on the page is larger than it was by so much; returns both."""
    before = number(page, name)
    element = page.get_by_test_id(name).first

    def larger():
        return digits(element.inner_text()) >= before + least

    wait_on(page, larger, f"{name} to grow beyond {before}")
    return before, number(page, name)


def wait_on(page, condition, what, patience=20_000, interval=50):
    waited = 0
    while not condition():
        assert waited < patience, f"waited in vain: {what}"
        page.wait_for_timeout(interval)
        waited += interval


def missing(page, route):
    """Does the page say that this route is not there?"""
    return page.locator(".notice", has_text=route).filter(has_text="404").count() > 0

