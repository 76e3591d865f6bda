"""*Try it* over the real service: what is done is in the list, in this page and in others."""

from __future__ import annotations

import re
from typing import Final

from pages import PHONE, Pages, find, ranked, settle
from playwright.sync_api import expect
from processes import Service

WITHIN_MS: Final = 3_000.0
"""Far more than it takes, for a machine that is busy with other tests."""


def test_what_is_bought_changes_the_list_without_a_reload(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=buyer", still=False))
    before = ranked(page)
    page.evaluate("window.here = true")
    find(page, "The Hobbit").get_by_role("button", name="Buy").click()
    expect(page.get_by_text("You bought The Hobbit")).to_be_visible()
    after = ranked(page)
    assert after != before
    shown_ms = float(page.locator("[data-shown-ms]").get_attribute("data-shown-ms") or "nan")
    assert 0 < shown_ms < WITHIN_MS
    expect(page.locator("[data-shown-ms]")).to_contain_text(" ms to the new list")
    assert page.evaluate("window.here") is True
    expect(page.get_by_role("heading", name="Recommended to buyer now")).to_be_visible()


def test_every_act_of_a_shopper_is_taken(pages: Pages, service: Service) -> None:
    page = settle(pages.open("/#/try?user=active"))
    item = find(page, "The Hobbit")
    for name, told in (
        ("Click", "clicked"),
        ("To cart", "put into the cart"),
        ("Like", "liked"),
        ("Dislike", "disliked"),
    ):
        item.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_text(f"You {told} The Hobbit")).to_be_visible()
    rate = item.get_by_role("button", name="Rate")
    rate.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(rate).to_be_focused()
    rate.press("Enter")
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("You gave 4 of 5 to The Hobbit")).to_be_visible()
    page.get_by_label("Catalogue", exact=True).fill("dragons")
    page.get_by_role("button", name="Search as the user").click()
    expect(page.get_by_text("You searched for “dragons”")).to_be_visible()
    types = ("click", "add_to_cart", "like", "dislike", "rate", "search")
    assert service.get("/v1/users/active")["counts"] == dict.fromkeys(types, 1)


def test_what_is_recommended_can_be_bought_where_it_stands(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=shelf"))
    third = page.locator("[data-item]").nth(2)
    item, name = ranked(page)[2], third.get_by_role("link").first.inner_text()
    third.get_by_role("button", name="Buy").click()
    expect(page.get_by_text(f"You bought {name}")).to_be_visible()
    expect(page.locator(f"[data-item={item}]")).to_have_count(0)


def test_what_was_measured_is_not_told_of_an_event_that_failed(
    pages: Pages, service: Service
) -> None:
    page = settle(pages.open("/#/try?user=unlucky"))
    item = find(page, "The Hobbit")
    item.get_by_role("button", name="Like", exact=True).click()
    expect(page.locator("[data-shown-ms]")).to_be_visible()
    page.evaluate(
        """() => {
          const { send } = WebSocket.prototype;
          WebSocket.prototype.send = function (text) {
            send.call(this, text.replace('"dislike"', '"nonsense"'));
          };
        }"""
    )
    item.get_by_role("button", name="Dislike").click()
    took = page.get_by_role("status").filter(has_text="You disliked The Hobbit")
    expect(took).to_contain_text("event_type")
    expect(page.locator("[data-shown-ms]")).to_have_count(0)
    service.post("/v1/events", {"user_id": "unlucky", "event_type": "like", "item_id": "book-3"})
    expect(page.get_by_text("and since: ")).to_be_visible()
    expect(page.locator("[data-shown-ms]")).to_have_count(0)


def test_a_second_page_of_the_same_user_sees_the_push_too(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=twice"))
    other = settle(pages.open("/#/try?user=twice"))
    before = ranked(other)
    find(page, "The Hobbit").get_by_role("button", name="Buy").click()
    expect(other.get_by_text("Something else happened to twice")).to_be_visible()
    assert ranked(other) == ranked(page)
    assert ranked(other) != before


def test_the_reasons_of_a_place_are_told(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=ada"))
    page.get_by_role("button", name="All reasons for place 1", exact=True).click()
    shown = page.locator("[data-item]").first.locator(".why li .number")
    expect(shown.first).to_be_visible()
    score = float(page.locator("[data-item]").first.locator(".blend-of .number").inner_text())
    assert abs(sum(map(float, shown.all_inner_texts())) - score) < 0.01


def test_a_filter_is_kept_to(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=ada"))
    page.get_by_label("Feature").select_option("category")
    page.get_by_label("Value").fill("classics")
    page.get_by_role("button", name="Add filter").click()
    rows = page.locator("[data-item]")
    expect(rows.first).to_be_visible()
    expect(rows.filter(has_text="classics")).to_have_count(rows.count())
    page.get_by_role("button", name="Remove the filter category=classics").click()
    expect(rows.filter(has_not_text="classics").first).to_be_visible()


def test_wishes_are_in_the_address_and_stay_from_user_to_user(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=ada&filter=category%3Dclassics"))
    page.get_by_label("Diversity").fill("0.5")
    expect(page).to_have_url(re.compile("diversity=0.5"))
    page.get_by_label("User", exact=True).fill("wisher")
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.get_by_role("heading", name="nothing is known of wisher yet")).to_be_visible()
    page.reload()
    settle(page)
    expect(page.get_by_label("Diversity")).to_have_value("0.5")
    rows = page.locator("[data-item]")
    expect(rows.first).to_be_visible()
    expect(rows.filter(has_text="classics")).to_have_count(rows.count())
    page.get_by_role("button", name="As they were").click()
    expect(rows.filter(has_not_text="classics").first).to_be_visible()
    assert page.url.endswith("#/try?user=wisher")


def test_a_name_that_is_left_half_typed_is_not_looked_for(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=ada"))
    page.get_by_label("User", exact=True).press_sequentially("x")
    page.get_by_label("Catalogue", exact=True).click()
    page.get_by_label("Catalogue", exact=True).fill("The Hobbit")
    expect(page.get_by_role("heading", name="Recommended to ada now")).to_be_visible()
    assert page.url.endswith("#/try?user=ada")


def test_a_phone_tells_what_became_of_an_act_where_it_is_seen(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=small", size=PHONE))
    find(page, "The Hobbit").get_by_role("button", name="Like", exact=True).click()
    told = page.get_by_text("You liked The Hobbit")
    expect(told).to_be_visible()
    expect(told).to_be_in_viewport()
    expect(page.get_by_label("Catalogue", exact=True)).to_be_in_viewport()


def test_another_user_is_chosen_by_name(pages: Pages) -> None:
    page = settle(pages.open("/#/try?user=ada"))
    page.get_by_label("User", exact=True).fill("newcomer")
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.get_by_role("heading", name="nothing is known of newcomer yet")).to_be_visible()
    assert page.url.endswith("#/try?user=newcomer")


def test_the_live_connection_comes_back_after_the_service_was_away(
    pages: Pages, service: Service
) -> None:
    page = settle(pages.open("/#/try?user=patient"))
    before = ranked(page)
    pages.expect("ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|ERR_SOCKET")
    service.terminate()
    try:
        expect(page.get_by_role("status").filter(has_text="not answering")).to_be_visible()
    finally:
        service.start()
    page.evaluate("dispatchEvent(new Event('online'))")  # or wait for it to look by itself
    expect(page.get_by_text("ready, live")).to_be_visible()
    find(page, "The Hobbit").get_by_role("button", name="Buy").click()
    expect(page.get_by_text("You bought The Hobbit")).to_be_visible()
    assert ranked(page) != before
