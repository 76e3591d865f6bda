"""Cursors."""

from __future__ import annotations

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import InvalidInput
from recsvc.pages import DEPTH_MAX, Place, next_cursor, place_of, point_cursor, point_of


@given(st.integers(0, DEPTH_MAX - 1), st.integers(1, 100), st.none() | st.floats(0, 1e11))
def test_a_cursor_leads_to_where_and_when_its_page_ended(start: int, limit: int, at: float | None):
    cursor = next_cursor(start, limit, returned=limit, at=at)
    if start + limit < DEPTH_MAX:
        assert place_of(cursor) == Place(
            start + limit, at if at is None else pytest.approx(at, abs=1e-6)
        )
        assert cursor is not None
        assert len(cursor) <= 64
    else:
        assert cursor is None


@given(st.integers(0, DEPTH_MAX), st.integers(1, 100), st.data())
def test_a_page_that_is_not_full_is_the_last(start: int, limit: int, data: st.DataObject):
    assert next_cursor(start, limit, returned=data.draw(st.integers(0, limit - 1))) is None


def test_without_a_cursor_a_list_begins_at_its_beginning():
    assert place_of(None) == Place(0, None)


def test_a_cursor_can_be_part_of_an_address():
    cursors = [next_cursor(start, 10, 10, 1.8e9) for start in range(0, 900, 7)]
    assert all(cursor and cursor.replace("-", "").replace("_", "").isalnum() for cursor in cursors)


@given(st.one_of(st.text(max_size=40), st.binary(max_size=20).map(base64.urlsafe_b64encode)))
def test_any_text_is_a_place_in_the_list_or_refused_input(cursor: str | bytes):
    text = cursor if isinstance(cursor, str) else cursor.decode()
    refused, start = None, 0
    try:
        start = place_of(text).start
    except InvalidInput as exc:
        refused = exc.errors[0].loc
    assert 0 <= start < DEPTH_MAX
    assert refused in (None, ("cursor",))


@pytest.mark.parametrize(
    "text",
    [
        *("", "o", "o-1", "oo", "5", "o1000", "o" + "9" * 5_000, "o1.5", "x5", "o5 or 1=1"),
        *("o5@", "o5@-1", "o5@nan", "o5@inf", "o5@1e9", "o5@" + "9" * 5_000, "o٣", "o5\n"),
    ],
)
def test_a_cursor_of_another_making_is_refused(text: str):
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    with pytest.raises(InvalidInput, match="is not a next_cursor of an earlier answer"):
        place_of(cursor)


@given(st.uuids())
def test_a_cursor_leads_to_the_point_that_its_page_begins_with(point: uuid.UUID):
    cursor = point_cursor(str(point))
    assert cursor is not None
    assert len(cursor) <= 64
    assert point_of(cursor) == str(point)


def test_the_first_page_begins_with_no_point():
    assert point_of(point_cursor(None)) is None


@pytest.mark.parametrize("cursor", ["", "x", "é", next_cursor(0, 10, 10), "cHh4", "A" * 64])
def test_what_is_no_point_is_refused(cursor: str):
    with pytest.raises(InvalidInput, match="not a next_cursor"):
        point_of(cursor)
