"""The page that shows how `recsvc.js` is used, in a browser."""

from __future__ import annotations

from typing import Any

from pages import Pages
from playwright.sync_api import Page, expect
from processes import Service, wait_for


def shown(page: Page) -> list[str]:
    """The ids of the items in the list, in order."""
    rows = page.locator("#list > li")
    expect(rows).to_have_count(10)
    ids: list[str] = rows.evaluate_all("rows => rows.map(row => row.dataset.recsvcItem)")
    return ids


def history(service: Service, user_id: str) -> dict[str, int]:
    """How often a user did what, as far as it is known."""
    answer = service.http.get(f"/v1/users/{user_id}")
    counts: dict[str, int] = answer.json()["counts"] if answer.is_success else {}
    return counts


def test_the_list_has_titles(pages: Pages) -> None:
    page = pages.open("/example.html?user=reads")
    assert shown(page)
    assert all("book-" not in text for text in page.locator("#list > li").all_inner_texts())


def test_a_view_of_a_marked_element_is_sent_by_itself(pages: Pages, service: Service) -> None:
    pages.open("/example.html?user=views")
    wait_for(lambda: history(service, "views").get("view") == 1)


def test_a_click_is_sent_by_a_beacon(pages: Pages, service: Service) -> None:
    page = pages.open("/example.html?user=beacons")
    sent: list[Any] = []
    page.on("request", lambda request: sent.append((request.method, request.resource_type)))
    page.get_by_role("button", name="An item of the page").click()
    wait_for(lambda: history(service, "beacons").get("click") == 1)
    page.wait_for_timeout(50)
    assert ("POST", "ping") in sent


def test_a_click_changes_the_list_by_a_push_without_a_reload(pages: Pages) -> None:
    page = pages.open("/example.html?user=clicks")
    before = shown(page)
    page.evaluate("window.here = true")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#list button").nth(4).click()
    expect(page.locator(f'[data-recsvc-item="{before[4]}"]')).to_have_count(0)
    assert shown(page) != before
    assert page.evaluate("window.here") is True
    assert not any("recommendations" in url for url in asked)


def test_what_the_user_does_elsewhere_is_pushed_too(pages: Pages, service: Service) -> None:
    page = pages.open("/example.html?user=both")
    before = shown(page)
    bought = {"user_id": "both", "event_type": "purchase", "item_id": before[0]}
    service.post("/v1/events", bought)
    expect(page.locator(f'[data-recsvc-item="{before[0]}"]')).to_have_count(0)
