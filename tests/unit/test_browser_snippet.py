"""The browser snippet: small, on its own, and whole in the page that shows it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

SNIPPET = files("recsvc.browser").joinpath("recsvc.js").read_text()
PAGE = files("recsvc.browser").joinpath("example.html").read_text()


class Page(HTMLParser):
    """What a page refers to, and its own code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.code = ""
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.refers += [value or "" for name, value in attrs if name in ("src", "href")]
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        self.code += data if self._in_script else ""


def offered() -> set[str]:
    found = re.search(r"window\.recsvc = \{([^}]*)\}", SNIPPET)
    assert found is not None
    return {name.strip() for name in found[1].split(",")}


def test_the_snippet_is_under_5_kb():
    assert len(SNIPPET.encode()) < 5_000


def test_the_snippet_needs_nothing_else():
    assert re.search(r"https?://|\bimport\b|\brequire\b|\beval\b|innerHTML", SNIPPET) is None


def test_the_snippet_adds_one_name():
    assert re.findall(r"window\.(\w+) =", SNIPPET) == ["recsvc"]
    assert re.match(r'/\*.*\*/\n\(function \(\) \{\n  "use strict";', SNIPPET)
    assert SNIPPET.endswith("})();\n")


def test_the_snippet_offers_what_is_documented():
    assert offered() == {
        "init",
        "track",
        "view",
        "click",
        "recommend",
        "onRecommendations",
        "render",
    }


def test_the_brackets_of_the_snippet_close():
    code = re.sub(r'"[^"\n]*"|`[^`]*`|/\*.*?\*/|/\\/\+\$/', "", SNIPPET, flags=re.S)
    for opening, closing in ("()", "[]", "{}"):
        assert code.count(opening) == code.count(closing)


def test_the_example_is_twenty_lines_and_loads_the_snippet_only():
    assert len(PAGE.splitlines()) <= 20
    assert Page(PAGE).refers == ["recsvc.js"]


def test_the_example_calls_what_the_snippet_offers():
    called = set(re.findall(r"recsvc\.(\w+)\(", Page(PAGE).code))
    assert called
    assert called <= offered()
