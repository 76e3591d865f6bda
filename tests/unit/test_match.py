"""Filters asked of one item's features, which must say what the store says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from indexer.domain.items import filter_kinds
from indexer.errors import InvalidInput
from recsvc.filters import FILTERS_MAX, parse_filters
from recsvc.match import compile_filter, compile_filters

KINDS = {"category": "keyword", "tags": "keyword", "price": "number", "sizes": "number",
         "in-stock": "bool", "flags": "bool"}  # fmt: skip
KETTLE: dict[str, Any] = {
    "category": "kitchen",
    "tags": ["steel", "arts, crafts"],
    "price": 24.5,
    "sizes": [1, 2],
    "in-stock": True,
    "flags": [],
}


def holds(text: str, features: dict[str, Any] = KETTLE) -> bool:
    return compile_filter(text)(features)


@pytest.mark.parametrize(
    "text",
    [
        "category=kitchen",
        " category = books , kitchen ",
        "category~kitchen",
        "category!=books,toys",
        "tags=steel",
        "tags~wood,steel",
        r"tags~arts\, crafts",
        "tags!=wood",
        "price=24.5",
        "price=7,2.45e1",
        "price!=24",
        "price<25",
        "price<=24.5",
        "price>24",
        "price>=24.5",
        "sizes=2.0",
        "sizes<2",
        "sizes>1",
        "in-stock=true",
        "in-stock=TRUE",
        "in-stock!=false",
    ],
)
def test_a_filter_holds_for_what_it_describes(text: str):
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "category=books",
        "category=Kitchen",
        "category=kitchen ware",
        "category!=kitchen",
        "category!=books,kitchen",
        "tags=arts, crafts",
        "tags!=wood,steel",
        "price=24",
        "price!=24.5",
        "price<24.5",
        "price>24.5",
        "sizes>2",
        "sizes!=3,2",
        "in-stock=false",
        "in-stock!=true",
    ],
)
def test_a_filter_does_not_hold_for_anything_else(text: str):
    assert not holds(text)


@pytest.mark.parametrize("sign", ["=", "<", "<=", ">", ">=", "~"])
@pytest.mark.parametrize("features", [{}, {"price": None}, {"price": []}])
def test_what_is_absent_satisfies_nothing_but_an_inequality(sign: str, features: dict[str, Any]):
    assert not holds(f"price{sign}0", features)
    assert holds("price!=0", features)


@pytest.mark.parametrize("text", ["price<1", "price>=1", "price~5", "price=1"])
@pytest.mark.parametrize("value", ["0", "5x", True, [False], [], {"a": 1}])
def test_a_range_is_for_numbers_and_a_number_is_no_word_or_boolean(text: str, value: object):
    assert not holds(text, {"price": value})


def test_a_value_is_compared_as_what_it_is():
    assert holds("year=1984", {"year": 1984})
    assert holds("year=1984", {"year": "1984"})
    assert not holds("year=1984.0", {"year": "1984"})
    assert holds("flag=true", {"flag": "true"})
    assert not holds("flag=TRUE", {"flag": "true"})
    assert not holds("flag=1", {"flag": True})
    assert not holds("flag=true", {"flag": 1})


def test_a_number_can_be_alone_among_words():
    matches = compile_filter("size=S,42,nan")
    assert [matches({"size": size}) for size in ("S", 42, 42.0, "nan", 41)] == [
        True, True, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'': not of the form feature=value (operators: = != < <= > >= ~)"),
        ("category", "not of the form feature=value"),
        ("=books", "not of the form feature=value"),
        ("a.b=books", "not of the form feature=value"),
        ("category=", "1 to 100 values are needed, none of them empty"),
        ("category=books,", "none of them empty"),
        ("category=" + ",".join("x" * 101), "1 to 100 values"),
        ("price<cheap", "'price<cheap': < takes one finite number"),
        ("price>=nan", ">= takes one finite number"),
        ("price<=1e999", "<= takes one finite number"),
        ("price>1,2", "> takes one finite number"),
    ],
)
def test_a_malformed_filter_is_refused_by_name(text: str, said: str):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        compile_filter(text)
    assert str(caught.value).startswith(repr(text[:80]))


def test_all_of_several_filters_must_hold():
    assert compile_filters(["category=kitchen", "price<25"])(KETTLE)
    assert not compile_filters(["category=kitchen", "price<24"])(KETTLE)
    assert compile_filters([])(KETTLE)


def test_the_number_of_filters_has_a_bound():
    compile_filters(["a=b"] * FILTERS_MAX)
    with pytest.raises(ValueError, match="21 filters, at most 20"):
        compile_filters(["a=b"] * (FILTERS_MAX + 1))


@given(st.one_of(st.text(max_size=40), st.from_regex(r"(category|price)[=<>!~]{1,2}.{0,9}")))
def test_what_the_store_can_be_asked_an_item_can_be_asked(text: str):
    try:
        parse_filters([text], KINDS)
    except InvalidInput:
        return
    assert holds(text) in (True, False)


# Agreement with the store

words = st.sampled_from(["a", "b", "A", "a b", "a,b", "1", "true", "é"])
numbers = st.one_of(
    st.integers(-2, 2),
    st.sampled_from([-0.0, 0.5, 1.0, 1e300, 2**53, 0.1 + 0.2]),
)
flags = st.booleans()
items = st.fixed_dictionaries(
    {},
    optional={
        "category": st.one_of(words, st.just("")),
        "tags": st.lists(words, max_size=3),
        "price": numbers,
        "sizes": st.lists(numbers, max_size=3),
        "in-stock": flags,
        "flags": st.lists(flags, max_size=2),
    },
)


def _text(name: str, signs: str, values: st.SearchStrategy[str], most: int = 3) -> Any:
    lists = st.lists(values, min_size=1, max_size=most).map(",".join)
    return st.builds("{}{}{}".format, st.just(name), st.sampled_from(signs.split()), lists)


asked_words = words.map(lambda word: word.replace(",", "\\,"))
asked_numbers = numbers.map(repr)
asked_flags = st.sampled_from(["true", "false", "True"])
filters = st.one_of(
    *[_text(name, "= != ~", asked_words) for name in ("category", "tags")],
    *[_text(name, "= !=", asked_numbers) for name in ("price", "sizes")],
    *[_text(name, "< <= > >=", asked_numbers, most=1) for name in ("price", "sizes")],
    *[_text(name, "= !=", asked_flags, most=1) for name in ("in-stock", "flags")],
)


@pytest.fixture(scope="module")
def store() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    yield client
    client.close()


@settings(max_examples=200)
@given(st.lists(items, min_size=1, max_size=6), st.lists(filters, min_size=1, max_size=3))
def test_an_item_is_meant_here_if_and_only_if_the_store_finds_it(
    store: QdrantClient, catalogue: list[dict[str, Any]], texts: list[str]
):
    store.delete_collection("items")
    store.create_collection("items", vectors_config={})
    points = [
        models.PointStruct(id=place, vector={}, payload={"features": features})
        for place, features in enumerate(catalogue)
    ]
    store.upsert("items", points)
    asked = parse_filters(texts, KINDS)
    condition = models.Filter(must=asked.must, must_not=asked.must_not)
    found, _ = store.scroll("items", condition, limit=len(catalogue))
    matches = compile_filters(texts)
    meant = [place for place, features in enumerate(catalogue) if matches(features)]
    assert meant == sorted(int(record.id) for record in found)


@given(items)
def test_the_catalogues_compared_have_the_kinds_they_are_asked_by(features: dict[str, Any]):
    assert filter_kinds(features, frozenset()).items() <= KINDS.items()
