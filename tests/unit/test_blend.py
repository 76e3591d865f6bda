"""The query that is made of taste and profile."""

from __future__ import annotations

import math

import numpy as np
import pytest
from domain_cases import DAY_S, NOBODY, RULES, VECTORS, event, folded, histories, retraction
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.events import Event
from indexer.domain.profile import Profile
from recsvc.blend import BlendRules, Part, blend, mix

A, B, C = (VECTORS[f"item:{name}"] for name in "abc")


def rules(
    profile: float = 0.3, short: float = 0.5, half_life_profile_s: float = math.inf
) -> BlendRules:
    return BlendRules(
        profile, short, RULES.half_life_long_s, RULES.half_life_short_s, half_life_profile_s
    )


def profile_of(vector: np.ndarray | None) -> Profile:
    return Profile({"category=books": 1.0}, "", "counter", 1, 0.0, vector=vector)


def same_direction(one: np.ndarray, other: np.ndarray) -> bool:
    return float(one @ other) == pytest.approx(float(np.linalg.norm(other)), abs=1e-5)


@given(
    histories(), st.sampled_from([None, A, B]), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e7)
)
def test_a_query_is_a_unit_vector_whenever_there_is_one(
    events: list[Event],
    towards: np.ndarray | None,
    share: float,
    short: float,
    later_s: float,
):
    state = folded(events)
    query = blend(state, profile_of(towards), rules(share, short), state.reference_s + later_s)
    if query is None:
        assert share > 0.0 or short > 0.0 or not state.has_taste
    else:
        assert float(np.linalg.norm(query.vector)) == pytest.approx(1.0, abs=1e-5)
        assert query.vector.dtype == np.float32


def test_one_liked_item_is_the_query():
    query = blend(folded([event("e1", item_id="a")]), None, rules(), 0.0)
    assert query is not None
    assert same_direction(query.vector, A)
    assert query.profile == 0.0


def test_with_no_share_the_profile_changes_nothing():
    state = folded([event("e1", item_id="a"), event("e2", "dislike", item_id="c")])
    without, with_profile = (
        blend(state, None, rules(), 0.0),
        blend(state, profile_of(B), rules(profile=0.0), 0.0),
    )
    assert without is not None
    assert with_profile is not None
    assert np.array_equal(without.vector, with_profile.vector)
    assert with_profile.profile == 0.0


def test_with_the_whole_share_the_profile_is_the_query():
    query = blend(folded([event("e1", item_id="a")]), profile_of(B), rules(profile=1.0), 0.0)
    assert query is not None
    assert same_direction(query.vector, B)
    assert (query.long, query.short) == (0.0, 0.0)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_share_brings_the_query_nearer_to_the_profile(one: float, other: float):
    state = folded([event("e1", item_id="a")])
    less, more = (
        blend(state, profile_of(B), rules(profile=share), 0.0) for share in sorted([one, other])
    )
    assert less is not None
    assert more is not None
    assert float(less.vector @ B) <= float(more.vector @ B) + 1e-5


def test_the_profile_fades_to_half_its_share_in_its_half_life():
    state, fading = folded([event("e1", item_id="a")]), rules(0.4, 0.0, half_life_profile_s=DAY_S)
    for days, share in ((0, 0.4), (1, 0.2), (2, 0.1)):
        query = blend(state, profile_of(B), fading, days * DAY_S)
        assert query is not None
        assert same_direction(query.vector, (1.0 - share) * A + share * B)


@given(st.floats(0, 1), st.floats(0, 400 * DAY_S), st.floats(0, 400 * DAY_S))
def test_an_older_profile_never_has_more_share(share: float, one_s: float, other_s: float):
    state = folded([event("e1", item_id="a")])
    fading = rules(share, 0.0, half_life_profile_s=30 * DAY_S)
    newer, older = (
        blend(state, profile_of(B), fading, age_s) for age_s in sorted([one_s, other_s])
    )
    assert newer is not None
    assert older is not None
    assert older.profile <= newer.profile + 1e-6
    assert float(older.vector @ B) <= float(newer.vector @ B) + 1e-5


def test_a_profile_from_a_clock_ahead_is_no_more_than_fresh():
    state, fading = folded([event("e1", item_id="a")]), rules(half_life_profile_s=DAY_S)
    ahead = blend(state, profile_of(B), fading, -5 * DAY_S)
    fresh = blend(state, profile_of(B), fading, 0.0)
    assert ahead is not None
    assert fresh is not None
    assert ahead.profile == fresh.profile


@pytest.mark.parametrize("profile", [None, profile_of(None)], ids=["none", "no vector"])
def test_without_a_profile_the_taste_takes_its_share(profile: Profile | None):
    state = folded([event("e1", item_id="a")])
    query, alone = blend(state, profile, rules(0.9), 0.0), blend(state, None, rules(0.0), 0.0)
    assert query is not None
    assert alone is not None
    assert np.array_equal(query.vector, alone.vector)


def test_the_short_taste_fades_with_the_time_since_the_last_event():
    events = [event("e1", "purchase", item_id="a"), event("e2", at=20 * DAY_S, item_id="b")]
    state = folded(events)
    nearness = []
    for days in (0, 1, 2, 5, 30):
        query = blend(state, None, rules(short=1.0), (20 + days) * DAY_S)
        assert query is not None
        nearness.append(float(query.vector @ B))
    assert nearness == sorted(nearness, reverse=True)
    assert nearness[0] == pytest.approx(1.0, abs=1e-3)
    assert query is not None
    assert same_direction(query.vector, state.long.vector)


def test_the_short_taste_is_half_after_its_half_life():
    state = folded([event("e1", item_id="a"), event("e2", at=DAY_S, item_id="b")])
    query = blend(state, None, rules(short=0.8), 2 * DAY_S)
    long, short = (
        total.vector / np.linalg.norm(total.vector) for total in (state.long, state.short)
    )
    assert query is not None
    assert same_direction(query.vector, 0.6 * long + 0.4 * short)


def test_events_from_a_clock_ahead_do_not_make_the_short_taste_more_than_fresh():
    state = folded([event("e1", item_id="a"), event("e2", at=DAY_S, item_id="b")])
    behind, at_once = blend(state, None, rules(), 0.0), blend(state, None, rules(), DAY_S)
    assert behind is not None
    assert at_once is not None
    assert np.array_equal(behind.vector, at_once.vector)


def test_a_retracted_event_does_not_make_the_short_taste_fresh():
    kept = [event("e1", item_id="a"), event("e2", at=0.5 * DAY_S, item_id="b")]
    newest = event("e3", at=6 * DAY_S, item_id="c")
    now = 6 * DAY_S
    undone = blend(folded([*kept, newest, retraction("e3")]), None, rules(short=1.0), now)
    never = blend(folded(kept), None, rules(short=1.0), now)
    assert undone is not None
    assert never is not None
    assert undone.vector == pytest.approx(never.vector, abs=1e-4)


@pytest.mark.parametrize("gap_days", [1, 30, 400, 1_100, 3_000])
def test_a_neutral_rating_after_a_long_pause_leaves_a_query(gap_days: int):
    neutral = event("e2", "rate", at=gap_days * DAY_S, item_id="b", value=3.0)
    state = folded([event("e1", "purchase", item_id="a"), neutral])
    query = blend(state, None, rules(), gap_days * DAY_S)
    assert query is not None
    assert same_direction(query.vector, A)


def test_who_likes_nothing_has_no_query():
    assert blend(NOBODY, None, rules(), 0.0) is None
    assert blend(folded([event("e1", "dislike")]), profile_of(B), rules(), 0.0) is None


def test_taste_and_profile_that_cancel_out_are_no_query():
    state = folded([event("e1", item_id="a")])
    assert blend(state, profile_of(-A), rules(profile=0.5), 0.0) is None


# Sessions


@given(st.lists(st.tuples(st.sampled_from(sorted(VECTORS)), st.floats(-2, 2)), min_size=1))
def test_the_scaled_parts_of_a_mix_add_up_to_its_vector(pairs: list[tuple[str, float]]):
    parts = [Part({"kind": "item"}, factor, VECTORS[name]) for name, factor in pairs]
    total = np.sum([part.factor * part.vector for part in parts], axis=0)
    mixed = mix(parts)
    if float(np.linalg.norm(total)) > 1e-2:
        assert mixed is not None
        vector, scaled = mixed
        assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)
        summed = np.sum([part.factor * part.vector for part in scaled], axis=0)
        assert summed == pytest.approx(vector, abs=1e-4)
        assert [part.reason for part in scaled] == [part.reason for part in parts]


def test_no_parts_and_opposite_parts_are_no_query():
    assert mix([]) is None
    assert mix([Part({}, 1.0, A), Part({}, -1.0, A)]) is None
