"""Pages that are watched: whatever goes wrong in one is kept, and fails its test."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from chrome import PATIENCE_MS
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    WebSocket,
    expect,
)

Scheme = Literal["light", "dark"]

DESKTOP: Final = (1280, 800)
PHONE: Final = (390, 844)
_GONE: Final = "net::ERR_ABORTED"
"""How the browser calls a request whose page no longer wants the answer."""
_VIOLATIONS: Final = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} refuses ${event.blockedURI}`));
"""


@dataclass  # without slots: Playwright keeps something at the object whose method it calls
class Pages:
    """Opens pages of one service in contexts of their own, which share no storage."""

    browser: Browser
    url: str
    problems: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def open(
        self,
        path: str,
        *,
        scheme: Scheme = "light",
        size: tuple[int, int] = DESKTOP,
        still: bool = True,
    ) -> Page:
        """Open a page. ``still``: it is asked not to move anything."""
        context = self.browser.new_context(
            base_url=self.url,
            locale="en-US",
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce" if still else "no-preference",
        )
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_VIOLATIONS)
        self._contexts.append(context)
        page = self.watch(context.new_page())
        page.goto(path)
        return page

    def watch(self, page: Page) -> Page:
        """Keep what goes wrong in a page."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("request", lambda request: self._on_address(request.url))
        page.on("websocket", self._on_websocket)
        page.on("requestfailed", self._on_failure)
        page.on("response", self._on_response)
        return page

    def expect(self, pattern: str) -> None:
        """Have something that goes wrong be what the test is about; it must then happen."""
        self.expected.append(pattern)

    def close(self) -> None:
        """Close all, and tell what went wrong and should not have."""
        for context in self._contexts:
            context.close()
        happened = [[one for one in self.problems if re.search(p, one)] for p in self.expected]
        assert all(happened), (self.expected, self.problems)
        wrong = [one for one in self.problems if not any(one in some for some in happened)]
        assert not wrong, "\n".join(wrong)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def _on_address(self, url: str) -> None:
        if not url.startswith((self.url, self.url.replace("http", "ws"), "data:", "blob:")):
            self.problems.append(f"asks another server: {url}")

    def _on_websocket(self, socket: WebSocket) -> None:
        self._on_address(socket.url)
        socket.on("socketerror", lambda error: self.problems.append(f"WebSocket: {error}"))

    def _on_failure(self, request: Request) -> None:
        if request.failure != _GONE:
            self.problems.append(f"{request.method} {request.url}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.request.method} {response.url}: {response.status}")


def settle(page: Page) -> Page:
    """Wait until a page of the console has loaded what it shows."""
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Loading …")).to_have_count(0)
    return page


def ranked(page: Page) -> list[str]:
    """The ids of the recommended items, in order."""
    rows = page.locator("[data-item]")
    expect(rows.first).to_be_visible()
    ids: list[str] = rows.evaluate_all("rows => rows.map(row => row.dataset.item)")
    return ids


def find(page: Page, text: str) -> Locator:
    """Type into the search of the catalogue; give the first item found."""
    page.get_by_label("Catalogue", exact=True).fill(text)
    found = page.get_by_role("list", name="Found items").get_by_role("listitem")
    first = found.filter(has_text=text).first
    expect(found.first).to_contain_text(text)
    return first


def too_wide(page: Page) -> list[str]:
    """What makes a page scroll sideways: the elements that end beyond its right edge."""
    found: list[str] = page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= width) return [];
          return [...document.querySelectorAll("body *")]
            .filter((one) => one.getBoundingClientRect().right > width + 1)
            .map((one) => `${one.tagName.toLowerCase()}.${one.className}`);
        }"""
    )
    return found


def described(violation: dict[str, Any]) -> str:
    """A finding of axe in one line."""
    where = "; ".join(" ".join(node["target"]) for node in violation["nodes"])
    said = violation["nodes"][0]["failureSummary"].replace("\n", " ")
    return f"{violation['impact']}: {violation['id']} at {where}: {said}"
