"""Cursors."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import InvalidInput
from recsvc.pages import DEPTH_MAX, next_cursor, start_of


@given(st.integers(0, DEPTH_MAX - 1), st.integers(1, 100))
def test_a_cursor_leads_to_where_its_page_ended(start: int, limit: int):
    cursor = next_cursor(start, limit, returned=limit)
    if start + limit < DEPTH_MAX:
        assert start_of(cursor) == start + limit
    else:
        assert cursor is None


@given(st.integers(0, DEPTH_MAX), st.integers(1, 100), st.data())
def test_a_page_that_is_not_full_is_the_last(start: int, limit: int, data: st.DataObject):
    assert next_cursor(start, limit, returned=data.draw(st.integers(0, limit - 1))) is None


def test_without_a_cursor_a_list_begins_at_its_beginning():
    assert start_of(None) == 0


def test_a_cursor_can_be_part_of_an_address():
    cursors = [next_cursor(start, 10, 10) for start in range(0, 900, 7)]
    assert all(cursor and cursor.replace("-", "").replace("_", "").isalnum() for cursor in cursors)


@given(st.one_of(st.text(max_size=40), st.binary(max_size=20).map(base64.urlsafe_b64encode)))
def test_any_text_is_a_place_in_the_list_or_refused_input(cursor: str | bytes):
    text = cursor if isinstance(cursor, str) else cursor.decode()
    refused, start = None, 0
    try:
        start = start_of(text)
    except InvalidInput as exc:
        refused = exc.errors[0].loc
    assert 0 <= start < DEPTH_MAX
    assert refused in (None, ("cursor",))


@pytest.mark.parametrize(
    "text", ["", "o", "o-1", "oo", "5", "o1000", "o" + "9" * 5_000, "o1.5", "x5", "o5 or 1=1"]
)
def test_a_cursor_of_another_making_is_refused(text: str):
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    with pytest.raises(InvalidInput, match="is not a next_cursor of an earlier answer"):
        start_of(cursor)
