"""The console without a mouse."""

from __future__ import annotations

from pages import Pages, settle
from playwright.sync_api import expect


def test_the_first_stop_skips_to_the_page(pages: Pages) -> None:
    page = settle(pages.open("/#/overview"))
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="To the page")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_a_page_that_is_gone_to_has_the_focus(pages: Pages) -> None:
    page = settle(pages.open("/#/overview"))
    page.get_by_role("link", name="Items", exact=True).focus()
    page.keyboard.press("Enter")
    settle(page)
    expect(page).to_have_title("Items · recsvc")
    expect(page.get_by_role("main")).to_be_focused()


def test_a_user_that_is_chosen_on_a_page_has_the_focus(pages: Pages) -> None:
    page = settle(pages.open("/#/user"))
    page.get_by_role("region", name="Known users").get_by_role("link", name="ada").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("User ada")
    expect(page.get_by_role("main")).to_be_focused()


def test_a_question_is_left_by_a_press_beside_it_alone(pages: Pages) -> None:
    page = settle(pages.open("/#/user?user=ada"))
    page.get_by_role("button", name="Erase", exact=True).click()
    dialog = page.get_by_role("dialog")
    box = dialog.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 6, box["y"] + 6)
    expect(dialog).to_be_visible()
    page.mouse.click(box["x"] - 20, box["y"] - 20)
    expect(dialog).to_have_count(0)
