"""A headless Chromium or Chrome, which has no name server: it reaches this machine only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Playwright, expect, sync_playwright

VARIABLE: Final = "RECSVC_TEST_BROWSER"
PATIENCE_MS: Final = 20_000
"""How long a page may take for something, on a machine that is busy with other tests."""
_NAMES: Final = (
    "chromium-headless-shell",  # takes two thirds of the time
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
_FLAGS: Final = (
    "--no-sandbox",  # which root must do without
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class NoBrowser(Exception):
    """There is none on this machine."""


@contextmanager
def running() -> Iterator[Browser]:
    """Start a browser; it ends with the block.

    Raises:
        NoBrowser: none is installed.
    """
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_program(driver), args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def _program(driver: Playwright) -> str:
    if named := os.environ.get(VARIABLE):
        return named
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is not None:
        return found
    own = driver.chromium.executable_path
    if Path(own).exists():
        return own
    raise NoBrowser(
        f"no Chromium or Chrome is on the PATH, and {VARIABLE} names none; "
        "scripts/setup --tests installs one"
    )
