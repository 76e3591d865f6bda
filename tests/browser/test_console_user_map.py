"""*User* and *Map* over the real service: what is known of somebody, and where it is."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pages import PHONE, Pages, settle
from playwright.sync_api import Locator, Page, expect
from processes import Service

_MANY: Final = 25
_INK: Final = "(canvas) => canvas.toDataURL().length"
"""Grows with what is drawn on a canvas."""
_BLANK: Final = """() => {
  const seen = document.querySelector(".plane canvas"), blank = document.createElement("canvas");
  [blank.width, blank.height] = [seen.width, seen.height];
  return seen.toDataURL() === blank.toDataURL();
}"""


def buys(service: Service, user: str, *items: str) -> None:
    """Have a user buy items, and wait until it is known."""
    events = [{"user_id": user, "event_type": "purchase", "item_id": item} for item in items]
    service.post("/v1/events", events, wait="applied")


def title(service: Service, item: str) -> str:
    """What an item is called."""
    features: dict[str, Any] = service.get(f"/v1/items/{item}")["features"]
    return str(features["title"])


def ink(canvas: Locator) -> int:
    """How much is drawn on a canvas."""
    return int(canvas.evaluate(_INK))


def drawn(page: Page) -> Locator:
    """The canvas of a map, once something is on it."""
    canvas = page.locator(".plane canvas")
    expect(canvas).to_be_visible()
    page.wait_for_function(f"!({_BLANK})()")
    return canvas


def test_known_users_are_leafed_through_and_chosen(pages: Pages, service: Service) -> None:
    for n in range(_MANY + 2):
        buys(service, f"leaf-{n}", "book-2")
    page = settle(pages.open("/#/user"))
    names = page.get_by_role("region", name="Known users").get_by_role("row")
    expect(names).to_have_count(_MANY + 1)
    first = names.nth(1).get_by_role("link").first.inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("page 2")).to_be_visible()
    expect(page.get_by_role("link", name=first, exact=True)).to_have_count(0)
    page.get_by_role("button", name="Before").click()
    page.get_by_role("region").get_by_role("link", name=first, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"User {first}")


def test_a_user_is_followed_while_one_looks(pages: Pages, service: Service) -> None:
    buys(service, "followed", "book-2")
    page = settle(pages.open("/#/user?user=followed"))
    name = title(service, "book-3")
    events = page.get_by_role("list").filter(has=page.get_by_text("bought"))
    expect(events.last).not_to_contain_text(name)
    buys(service, "followed", "book-3")
    expect(events.last).to_contain_text(name)


def test_a_weight_leads_to_the_events_behind_it(pages: Pages, service: Service) -> None:
    page = settle(pages.open("/#/user?user=ada"))
    weights = service.get("/v1/users/ada")["profile"]["weights"]
    key = next(key for key in weights if key.startswith("category="))
    row = page.get_by_role("button", name=key.replace("=", " "), exact=False).first
    row.click()
    expect(row).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".evidence").get_by_role("link").first).to_be_visible()


def test_the_timeline_is_walked_by_keys(pages: Pages) -> None:
    page = settle(pages.open("/#/user?user=ada"))
    page.locator(".dot[tabindex='0']").focus()
    page.keyboard.press("Home")
    oldest = page.locator(".readout").inner_text()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".readout")).not_to_have_text(oldest)
    expect(page.locator(".dot.active")).to_be_focused()


def test_a_user_is_exported_and_erased(pages: Pages, service: Service) -> None:
    buys(service, "leaving", "book-2", "book-3")
    page = settle(pages.open("/#/user?user=leaving"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    held = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert [event["item_id"] for event in held["events"]] == ["book-2", "book-3"]
    page.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("2 events in the log")
    pages.expect("/v1/users/leaving: 404")
    pages.expect("console error: .* 404")
    page.get_by_role("button", name="Erase leaving").click()
    expect(page.get_by_text("Erased and verified: 2 events are gone")).to_be_focused()
    expect(page.get_by_text("Nothing is known of leaving.")).to_be_visible()


def test_a_legend_takes_items_away_and_brings_them_back(pages: Pages) -> None:
    page = settle(pages.open("/#/map"))
    canvas = drawn(page)
    all_of_it = ink(canvas)
    first = page.get_by_role("group", name="What is shown").get_by_role("button").first
    first.click()
    expect(first).to_have_attribute("aria-pressed", "false")
    page.mouse.move(0, 0)
    page.wait_for_function(f"({_INK})(document.querySelector('.plane canvas')) < {all_of_it}")
    page.get_by_role("button", name="show all", exact=True).click()
    expect(first).to_have_attribute("aria-pressed", "true")


def test_numbers_have_a_scale(pages: Pages) -> None:
    page = settle(pages.open("/#/map"))
    page.get_by_role("combobox", name="Coloured by").select_option("year")
    legend = page.get_by_role("group", name="What is shown").get_by_role("button")
    expect(legend.first).to_contain_text(re.compile(r"\d{3,4}"))
    assert "feature=year" in page.url


def test_the_map_is_walked_by_keys(pages: Pages) -> None:
    page = settle(pages.open("/#/map"))
    drawn(page)
    page.locator(".plane").focus()
    for key in ("+", "+", "ArrowLeft", "ArrowDown", "-", "0"):
        page.keyboard.press(key)
    expect(page.locator(".map-tip")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"#/items\?item=book-"))


def test_the_wheel_comes_closer_and_a_drag_moves(pages: Pages) -> None:
    page = settle(pages.open("/#/map"))
    canvas = drawn(page)
    expect(page.locator(".plane")).to_have_attribute("data-near", "false")
    canvas.hover()
    page.mouse.wheel(0, -400)
    expect(page.locator(".plane")).to_have_attribute("data-near", "true")
    before, url = canvas.screenshot(), page.url
    page.mouse.down()
    page.mouse.move(600, 500, steps=4)
    page.mouse.up()
    assert canvas.screenshot() != before
    assert page.url == url


def test_interests_move_while_one_looks(pages: Pages, service: Service) -> None:
    buys(service, "mover", "book-2")
    page = settle(pages.open("/#/map?user=mover", still=False))
    canvas = drawn(page)
    panel = page.get_by_role("complementary", name="The user")
    expect(panel).to_contain_text(title(service, "book-2"))
    buys(service, "mover", "book-30")
    expect(panel).to_contain_text(title(service, "book-30"))
    expect(canvas).to_have_attribute("aria-label", re.compile("with the interests of mover: .*%"))


def test_a_phone_has_the_map_and_the_words_below(pages: Pages) -> None:
    page = settle(pages.open("/#/map?user=ada", size=PHONE))
    map_box = drawn(page).bounding_box()
    words = page.get_by_role("complementary", name="The user").bounding_box()
    assert map_box is not None
    assert words is not None
    assert words["y"] > map_box["y"] + map_box["height"]
