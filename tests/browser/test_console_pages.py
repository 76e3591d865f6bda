"""Each page of the console: whole, in light and dark, on a desk and on a phone, for everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from pages import PHONE, Pages, described, settle, too_wide
from playwright.sync_api import Browser, Page, expect
from processes import Service
from tabs import never_reached, unseen_stops

PAGES: Final = {
    "overview": "Overview",
    "try?user=ada": "Try it",
    "user?user=ada": "User",
    "map?user=ada": "Map",
    "items": "Items",
    "items?item=book-2": "Items",
    "dead-letters": "Dead letters",
    "costs": "Costs",
}
"""What follows `/#/`, and the title of the page."""

COLOURS: Final = ("color-contrast", "link-in-text-block")
"""The rules of axe that depend on whether it is dark."""
GRAVE: Final = ("serious", "critical")
axe: Final = Axe()


@pytest.fixture(scope="module", params=PAGES)
def opened(
    request: pytest.FixtureRequest, browser: Browser, service: Service
) -> Iterator[tuple[str, Page]]:
    """One page after another, each opened once for the tests of `TestAPage`; and its title."""
    pages = Pages(browser, service.url)
    yield PAGES[request.param], settle(pages.open(f"/#/{request.param}"))
    pages.close()


class TestAPage:
    """What holds for each page, in this order; that nothing goes wrong meanwhile, too."""

    def test_has_its_title_and_one_heading(self, opened: tuple[str, Page]) -> None:
        title, page = opened
        expect(page).to_have_title(re.compile(f"{title} · recsvc$"))
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.get_by_role("alert").all_inner_texts() == []

    def test_is_reached_by_tab_all_over_and_focus_is_seen(self, opened: tuple[str, Page]) -> None:
        _, page = opened
        assert unseen_stops(page) == []
        assert never_reached(page) == []

    def test_is_open_to_everybody(self, opened: tuple[str, Page]) -> None:
        _, page = opened
        assert findings(page) == []

    def test_can_be_read_in_the_dark(self, opened: tuple[str, Page]) -> None:
        _, page = opened
        page.emulate_media(color_scheme="dark")
        expect(page.locator("html[data-theme=dark]")).to_be_attached()
        assert findings(page, *COLOURS) == []

    def test_fits_a_phone(self, opened: tuple[str, Page]) -> None:
        _, page = opened
        page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        page.reload()
        settle(page)
        assert page.locator("html[data-theme=dark]").count() == 1
        assert too_wide(page) == []
        assert page.get_by_role("alert").all_inner_texts() == []


def findings(page: Page, *rules: str) -> list[str]:
    """What keeps some people from using a page; by all rules unless some are named."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    found: list[dict[str, Any]] = axe.run(page, options=options).response["violations"]
    return [described(one) for one in found if one["impact"] in GRAVE]


def test_the_start_is_the_overview(pages: Pages) -> None:
    page = settle(pages.open("/"))
    assert page.get_by_role("navigation").locator("[aria-current=page]").inner_text() == "Overview"


def test_the_window_is_called_after_what_is_looked_at(pages: Pages) -> None:
    page = settle(pages.open("/#/user"))
    expect(page).to_have_title("User · recsvc")
    page.goto("/#/user?user=ada")
    expect(page).to_have_title("ada · User · recsvc")
    page.goto("/#/items?item=book-2")
    name = page.get_by_role("article").get_by_role("heading", level=2).inner_text()
    expect(page).to_have_title(f"{name} · Items · recsvc")
    page.goto("/#/costs")
    expect(page).to_have_title("Costs · recsvc")


def test_a_phone_has_the_service_in_one_row_and_says_that_there_are_more_pages(
    pages: Pages,
) -> None:
    page = settle(pages.open("/#/items", size=PHONE))
    tops = [
        round(box["y"] + box["height"] / 2, -1)
        for one in (
            page.get_by_role("link", name="recsvc"),
            page.get_by_text("ready"),
            page.get_by_label("Colours"),
            page.get_by_role("link", name="API"),
        )
        if (box := one.bounding_box())
    ]
    assert len(tops) == 4
    assert max(tops) - min(tops) <= 10
    navigation = page.get_by_role("navigation")
    expect(navigation).to_have_attribute("data-more", "before after")
    current = navigation.get_by_role("link", name="Items").bounding_box()
    assert current is not None
    assert abs(current["x"] + current["width"] / 2 - PHONE[0] / 2) < 40


def test_an_unknown_page_says_so(pages: Pages) -> None:
    page = settle(pages.open("/#/nowhere"))
    page.get_by_role("link", name="To the overview").click()
    settle(page)
    expect(page).to_have_title("Overview · recsvc")


def test_dark_and_light_are_chosen_and_kept(pages: Pages) -> None:
    page = settle(pages.open("/", scheme="light"))
    page.get_by_label("Colours").select_option("Dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.reload()
    settle(page)
    assert page.evaluate(background) == dark
    page.get_by_label("Colours").select_option("Light")
    assert page.evaluate(background) != dark
