"""Takes pictures of every page of the console, over the demo with its shoppers at work.

Each page is taken in light and dark, on a desk and on a phone, from top to bottom, into a folder
that is given. The picture of the README, docs/images/console.png, is made anew in any case; its
milliseconds are this machine's, so let nothing else run. What calls to a provider cost and which
events failed is made up, as the demo has neither.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "tests" / "e2e")]

from chrome import running
from pages import DESKTOP, PHONE, Pages, Scheme, settle
from past import leave
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from processes import Service, wait_for

_README: Final = ROOT / "docs" / "images" / "console.png"
_README_BYTES_MAX: Final = 250_000
_SHOWN_S, _GLIDE_MS, _CHARTS_MS = 120.0, 900, 25_000
_DEMO: Final = ("recsvc", "demo", "--no-open", "--shoppers", "12", "--rate", "6")
_DEFAULTS: Final = {"RECSVC_OFFLINE_EMBEDDER": "auto", "RECSVC_EMBEDDING_DIM": "1536"}
_SIZES: Final = {"desktop": DESKTOP, "phone": PHONE}
_SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")


@dataclass(frozen=True, slots=True)
class View:
    """A page of the console, and what is done there before it is taken."""

    path: str
    act: Callable[[Page], None] = lambda _: None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where the pictures of all pages go")
    folder: Path | None = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        service = Service(Path(scratch) / "data", command=_DEMO, **_DEFAULTS)
        leave(service.data_dir)
        try:
            service.start()
            wait_for(lambda: "Ctrl-C stops" in service.log.read_text(), _SHOWN_S)
            with running() as browser:
                take_for_the_readme(browser, service.url)
                if folder is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                    take_all(browser, service.url, folder)
        finally:
            service.close()


def take_all(browser: Browser, url: str, folder: Path) -> None:
    """Take each view in each look; the charts of the overview begin when it is opened."""
    pages = Pages(browser, url)
    for scheme, (name, size) in product(_SCHEMES, _SIZES.items()):
        overview = settle(pages.open("/#/overview", scheme=scheme, size=size))
        for view, one in VIEWS.items():
            page = settle(pages.open(f"/#/{one.path}", scheme=scheme, size=size))
            one.act(page)
            take(page, folder / f"{view}-{scheme}-{name}.png")
            page.close()
        overview.wait_for_timeout(_CHARTS_MS)
        take(overview, folder / f"overview-{scheme}-{name}.png")
    pages.close()


def take(page: Page, path: Path) -> None:
    """Take a page from top to bottom."""
    page.wait_for_timeout(_GLIDE_MS)
    page.screenshot(path=path, full_page=True)
    print(path)


def take_for_the_readme(browser: Browser, url: str) -> None:
    """Take *Try it* as it is on a desk."""
    pages = Pages(browser, url)
    page = settle(pages.open("/#/try?user=ada"))
    buy(page)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    _README.parent.mkdir(parents=True, exist_ok=True)
    image.save(_README, optimize=True)
    size = _README.stat().st_size
    assert size < _README_BYTES_MAX, f"{_README} has {size} bytes"
    print(_README)
    pages.close()


def buy(page: Page) -> None:
    """Search the catalogue and buy the first book that is found."""
    page.get_by_label("Catalogue", exact=True).fill("the hound of the baskervilles")
    found = page.get_by_role("list", name="Found items").get_by_role("listitem")
    expect(found.first).to_contain_text("Baskervilles")
    found.first.get_by_role("button", name="Buy").click()
    expect(page.locator("[data-shown-ms]")).to_be_visible()


def open_the_first_letter(page: Page) -> None:
    """Have a look at a dead letter."""
    page.get_by_role("button", name="Mend").first.click()


VIEWS: Final = {
    "try": View("try?user=ada", buy),
    "user": View("user?user=ada"),
    "map": View("map?user=ada"),
    "items": View("items"),
    "item": View("items?item=book-17"),
    "dead-letters": View("dead-letters", open_the_first_letter),
    "costs": View("costs"),
}


if __name__ == "__main__":
    main()
