"""Going through a page by Tab."""

from __future__ import annotations

from typing import Any, Final

from playwright.sync_api import Page

STOPS_MAX: Final = 600

_EXPECTED: Final = """() => {
  const all = document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex='0']");
  const wanted = [...all].filter((one) => !one.disabled && one.checkVisibility()
    && !(one.type === "radio" && !one.checked));
  window.stops = new Set(wanted);
  return wanted.length;
}"""
_STOP: Final = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  const isNew = window.stops.delete(one);
  return {
    isNew,
    name: `${one.tagName.toLowerCase()} ${one.getAttribute("aria-label") ?? one.innerText ?? ""}`,
    isPage: one === document.body,
    isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
      && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight,
  };
}"""
_LEFT: Final = "() => [...window.stops].map((one) => one.outerHTML.slice(0, 120))"


def unseen_stops(page: Page) -> list[str]:
    """Press Tab until all that can be reached was; name the stops whose focus cannot be seen."""
    return [stop["name"] for stop in _walk(page) if not stop["isSeen"]]


def never_reached(page: Page) -> list[str]:
    """What cannot be reached by Tab, once `unseen_stops` has gone through the page."""
    left: list[str] = page.evaluate(_LEFT)
    return left


def _walk(page: Page) -> list[dict[str, Any]]:
    stops: list[dict[str, Any]] = []
    wanted = page.evaluate(_EXPECTED)
    for _ in range(STOPS_MAX):
        page.keyboard.press("Tab")
        stop = page.evaluate(_STOP)
        if not stop["isPage"]:
            stops.append(stop)
        if sum(one["isNew"] for one in stops) == wanted or (stop["isPage"] and stops):
            break
    return stops
