"""The page of the dead letters does what it offers, and leaves the other letters alone."""

from __future__ import annotations

import json
from typing import Any

from pages import Pages, settle
from past import REASON
from playwright.sync_api import Locator, Page, expect
from processes import Service


def letters(page: Page) -> Locator:
    """The letters that are shown."""
    return page.locator("tr.letter")


def mend(page: Page, user_id: str) -> Locator:
    """Open the letter of a user; give the field with its event."""
    row = letters(page).filter(has_text=user_id)
    expect(row).to_contain_text(REASON)
    row.get_by_role("button", name="Mend").click()
    return page.get_by_label("The event, to be mended")


def test_a_letter_is_mended_with_help_and_sent_again(pages: Pages, service: Service) -> None:
    pages.expect("422")
    page = settle(pages.open("/#/dead-letters"))
    before = letters(page).count()
    field = mend(page, "eve-0")
    event: dict[str, Any] = json.loads(field.input_value())
    field.fill(json.dumps({**event, "value": 9}))
    page.get_by_role("button", name="Send again", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("value")
    field.fill(json.dumps({**event, "user_id": "mended", "value": 5}))
    page.get_by_role("button", name="Send again", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Mended and sent again")).to_be_visible()
    expect(letters(page)).to_have_count(before - 1)
    assert service.get("/v1/users/mended")["counts"] == {"rate": 1}


def test_a_letter_is_dropped_after_a_question(pages: Pages, service: Service) -> None:
    page = settle(pages.open("/#/dead-letters"))
    before = letters(page).count()
    mend(page, "eve-1")
    page.get_by_role("button", name="Drop", exact=True).click()
    page.get_by_role("button", name="Leave it").click()
    expect(letters(page)).to_have_count(before)
    page.get_by_role("button", name="Drop", exact=True).click()
    page.get_by_role("button", name="Drop it").click()
    expect(page.get_by_role("status").filter(has_text="Dropped")).to_be_visible()
    expect(letters(page)).to_have_count(before - 1)
    assert service.get("/v1/stats")["totals"]["dead_letters"] == before - 1


def test_what_was_written_in_a_letter_that_is_gone_can_be_discarded(
    pages: Pages, service: Service
) -> None:
    page = settle(pages.open("/#/dead-letters"))
    mend(page, "eve-2").fill('{"user_id": "somebody"}')
    letters_now = service.get("/v1/dead-letters")["dead_letters"]
    letter = next(one for one in letters_now if one["event"]["user_id"] == "eve-2")
    service.http.delete(f"/v1/dead-letters/{letter['letter_id']}").raise_for_status()
    orphan = page.get_by_role("region", name="A letter is gone")
    expect(orphan).to_contain_text('{"user_id": "somebody"}')
    orphan.get_by_role("button", name="Discard", exact=True).click()
    page.get_by_role("button", name="Discard it").click()
    expect(orphan).to_have_count(0)
