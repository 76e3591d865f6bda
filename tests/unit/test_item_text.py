"""Items: what is embedded, filtered and profiled of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.items import Item, content_digest, facets, filter_kinds, item_text

FREE = frozenset({"title", "description"})

KETTLE = Item(
    "t",
    "p1",
    {
        "price": 24.5,
        "category": "kitchen",
        "title": "Blue kettle",
        "tags": ["steel", "gift"],
        "in_stock": True,
        "description": "Boils water.",
    },
)


def of(**features: Any) -> Item:
    return Item("t", "p1", features)


def test_free_text_comes_first_then_the_words_of_the_other_features():
    expected = "Blue kettle. Boils water.. kitchen. steel, gift"
    assert item_text(KETTLE, FREE) == expected


def test_an_items_own_text_is_embedded_as_it_is():
    assert item_text(replace(KETTLE, text="A kettle"), FREE) == "A kettle"


def test_numbers_and_booleans_are_not_embedded():
    assert item_text(of(price=5, rating=4.5, new=True, year=[1999]), FREE) == "p1"


def test_a_numeric_title_is_embedded_all_the_same():
    assert item_text(of(title=1984), FREE) == "1984"


def test_a_list_of_free_text_is_embedded_as_its_words():
    assert "[" not in item_text(of(title=["War", "Peace"]), FREE)


@pytest.mark.parametrize("features", [{}, {"title": ""}, {"tags": []}, {"tags": [""]}])
def test_an_item_that_says_nothing_is_embedded_by_its_id(features: dict[str, Any]):
    assert item_text(Item("t", "p1", features), FREE) == "p1"


def test_the_text_has_a_bound():
    assert len(item_text(of(title="x" * 10_000), FREE)) == 8_000
    assert len(item_text(replace(KETTLE, text="x" * 10_000), FREE)) == 8_000


@pytest.mark.parametrize(
    "change",
    [
        {"features": {**KETTLE.features, "price": 25.0}},
        {"features": {**KETTLE.features, "new": True}},
        {"features": {}},
        {"text": "A kettle"},
        {"available_from": 1.0},
        {"available_until": 1.0},
    ],
)
def test_every_field_that_can_be_set_changes_the_digest(change: dict[str, Any]):
    assert content_digest(replace(KETTLE, **change)) != content_digest(KETTLE)


def test_the_start_and_the_end_of_availability_are_not_mixed_up():
    assert content_digest(replace(KETTLE, available_from=1.0)) != content_digest(
        replace(KETTLE, available_until=1.0)
    )


def test_true_and_one_are_different_content():
    assert content_digest(of(new=True)) != content_digest(of(new=1))


@given(st.permutations(sorted(KETTLE.features)))
def test_the_order_of_features_does_not_change_the_digest(order: list[str]):
    shuffled = {name: KETTLE.features[name] for name in order}
    assert content_digest(replace(KETTLE, features=shuffled)) == content_digest(KETTLE)


def test_the_order_within_a_list_is_content():
    assert content_digest(of(tags=["a", "b"])) != content_digest(of(tags=["b", "a"]))


def test_facets_are_the_words_that_are_not_free_text():
    assert facets(KETTLE.features, FREE) == ["category=kitchen", "tags=steel", "tags=gift"]


def test_long_and_empty_words_are_no_facets():
    features = {"brand": "x" * 65, "maker": "x" * 64, "colour": "", "size": ["", "L"]}
    assert facets(features, FREE) == ["maker=" + "x" * 64, "size=L"]


def test_each_feature_is_filtered_as_what_it_is():
    assert filter_kinds(KETTLE.features, FREE) == {
        "price": "number",
        "category": "keyword",
        "tags": "keyword",
        "in_stock": "bool",
    }


@pytest.mark.parametrize(
    ("value", "kind"),
    [([1, 2], "number"), ([True], "bool"), (["x"], "keyword"), (0, "number"), (False, "bool")],
)
def test_a_list_is_filtered_as_its_members_are(value: object, kind: str):
    assert filter_kinds({"x": value}, FREE) == {"x": kind}


@pytest.mark.parametrize("value", ["", [], [""], None])
def test_an_empty_value_tells_no_kind(value: object):
    assert filter_kinds({"x": value}, FREE) == {}
