"""The console over answers that a service of one process and tidy data never gives."""

from __future__ import annotations

import json
from typing import Any

from pages import Pages, settle
from playwright.sync_api import Page, Route, expect

RTL = "ספר הג'ונגל"


def answer(page: Page, path: str, body: dict[str, Any]) -> None:
    """Have the page get ``body`` from now on."""
    page.route(path, lambda route: route.fulfill(json=body))
    page.reload()
    settle(page)


def test_a_bar_sums_to_the_score_where_something_speaks_against(pages: Pages) -> None:
    page = settle(pages.open("/#/user?user=ada"))
    gains = {"kind": "together", "item_id": "book-2", "times": 3, "contribution": 0.8}
    losses = {"kind": "dislike", "contribution": -0.2}
    weak = {"kind": "popular", "contribution": 0.4}
    item = {"item_id": "book-1", "score": 0.6, "features": {}, "reasons": [gains, losses]}
    other = {"item_id": "book-3", "score": 0.4, "features": {}, "reasons": [weak]}
    head = {"strategy": "personal", "degraded": [], "user_version": 1}
    answer(page, "**/v1/users/ada/recommendations*", {**head, "items": [item, other]})
    bar = page.locator("[data-item=book-1]").get_by_role("img")
    expect(bar).to_have_accessible_name("goes together 0.800, rules and the rest −0.200")
    shares = bar.evaluate(
        """(bar) => [".gains", ".taken"].map((name) =>
          bar.querySelector(name).getBoundingClientRect().width / bar.clientWidth)"""
    )
    assert [round(share, 2) for share in shares] == [1.0, 0.25]
    assert " you" not in page.get_by_role("list", name="Recommended to ada").inner_text()


def test_figures_are_of_one_process_where_two_answer_in_turn(pages: Pages) -> None:
    page = settle(pages.open("/#/overview"))
    asked = 0

    def in_turn(route: Route) -> None:
        nonlocal asked
        asked += 1
        stats = route.fetch().json()
        here = {"instance": "aaaa", "events": {"accepted": 7_000 + asked, "folded": 7_000}}
        there = {"instance": "bbbb", "events": {"accepted": 5}}
        route.fulfill(json={**stats, **(here if asked % 2 else there)})

    page.route("**/v1/stats", in_turn)
    page.reload()
    settle(page)
    processes = page.get_by_role("group", name="Processes that answer")
    expect(processes.get_by_role("button", name="aaaa")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("Events a second").first).to_be_visible()
    processes.get_by_role("button", name="bbbb").click()
    expect(page.get_by_text("Accepted a second")).to_be_visible()
    expect(page.get_by_text("this process only accepts").first).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")


def test_a_letter_may_hold_anything(pages: Pages) -> None:
    page = settle(pages.open("/#/dead-letters"))
    event = {"user_id": {"id": 7}, "event_type": 5, "item_id": ["a"], "query": None}
    letter = {"letter_id": "l1", "position": "1", "at": 0, "reason": "odd", "event": event}
    taken = {"event_type": "constructor", "user_id": "eve", "item_id": "book-2"}
    letters = [letter, {**letter, "letter_id": "l2", "event": taken}]
    answer(page, "**/v1/dead-letters*", {"dead_letters": letters})
    rows = page.locator("tr.letter")
    expect(rows.first).to_contain_text("unknown")
    expect(rows.last).to_contain_text("constructor")
    rows.first.get_by_role("button").click()
    written = page.get_by_label("The event, to be mended").input_value()
    assert json.loads(written) == event


def test_odd_features_are_shown_as_they_are(pages: Pages) -> None:
    page = settle(pages.open("/#/items?item=book-2"))
    features = {
        "title": RTL,
        "flags": [True, False],
        "sizes": [0, 2.5],
        "notes": "long " * 300,
        "none": [],
    }
    item = {"item_id": "book-2", "features": features, "text": None, "pending": None}
    times = {"available_from": None, "available_until": 1e300}
    answer(page, "**/v1/items/book-2", {**item, **times})
    facts = page.locator("dl.facts")
    expect(facts).to_contain_text("yes, no")
    expect(facts).to_contain_text("0, 2.5")
    assert len(facts.inner_text()) < 1_000
    facts.get_by_role("button", name="more").click()
    assert len(facts.inner_text()) > 1_500
    heading = page.get_by_role("heading", name=RTL)
    assert heading.evaluate("(one) => getComputedStyle(one).direction") == "rtl"
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Until")).to_have_value("")
