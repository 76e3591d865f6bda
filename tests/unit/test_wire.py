"""What is refused at the door, and what is made of the rest."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from indexer.domain.events import DEFAULT_WEIGHTS, Event
from indexer.domain.ids import is_id
from indexer.errors import InvalidInput
from indexer.wire import EVENTS_MAX, EventBatch, EventIn, ItemIn, parse, to_event, to_item

EVENT, ITEM, BATCH = TypeAdapter(EventIn), TypeAdapter(ItemIn), TypeAdapter(EventBatch)
NOW = 1_700_000_000.0
CLICK = {"user_id": "u1", "event_type": "click", "item_id": "p1"}
SEARCH = {"user_id": "u1", "event_type": "search", "query": "tea"}
KETTLE = {"item_id": "p1", "features": {"title": "Kettle"}}


def event(**changes: Any) -> Event:
    """Parse a click with ``changes``, and fill in what it leaves out."""
    return to_event("t", parse(EVENT, json.dumps({**CLICK, **changes})), DEFAULT_WEIGHTS, now=NOW)


def refusal(adapter: TypeAdapter[Any], body: str | dict[str, Any]) -> str:
    """Return the words with which ``body`` is refused."""
    with pytest.raises(InvalidInput) as caught:
        parse(adapter, body if isinstance(body, str) else json.dumps(body))
    return str(caught.value)


def click_with(field: str, literal: str) -> str:
    """Write a click with a field as the very JSON that ``literal`` is."""
    return f'{json.dumps(CLICK)[:-1]}, "{field}": {literal}}}'


# Every refusal names its field


@pytest.mark.parametrize("field", ["user_id", "event_type"])
def test_a_missing_field_is_named(field: str):
    body = {name: value for name, value in CLICK.items() if name != field}
    assert refusal(EVENT, body) == f"{field}: missing"


@pytest.mark.parametrize("adapter", [EVENT, ITEM])
def test_an_unknown_field_is_named(adapter: TypeAdapter[Any]):
    body = CLICK if adapter is EVENT else KETTLE
    assert refusal(adapter, {**body, "colour": "red"}) == "colour: unknown field"


@pytest.mark.parametrize("field", ["user_id", "item_id", "event_id"])
@pytest.mark.parametrize("value", ["", "a b", "a/b", "a\n", "a\x00b", "é", "x" * 129])
def test_a_bad_id_is_named_with_what_is_accepted(field: str, value: str):
    said = refusal(EVENT, {**CLICK, field: value})
    assert said.startswith(f"{field}: must be 1..128 characters of A-Z a-z 0-9 _ . : @ -")


@pytest.mark.parametrize("value", [7, None, ["a"], {"a": 1}, True])
def test_an_id_must_be_a_string(value: object):
    assert refusal(EVENT, {**CLICK, "user_id": value}).startswith("user_id: ")


@pytest.mark.parametrize("value", ["", "Click", "add-to-cart", "9lives", "a" * 65, "click "])
def test_a_malformed_event_type_is_named(value: str):
    assert refusal(EVENT, {**CLICK, "event_type": value}).startswith("event_type: ")


@pytest.mark.parametrize("value", [0, 0.99, 5.01, -1, 1e308])
def test_a_rating_outside_one_to_five_is_named_with_its_value(value: float):
    said = refusal(EVENT, {**CLICK, "event_type": "rate", "value": value})
    assert said.startswith("value: ")
    assert said.endswith(f"not '{value}'")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["value", "timestamp"])
def test_a_number_that_is_not_finite_is_named(field: str, literal: str):
    assert refusal(EVENT, click_with(field, literal)).startswith(f"{field}: ")


@pytest.mark.parametrize("literal", ["NaN", "1e999", "[1, NaN]"])
def test_a_feature_that_is_not_finite_is_named(literal: str):
    said = refusal(EVENT, click_with("item_features", f'{{"price": {literal}}}'))
    assert said.startswith("item_features: 'price': ")
    assert "not a finite number" in said


def test_metadata_that_is_not_finite_is_named():
    said = refusal(EVENT, click_with("metadata", '{"a": [{"b": NaN}]}'))
    assert said.startswith("metadata: ")
    assert "not a finite number" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**CLICK, "event_type": "rate"}, "rate needs value, 1 to 5"),
        ({**SEARCH, "item_id": "p1"}, "search takes no item_id"),
        ({"user_id": "u1", "event_type": "search"}, "search needs query"),
        ({**CLICK, "query": "tea"}, "click takes no query"),
        ({"user_id": "u1", "event_type": "click"}, "click needs item_id"),
        ({"user_id": "u1", "event_type": "retract"}, "retract needs retracts, an event_id"),
        ({**CLICK, "retracts": "e1"}, "click takes no retracts"),
        ({**SEARCH, "item_features": {}}, "item_features needs item_id"),
    ],
)
def test_each_type_has_the_fields_it_needs_and_no_others(body: dict[str, Any], said: str):
    assert refusal(EVENT, body) == said


@pytest.mark.parametrize("query", ["", " ", "\t\n", "\u2003", "x" * 1_001])
def test_a_query_must_say_something_and_not_too_much(query: str):
    assert "query" in refusal(EVENT, {**SEARCH, "query": query})


@pytest.mark.parametrize("text", ["", " \n ", "x" * 20_001])
def test_a_text_to_embed_must_say_something_and_not_too_much(text: str):
    assert "text" in refusal(ITEM, {**KETTLE, "text": text})


# Time


@pytest.mark.parametrize(
    ("sent", "timestamp"),
    [
        (1_700_000_000, 1.7e9),
        (1_700_000_000.25, 1_700_000_000.25),
        (0, 0.0),
        ("2023-11-14T22:13:20Z", 1.7e9),
        ("2023-11-14T23:13:20+01:00", 1.7e9),
        ("2023-11-14T22:13:20.250Z", 1_700_000_000.25),
        ("2023-11-14", 1_699_920_000.0),
    ],
)
def test_a_time_is_unix_seconds_or_iso_8601(sent: object, timestamp: float):
    assert event(timestamp=sent).timestamp == timestamp


def test_a_time_without_a_zone_is_utc():
    assert event(timestamp="2023-11-14T22:13:20").timestamp == 1.7e9


def test_a_time_left_out_is_now():
    assert event().timestamp == NOW


def test_milliseconds_are_refused_with_a_hint():
    said = refusal(EVENT, {**CLICK, "timestamp": 1_700_000_000_000})
    assert said.startswith("timestamp: 1700000000000 is more than 24 h in the future")
    assert "not milliseconds" in said


def test_a_day_ahead_is_taken_and_more_is_not():
    assert event(timestamp=time.time() + 86_000).timestamp > NOW
    assert refusal(EVENT, {**CLICK, "timestamp": time.time() + 90_000}).startswith("timestamp: ")


@pytest.mark.parametrize(
    "value", [-1, True, "yesterday", "1700000000", "", "2023-13-01", [1], {"at": 1}, 10**400]
)
def test_a_time_that_cannot_be_read_is_named(value: object):
    assert refusal(EVENT, {**CLICK, "timestamp": value}).startswith("timestamp: ")


def test_an_item_may_become_available_later():
    sent = parse(ITEM, json.dumps({**KETTLE, "available_from": "2099-01-01"}))
    assert sent.available_from == 4_070_908_800.0


def test_an_item_cannot_end_before_it_begins():
    body = {**KETTLE, "available_from": 9, "available_until": 9}
    assert refusal(ITEM, body) == "available_until must be later than available_from"


# Features


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({"a": {"b": 1}}, "'a': dict is not accepted"),
        ({"a": [[1]]}, "'a': list is not accepted"),
        ({"a": [{"b": 1}]}, "'a': dict is not accepted"),
        ({"a": [None]}, "'a'"),
        ({"a": ["x", None]}, "'a'"),
        ({"a": [1, "x"]}, "'a': a list must not mix"),
        ({"a": [True, 1]}, "'a': a list must not mix"),
        ({"a": ["x"] * 257}, "'a': a list of 257, at most 256"),
        ({"a": "x" * 8_193}, "'a': a string of 8193 characters, at most 8192"),
        ({"a": 2**53 + 1}, "'a': an integer beyond 2**53"),
        ({"a": -(2**53) - 1}, "'a': an integer beyond 2**53"),
        ({f"f{n}": 1 for n in range(65)}, "65 features, at most 64"),
        ({"a b": 1}, "'a b' is not a feature name"),
        ({"": 1}, "'' is not a feature name"),
        ({"a.b": 1}, "'a.b' is not a feature name"),
        ({"-a": 1}, "'-a' is not a feature name"),
        ({"x" * 65: 1}, "is not a feature name"),
    ],
)
def test_features_that_cannot_be_kept_are_named(features: dict[str, Any], said: str):
    assert refusal(ITEM, {"item_id": "p1", "features": features}).startswith("features: ")
    assert said in refusal(EVENT, {**CLICK, "item_features": features})


@pytest.mark.parametrize("features", [None, [], "x", 1])
def test_features_must_be_an_object(features: object):
    assert refusal(ITEM, {"item_id": "p1", "features": features}).startswith("features: ")


@pytest.mark.parametrize(
    "features",
    [
        {},
        {"a": "x" * 8_192, "b": ["x"] * 256, "c": 2**53, "d": [1, 2.5], "e": [True], "f": []},
        {f"f{n}": n for n in range(64)},
        {"x" * 64: 1, "0_a-b": 2, "A": "é\n\x00"},
    ],
)
def test_features_within_the_bounds_are_kept_as_they_are(features: dict[str, Any]):
    assert event(item_features=features).item_features == features


def test_a_feature_that_is_null_is_left_out():
    assert event(item_features={"a": None, "b": 1}).item_features == {"b": 1}


@pytest.mark.parametrize("metadata", [[], "x", {"a": "x" * 16_400}, {"a": 2**53 + 1}])
def test_metadata_that_cannot_be_kept_is_named(metadata: object):
    assert refusal(EVENT, {**CLICK, "metadata": metadata}).startswith("metadata: ")


def test_metadata_may_be_nested_but_not_without_end():
    deep: Any = 1
    for _ in range(16):
        deep = {"a": deep}
    assert event(metadata=deep).metadata == deep
    assert "nested" in refusal(EVENT, {**CLICK, "metadata": {"a": deep}})


# Bodies


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "1", '"x"', '{"user_id": "\\ud800"}'])
def test_what_is_no_event_is_refused(body: str):
    assert refusal(EVENT, body)


@pytest.mark.parametrize(("length", "taken"), [(0, False), (EVENTS_MAX, True), (1_001, False)])
def test_a_list_of_events_has_bounds(length: int, taken: bool):
    body = json.dumps([CLICK] * length)
    if taken:
        assert len(parse(BATCH, body)) == length
    else:
        assert refusal(BATCH, body)


def test_a_refused_event_of_a_list_is_named_by_its_place():
    assert refusal(BATCH, json.dumps([CLICK, {**CLICK, "user_id": "a b"}])).startswith("1.user_id")


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InvalidInput) as caught:
        parse(EVENT, json.dumps({"event_type": "X", "item_id": "a b", "colour": "red"}))
    fields = [error.loc for error in caught.value.errors]
    assert sorted(fields) == [("colour",), ("event_type",), ("item_id",), ("user_id",)]


def test_a_refusal_never_repeats_a_long_value():
    assert len(refusal(EVENT, {**CLICK, "user_id": "x" * 10_000})) < 300


# What is made of it


def test_a_complete_event_passes_through():
    made = event(
        event_id="e1", event_type="rate", value=4, timestamp=5, item_features={"a": 1}, metadata={}
    )
    assert (made.tenant, made.user_id, made.event_id, made.item_id) == ("t", "u1", "e1", "p1")
    assert (made.event_type, made.value, made.timestamp) == ("rate", 4.0, 5.0)
    assert (made.item_features, made.metadata) == ({"a": 1}, {})
    assert made.fingerprint


def test_an_event_without_an_id_gets_one_of_its_own_and_no_fingerprint():
    one, other = event(), event()
    assert is_id(one.event_id)
    assert one.event_id != other.event_id
    assert one.fingerprint == ""


def test_a_type_without_a_weight_is_refused_with_those_that_have_one():
    with pytest.raises(InvalidInput, match=r"event_type: 'share' has no weight; accepted: .*view"):
        event(event_type="share")


def test_a_type_with_a_weight_in_the_settings_is_taken():
    sent = parse(EVENT, json.dumps({**CLICK, "event_type": "share"}))
    assert to_event("t", sent, {"share": 1.0}, now=NOW).event_type == "share"


def test_a_retraction_needs_no_weight():
    sent = parse(EVENT, '{"user_id": "u1", "event_type": "retract", "retracts": "e1"}')
    assert to_event("t", sent, {}, now=NOW).retracts == "e1"


def test_an_item_passes_through():
    sent = parse(ITEM, json.dumps({**KETTLE, "text": "x", "available_until": 5}))
    item = to_item("t", sent.item_id, sent)
    assert (item.tenant, item.item_id, item.features) == ("t", "p1", {"title": "Kettle"})
    assert (item.text, item.available_from, item.available_until) == ("x", None, 5.0)


bodies = st.fixed_dictionaries(
    {"item_id": st.sampled_from(["p1", "p2"])},
    optional={
        "value": st.integers(1, 5),
        "timestamp": st.integers(0, 3),
        "metadata": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
        "item_features": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
    },
)


@given(bodies, bodies)
def test_fingerprints_are_equal_only_for_equal_bodies(one: dict[str, Any], other: dict[str, Any]):
    same = event(event_id="e1", **one).fingerprint == event(event_id="e1", **other).fingerprint
    assert same == (one == other)


@given(st.permutations(["value", "timestamp", "item_id", "metadata"]))
def test_the_order_of_fields_does_not_change_a_fingerprint(order: list[str]):
    body = {"value": 4, "timestamp": 5, "item_id": "p2", "metadata": {"a": 1, "b": 2}}
    shuffled = {name: body[name] for name in order}
    assert event(event_id="e1", **shuffled).fingerprint == event(event_id="e1", **body).fingerprint
