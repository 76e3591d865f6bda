"""Events and items survive the log as they were."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.events import Event
from indexer.domain.items import Item
from indexer.streams.codec import (
    decode_event,
    decode_item,
    encode_event,
    encode_item,
    event_fields,
)

words = st.text(max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(words, st.booleans(), st.integers(-(2**53), 2**53), finite)
features = st.dictionaries(words, st.one_of(scalars, st.lists(scalars, max_size=4)), max_size=4)

events = st.builds(
    Event,
    tenant=words,
    user_id=words,
    event_id=words,
    event_type=words,
    timestamp=finite,
    item_id=st.none() | words,
    query=st.none() | words,
    value=st.none() | finite,
    retracts=st.none() | words,
    item_features=st.none() | features,
    metadata=st.none() | features,
    fingerprint=words,
)
items = st.builds(
    Item,
    tenant=words,
    item_id=words,
    features=features,
    text=st.none() | words,
    available_from=st.none() | finite,
    available_until=st.none() | finite,
)


@given(events)
def test_an_event_comes_back_as_it_was(event: Event):
    body = encode_event(event)
    identity = (event.tenant, event.user_id, event.event_id, event.fingerprint)
    assert decode_event(*identity, body) == event


@given(items)
def test_an_item_comes_back_as_it_was(item: Item):
    assert decode_item(item.tenant, item.item_id, encode_item(item)) == item


@given(events)
def test_an_event_is_shown_without_what_is_ours_and_what_is_absent(event: Event):
    shown = event_fields(event)
    assert shown["user_id"] == event.user_id
    assert shown["event_id"] == event.event_id
    assert not {"tenant", "fingerprint"} & shown.keys()
    assert None not in shown.values()


def test_absent_fields_take_no_room():
    body: dict[str, Any] = orjson.loads(encode_event(Event("t", "u", "e", "view", 1.0, "p1")))
    assert body == {"event_type": "view", "timestamp": 1.0, "item_id": "p1"}


@pytest.mark.parametrize("body", ["", "{", "[]", "1", "{}", '{"colour": 1}'])
def test_a_body_of_another_making_is_an_error(body: str):
    with pytest.raises((ValueError, TypeError)):
        decode_event("t", "u", "e", "", body)
