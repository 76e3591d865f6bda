"""The console of a service with API keys: it asks for one, and says what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from books import books
from pages import Pages, settle
from playwright.sync_api import Browser, Page, expect
from processes import Service

from indexer.domain.ids import DEFAULT_TENANT
from recsvc.security import SCOPES, Keyring

SOME = 40
REFUSED = r"\b401\b|No Auth|HTTP Authentication failed"
"""What the browser says of a request without a known key, and of such a WebSocket."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A service with keys: one of all scopes, and one that may only read."""

    service: Service
    key: str
    reader: str


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """A service that asks for keys, with some books."""
    folder = tmp_path_factory.mktemp("keyed")
    ring = Keyring(folder / "keys.toml")
    key = ring.create("all", SCOPES, DEFAULT_TENANT)
    reader = ring.create("reads", ["read"], DEFAULT_TENANT)
    made = Service(folder / "data", RECSVC_API_KEYS_FILE=str(ring.path))
    try:
        made.start()
        made.http.headers["X-API-Key"] = key
        made.post("/v1/items", books(SOME))
        yield Keyed(made, key, reader)
    finally:
        made.close()


@pytest.fixture
def locked(browser: Browser, keyed: Keyed) -> Iterator[Pages]:
    """Opens pages of the service with keys; refusals for want of a key are expected."""
    opened = Pages(browser, keyed.service.url)
    opened.expect(REFUSED)
    yield opened
    opened.close()


def give(page: Page, key: str) -> None:
    """Type a key."""
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Go on").click()


def test_a_key_is_asked_for(locked: Pages) -> None:
    page = locked.open("/")
    expect(page.get_by_role("alert")).to_contain_text("This service asks for an API key.")
    assert page.get_by_label("Key").get_attribute("type") == "password"


def test_a_wrong_key_is_refused_and_the_right_one_taken(locked: Pages, keyed: Keyed) -> None:
    page = locked.open("/")
    give(page, "rs_wrong")
    expect(page.get_by_role("alert")).to_contain_text("This key is not known here.")
    give(page, keyed.key)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_key_stays_in_its_tab_and_is_used_for_the_live_connection(
    locked: Pages, keyed: Keyed
) -> None:
    page = locked.open("/#/try?user=keyed")
    give(page, keyed.key)
    expect(page.get_by_text("ready, live")).to_be_visible()
    page.reload()
    expect(page.locator("[data-item]").first).to_be_visible()
    other = locked.open("/#/try?user=keyed")
    expect(other.get_by_role("alert")).to_contain_text("asks for an API key")


def test_a_key_is_forgotten_when_that_is_wished(locked: Pages, keyed: Keyed) -> None:
    page = locked.open("/")
    give(page, keyed.key)
    settle(page)
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_role("alert")).to_contain_text("asks for an API key")


def test_what_a_key_may_not_do_is_told(locked: Pages, keyed: Keyed) -> None:
    locked.expect("403")
    page = locked.open("/")
    give(page, keyed.reader)
    expect(page.get_by_role("alert").first).to_contain_text("lacks the scope 'admin'")
    expect(page.get_by_role("region", name="Parts")).to_contain_text("event log")
