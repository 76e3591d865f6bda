"""What the catalogue can be filtered by, and what items are called."""

from __future__ import annotations

from typing import Any

from indexer.domain.items import FilterKind
from recsvc.explore.features import VALUES_MAX, summary
from recsvc.explore.scan import folded, label_of

KINDS: dict[str, FilterKind] = {
    "tags": "keyword",
    "price": "number",
    "in_stock": "bool",
    "brand": "keyword",
}
ITEMS: list[dict[str, Any]] = [
    {"tags": ["red", "blue", "red"], "price": 3, "in_stock": True},
    {"tags": ["red"], "price": [9.5, -1.0], "in_stock": True, "unknown": "x"},
    {"tags": "green", "price": "cheap", "in_stock": False},
    {"tags": [], "in_stock": 1},
]


def test_values_are_counted_once_an_item_the_most_frequent_first():
    shown = {one["name"]: one for one in summary(KINDS, ITEMS)}
    assert list(shown) == ["brand", "in_stock", "price", "tags"]
    assert shown["tags"]["values"] == [
        {"value": "red", "count": 2},
        {"value": "blue", "count": 1},
        {"value": "green", "count": 1},
    ]
    assert shown["in_stock"]["values"] == [
        {"value": True, "count": 2},
        {"value": False, "count": 1},
    ]
    assert shown["brand"] == {
        "name": "brand",
        "kind": "keyword",
        "values": [],
        "min": None,
        "max": None,
    }


def test_numbers_have_a_range_and_no_values():
    price = next(one for one in summary(KINDS, ITEMS) if one["name"] == "price")
    assert price == {"name": "price", "kind": "number", "values": [], "min": -1.0, "max": 9.5}


def test_only_so_many_values_are_told():
    (shown,) = summary({"n": "keyword"}, [{"n": f"v{n}"} for n in range(VALUES_MAX + 9)])
    assert len(shown["values"]) == VALUES_MAX


def test_an_item_is_called_by_its_title_or_name_or_else_its_id():
    assert label_of("p1", {"name": "N", "title": "T"}) == "T"
    assert label_of("p1", {"name": "N", "title": ""}) == "N"
    assert label_of("p1", {"title": ["a", "b"]}) == "p1"


def test_words_are_searched_whatever_their_case_and_accents():
    assert folded("Mary GrandPRÉ") == "mary grandpre"
    assert folded("STRASSE") == folded("straße")
