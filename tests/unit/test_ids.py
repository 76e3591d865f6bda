"""Ids and the point ids derived from them."""

from __future__ import annotations

import re
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.ids import ID_PATTERN, is_id, item_point, new_event_id, point_id, user_point

ALPHABET = string.ascii_letters + string.digits + "_.:@-"

ids = st.text(ALPHABET, min_size=1, max_size=128)


@given(ids)
def test_every_text_of_the_alphabet_is_an_id(text: str):
    assert is_id(text)
    assert re.search(ID_PATTERN, text)


@pytest.mark.parametrize(
    "text", ["", "a b", "a/b", "a\n", "\x00", "ä", "a" * 129, "a,b", "a|b", "１", "a\u200b"]
)
def test_other_texts_are_no_ids(text: str):
    assert not is_id(text)


def test_the_length_of_an_id_has_a_bound():
    assert is_id("a" * 128)
    assert not is_id("a" * 129)


def test_point_ids_never_change():
    assert item_point("default", "p1") == "a70c1d06-d441-5e5e-b1f7-96ff0d95e2a6"
    assert user_point("default", "u1") == "f7b5310f-32ef-5cf8-afee-16ce09f95c00"


def test_a_point_id_is_a_canonical_uuid():
    text = point_id("item", "default", "p1")
    assert str(uuid.UUID(text)) == text
    assert uuid.UUID(text).version == 5


def test_the_same_id_is_another_point_in_another_tenant_or_kind():
    points = {
        point_id(kind, tenant, "x") for kind in ("item", "user") for tenant in ("a", "b", "ab")
    }
    assert len(points) == 6


@given(ids, ids, ids, ids)
def test_points_are_the_same_only_for_the_same_tenant_and_id(a: str, b: str, c: str, d: str):
    assert (item_point(a, b) == item_point(c, d)) == ((a, b) == (c, d))


def test_new_event_ids_are_ids_and_differ():
    made = [new_event_id() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert all(is_id(one) for one in made)


def test_new_event_ids_sort_by_time():
    times = [one[:12] for one in (new_event_id() for _ in range(100))]
    assert times == sorted(times)
