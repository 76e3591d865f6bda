"""Filters as people write them, and the conditions they become."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client.models import FieldCondition, Filter, MatchAny, MatchValue, Range

from indexer.errors import InvalidInput
from recsvc.filters import FILTERS_MAX, Conditions, parse_filters

KINDS = {"category": "keyword", "tags": "keyword", "price": "number", "in-stock": "bool"}


def of(*filters: str) -> Conditions:
    return parse_filters(filters, KINDS)


def words(name: str, *values: str) -> FieldCondition:
    return FieldCondition(key=f"features.{name}", match=MatchAny(any=list(values)))


def prices(**bounds: float) -> FieldCondition:
    return FieldCondition(key="features.price", range=Range(**bounds))


def flag(value: bool) -> FieldCondition:
    return FieldCondition(key="features.in-stock", match=MatchValue(value=value))


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("category=books", words("category", "books")),
        ("category=books,toys", words("category", "books", "toys")),
        ("tags~rust", words("tags", "rust")),
        ("price=5", prices(gte=5, lte=5)),
        ("price=5,7.5", Filter(should=[prices(gte=5, lte=5), prices(gte=7.5, lte=7.5)])),
        ("price<5", prices(lt=5)),
        ("price<=5", prices(lte=5)),
        ("price>5", prices(gt=5)),
        ("price>=-5e3", prices(gte=-5000)),
        ("in-stock=true", flag(True)),
        ("in-stock=FALSE", flag(False)),
    ],
)
def test_a_filter_becomes_a_condition_that_must_hold(text: str, condition: object):
    assert of(text) == Conditions(must=[condition], must_not=[])


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("category!=books", words("category", "books")),
        ("category!=books,toys", words("category", "books", "toys")),
        ("price!=5", prices(gte=5, lte=5)),
        ("price!=5,6", Filter(should=[prices(gte=5, lte=5), prices(gte=6, lte=6)])),
        ("in-stock!=true", flag(True)),
    ],
)
def test_a_negation_becomes_a_condition_that_must_not_hold(text: str, condition: object):
    assert of(text) == Conditions(must=[], must_not=[condition])


def test_all_filters_must_hold():
    conditions = of("category=books", "price<=5", "price>1", "tags!=sale")
    assert conditions.must == [words("category", "books"), prices(lte=5), prices(gt=1)]
    assert conditions.must_not == [words("tags", "sale")]


def test_no_filters_are_no_conditions():
    assert of() == Conditions()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (r"category=arts\, crafts", ["arts, crafts"]),
        (r"category=a\,b,c", ["a,b", "c"]),
        ("category= books , toys ", ["books", "toys"]),
        ("  category = books  ", ["books"]),
        ("category=a=b", ["a=b"]),
        ("category=<b>", ["<b>"]),
        ("category=~", ["~"]),
        ("category=été\nfrais", ["été\nfrais"]),
    ],
)
def test_values_are_taken_literally_but_for_commas(text: str, values: list[str]):
    assert of(text).must == [words("category", *values)]


@given(st.lists(st.text(min_size=1).filter(lambda t: t.strip() == t and "\\" not in t), min_size=1))
def test_every_list_of_words_can_be_asked_for(values: list[str]):
    escaped = ",".join(value.replace(",", "\\,") for value in values)
    assert of(f"category={escaped}").must == [words("category", *values)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not of the form feature=value"),
        ("category", "not of the form feature=value"),
        ("=books", "not of the form feature=value"),
        ("-category=books", "not of the form feature=value"),
        ("colour=red", "'colour' cannot be filtered by; accepted: category, in-stock, price, tags"),
        ("category=", "1 to 100 values are needed, none of them empty"),
        ("category=books,", "none of them empty"),
        ("category=" + ",".join("x" * 101), "1 to 100 values"),
        ("category<5", "'category' is a keyword; accepted operators: = != ~"),
        ("price~5", "'price' is a number; accepted operators: = != < <= > >="),
        ("in-stock>true", "'in-stock' is a bool; accepted operators: = !="),
        ("in-stock=yes", "true or false is accepted"),
        ("in-stock=true,false", "true or false is accepted"),
        ("price=cheap", "'cheap' is not a finite number"),
        ("price<=nan", "'nan' is not a finite number"),
        ("price<=1e999", "'1e999' is not a finite number"),
        ("price==5", "'=5' is not a finite number"),
        ("price<5,6", "< takes one number"),
    ],
)
def test_a_filter_that_cannot_hold_is_named_with_what_is_accepted(text: str, said: str):
    with pytest.raises(InvalidInput, match=re.escape(said)) as caught:
        of("category=books", text)
    assert caught.value.errors[0].loc == ("filter",)
    assert caught.value.errors[0].msg.startswith(repr(text[:80]))


def test_an_empty_catalogue_can_be_filtered_by_nothing():
    with pytest.raises(InvalidInput, match="accepted: nothing, as the catalogue is empty"):
        parse_filters(["category=books"], {})


def test_the_number_of_filters_has_a_bound():
    assert len(of(*["price<5"] * FILTERS_MAX).must) == FILTERS_MAX
    with pytest.raises(InvalidInput, match="filter: 21, at most 20"):
        of(*["price<5"] * (FILTERS_MAX + 1))


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_refused_input(text: str):
    refused, conditions = None, Conditions()
    try:
        conditions = of(text)
    except InvalidInput as exc:
        refused = exc.errors[0].loc
    assert (refused is not None) or len(conditions.must) + len(conditions.must_not) == 1
    assert refused in (None, ("filter",))
