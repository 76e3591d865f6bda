"""When a model is asked for a user's profile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.profile import COUNTER, Profile
from indexer.domain.state import Entry, UserState
from indexer.profiling.plan import PlanRules, next_ask

RULES = PlanRules(events=10, interval_s=600.0, min_interval_s=15.0)
NOW = 10_000.0

weights = st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, -2.0]), max_size=50)


def state_of(*weights: float, count: int | None = None, retracted: tuple[str, ...] = ()):
    """A user of one event a weight; ``count``: of all events, where they are more."""
    window = tuple(
        Entry(float(n), f"x{n}", "click", weight, "item:a") for n, weight in enumerate(weights)
    )
    events = len(window) if count is None else count
    return UserState("t", "u", event_count=events, window=window, retracted=retracted)


def made(at: float, *, knowing: int, evidence: tuple[str, ...] = ()) -> Profile:
    """A model's profile that knows of that many events."""
    shown = {"category=books": evidence} if evidence else {}
    return Profile({"category=books": 1.0}, "", "m", 1, at, event_count=knowing, evidence=shown)


COUNTED = Profile({"category=books": 1.0}, "", COUNTER, 1, NOW)
without_a_models_profile = pytest.mark.parametrize(
    "profile", [None, COUNTED], ids=["no profile", "counted"]
)


@without_a_models_profile
def test_one_passing_click_is_not_worth_a_call(profile: Profile | None):
    assert next_ask(state_of(1.0), profile, RULES, NOW, NOW) is None
    assert next_ask(state_of(0.5, 1.0), profile, RULES, NOW, NOW) is None


@without_a_models_profile
@pytest.mark.parametrize("events", [(3.0,), (0.5, 0.5, 0.5)], ids=["a purchase", "three views"])
def test_a_first_profile_is_asked_for_seconds_after_there_is_a_little_to_say(
    events: tuple[float, ...], profile: Profile | None
):
    assert next_ask(state_of(*events), profile, RULES, NOW, NOW) == NOW + 3.0


def test_more_events_do_not_put_off_a_first_profile():
    assert next_ask(state_of(3.0), None, RULES, NOW - 60.0, NOW) == NOW - 57.0


def test_without_news_nothing_is_asked():
    assert next_ask(state_of(3.0, 3.0), made(0.0, knowing=2), RULES, 0.0, NOW) is None


def test_ten_new_events_are_asked_about_as_soon_as_the_least_interval_allows():
    state = state_of(*[1.0] * 12)
    assert next_ask(state, made(NOW, knowing=2), RULES, NOW, NOW) == NOW + 15.0


def test_fewer_new_events_are_asked_about_after_the_long_interval():
    state, profile = state_of(*[1.0] * 11), made(0.0, knowing=2)
    assert next_ask(state, profile, RULES, NOW, NOW) == NOW + 600.0


def test_also_after_the_long_interval_the_least_one_is_kept():
    state, profile = state_of(1.0, 1.0, 1.0), made(NOW, knowing=2)
    assert next_ask(state, profile, RULES, NOW - 1_000.0, NOW) == NOW + 15.0


def test_purchases_count_double():
    profile = made(NOW, knowing=0)
    assert next_ask(state_of(*[3.0] * 5), profile, RULES, NOW, NOW) == NOW + 15.0
    assert next_ask(state_of(*[3.0] * 4), profile, RULES, NOW, NOW) == NOW + 600.0


def test_dislikes_are_news_like_likes():
    profile = made(NOW, knowing=0)
    assert next_ask(state_of(*[-2.0] * 5), profile, RULES, NOW, NOW) == NOW + 15.0


def test_more_new_events_than_the_state_remembers_are_counted_still():
    state = state_of(*[1.0] * 50, count=500)
    assert next_ask(state, made(NOW, knowing=1), RULES, NOW, NOW) == NOW + 15.0


def test_a_profile_that_rests_on_a_retracted_event_is_asked_for_again():
    state = state_of(1.0, 1.0, 1.0, retracted=("gone",))
    profile = made(NOW, knowing=3, evidence=("x0", "gone"))
    assert next_ask(state, profile, RULES, NOW, NOW) == NOW + 15.0


def test_a_profile_of_more_events_than_are_left_is_asked_for_again():
    state, profile = state_of(1.0, 1.0, retracted=("gone",)), made(NOW, knowing=3)
    assert next_ask(state, profile, RULES, NOW, NOW) == NOW + 15.0


def test_of_who_took_everything_back_nothing_is_asked():
    state, profile = state_of(retracted=("gone",)), made(NOW, knowing=1, evidence=("gone",))
    assert next_ask(state, profile, RULES, NOW, NOW) is None


@given(weights, st.integers(0, 60), st.floats(0, NOW), st.floats(0, NOW))
def test_two_calls_are_never_nearer_than_the_least_interval(
    events: list[float], knowing: int, made_at: float, first_due: float
):
    at = next_ask(state_of(*events), made(made_at, knowing=knowing), RULES, first_due, NOW)
    assert at is None or at >= made_at + RULES.min_interval_s


@given(weights, st.integers(0, 60), st.floats(0, NOW))
def test_what_is_new_is_asked_about_in_the_end(events: list[float], knowing: int, first: float):
    at = next_ask(state_of(*events), made(0.0, knowing=knowing), RULES, first, NOW)
    assert (at is not None) == bool(len(events) > knowing or (events and len(events) < knowing))
