"""A browser, a service that all share, and pages that are watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from books import fill
from chrome import running
from pages import Pages
from past import leave
from playwright.sync_api import Browser
from processes import Service


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all; it is started with the first page."""
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with books, what real readers thought of them, what Ada did, and a past.

    Tests take users of their own.
    """
    made = Service(tmp_path_factory.mktemp("browser") / "data")
    try:
        leave(made.data_dir)
        made.start()
        fill(made)
        yield made
    finally:
        made.close()


@pytest.fixture
def pages(browser: Browser, service: Service) -> Iterator[Pages]:
    """Opens pages; the test fails if anything goes wrong in one of them."""
    opened = Pages(browser, service.url)
    yield opened
    opened.close()
