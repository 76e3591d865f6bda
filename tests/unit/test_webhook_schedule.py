"""When a delivery is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.webhooks.schedule import PAUSE_MAX_S, next_try

DAYS_S = 3 * 86_400.0


@pytest.mark.parametrize(("attempts", "pause_s"), [(1, 1), (2, 2), (5, 16), (12, 2048), (13, 3600)])
def test_pauses_double_up_to_an_hour(attempts: int, pause_s: float):
    assert next_try(attempts, 0.0, DAYS_S, 1.0) == pause_s
    assert next_try(attempts, 0.0, DAYS_S, 0.0) == pause_s / 2


def test_what_an_endpoint_asks_for_is_granted_within_the_hour():
    assert next_try(1, 0.0, DAYS_S, 1.0, asked_s=120.0) == 120.0
    assert next_try(1, 0.0, DAYS_S, 1.0, asked_s=1e9) == PAUSE_MAX_S
    assert next_try(10, 0.0, DAYS_S, 1.0, asked_s=1.0) == 512.0


def test_the_last_try_is_at_the_end_and_there_is_none_after_it():
    assert next_try(13, DAYS_S - 5.0, DAYS_S, 0.5) == DAYS_S
    assert next_try(14, DAYS_S, DAYS_S, 0.5) is None


@given(
    st.integers(1, 10_000),
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    st.floats(0, 1),
    st.none() | st.floats(0, 1e12),
)
def test_the_next_try_is_later_and_never_beyond_the_end(
    attempts: int, now: float, until: float, draw: float, asked_s: float | None
):
    at = next_try(attempts, now, until, draw, asked_s)
    if now >= until:
        assert at is None
    else:
        assert at is not None
        assert now < at <= until
        assert at - now <= PAUSE_MAX_S + 1e-3
