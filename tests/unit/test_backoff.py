"""How long to wait before trying again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.provider.backoff import RETRY_AFTER_MAX_S, next_wait, retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

draws = st.floats(0, 1, exclude_max=True)
many_draws = st.lists(draws, min_size=2, max_size=11)


def pauses(drawn: list[float]) -> list[float]:
    """The pauses of one call whose tries all fail."""
    waits = [0.0]
    for attempt, draw in enumerate(drawn, start=1):
        waits.append(next_wait(waits[-1], attempt, draw))
    return waits[1:]


# Pauses


@given(many_draws)
def test_a_pause_is_always_clearly_longer_than_the_one_before(drawn: list[float]):
    for before, after in pairwise(pauses(drawn)):
        assert after > before * 1.1


@given(many_draws)
def test_no_pause_is_as_good_as_none(drawn: list[float]):
    assert min(pauses(drawn)) >= 0.05


@given(st.floats(0, 60), st.integers(1, 11), draws)
def test_a_pause_is_bounded(before: float, attempt: int, draw: float):
    assert next_wait(before, attempt, draw) <= max(0.05, 1.2 * before) + 8.0


def test_the_pause_is_drawn_from_a_range_that_doubles():
    spreads = [next_wait(0.0, n, 1.0) - next_wait(0.0, n, 0.0) for n in range(1, 5)]
    assert spreads == pytest.approx([0.25, 0.5, 1.0, 2.0])


def test_the_range_stops_growing():
    assert next_wait(0.0, 6, 1.0) == next_wait(0.0, 11, 1.0) == pytest.approx(8.05)


@given(st.integers(1, 11), draws, draws)
def test_clients_that_fail_together_do_not_come_back_together(attempt: int, one: float, two: float):
    apart = abs(next_wait(0.0, attempt, one) - next_wait(0.0, attempt, two))
    assert apart >= 0.24 * abs(one - two) - 1e-9


@given(st.floats(0.01, RETRY_AFTER_MAX_S), draws)
def test_a_pause_that_was_asked_for_is_not_undercut_by_the_next(asked: float, draw: float):
    assert next_wait(asked, 2, draw) > asked


# What a reply asks for


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "3600"}, 3_600.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "", "retry-after": "9"}, 9.0),
    ],
)
def test_a_wait_is_read_from_either_header(headers: dict[str, str], wait_s: float):
    assert retry_after(headers, NOW) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-5", "nan", "inf", "1e999", "Sun, 99 Foo", "0x10", "7 seconds", "٧ د", "\x00"],
)
def test_what_is_no_wait_asks_for_none(text: str):
    assert retry_after({"retry-after": text}, NOW) is None


def test_no_header_asks_for_none():
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize("seconds", [0, 1, 30, 86_400])
def test_a_date_is_a_wait_until_then(seconds: int):
    at = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"retry-after": at}, NOW) == pytest.approx(seconds)


def test_a_date_that_has_passed_is_no_wait():
    at = format_datetime(NOW - timedelta(hours=1), usegmt=True)
    assert retry_after({"retry-after": at}, NOW) == 0.0


def test_a_date_of_another_zone_is_the_same_moment():
    at = (NOW + timedelta(seconds=20)).astimezone(timezone(timedelta(hours=9)))
    assert retry_after({"retry-after": format_datetime(at)}, NOW) == pytest.approx(20)


def test_a_date_without_a_zone_is_utc():
    assert retry_after({"retry-after": "Sun, 01 Mar 2026 12:00:20"}, NOW) == pytest.approx(20)


@given(st.text() | st.from_regex(r"\w{3}, \d{1,25} \w{3} -?\d{1,25} \d+:\d+:\d+ [-+]?\w{1,25}"))
def test_no_header_breaks_a_call(text: str):
    for name in ("retry-after", "retry-after-ms"):
        wait_s = retry_after({name: text}, NOW)
        assert wait_s is None or 0.0 <= wait_s < float("inf")


@pytest.mark.parametrize("year", ["9" * 12, "9" * 30])
def test_a_year_beyond_all_calendars_asks_for_nothing(year: str):
    assert retry_after({"retry-after": f"Mon, 01 Jan {year} 00:00:00 GMT"}, NOW) is None
