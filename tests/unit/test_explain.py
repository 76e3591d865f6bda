"""Reasons add up to the score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from domain_cases import DAY_S, RULES, VECTORS, event, folded, histories, unit_vectors
from hypothesis import assume, given
from hypothesis import strategies as st

from indexer.domain.events import Event
from indexer.domain.profile import Profile, profile_vector, term_text
from indexer.domain.state import UserState
from recsvc.blend import Blend, BlendRules, Part, blend
from recsvc.explain import event_parts, profile_parts, reasons

TERMS = ("category=books", "category=toys", "tags=new")
TERM_VECTORS = unit_vectors(TERMS, seed=11)
TEXT_VECTORS = {term_text(term): vector for term, vector in TERM_VECTORS.items()}
ITEM_VECTORS = list(unit_vectors(map(str, range(20)), seed=5).values())
ITEM = ITEM_VECTORS[0]

items = st.sampled_from(ITEM_VECTORS)
preferences = st.dictionaries(st.sampled_from(TERMS), st.sampled_from([-1.0, -0.4, 0.3, 1.0]))


def profile_of(weights: dict[str, float]) -> Profile:
    vector = profile_vector(weights, TERM_VECTORS)
    return Profile(weights, "", "counter", 1, 0.0, vector=vector)


def rules(profile: float = 0.3, short: float = 0.5) -> BlendRules:
    return BlendRules(profile, short, RULES.half_life_long_s, RULES.half_life_short_s, math.inf)


def parts_of(state: UserState, profile: Profile, query: Blend, how: BlendRules) -> list[Part]:
    parts = event_parts(state, query, VECTORS, how)
    return parts + profile_parts(profile, query, TEXT_VECTORS) if query.profile else parts


def total(found: list[dict[str, object]]) -> float:
    return sum(float(str(reason["contribution"])) for reason in found)


@given(histories(most=20), preferences, st.floats(0, 1), st.floats(0, 1), st.floats(0, 60), items)
def test_the_reasons_of_an_item_add_up_to_its_score(
    events: list[Event],
    weights: dict[str, float],
    share: float,
    short: float,
    later_days: float,
    item: np.ndarray,
):
    state, profile, how = folded(events), profile_of(weights), rules(share, short)
    query = blend(state, profile, how, state.reference_s + later_days * DAY_S)
    assume(query is not None)
    score = float(query.vector @ item)
    found = reasons(parts_of(state, profile, query, how), item, score, rest="history")
    assert total(found) == pytest.approx(score, abs=1e-3)


@given(histories(span_days=10), preferences, st.floats(0, 1), st.floats(0, 1), st.floats(0, 10))
def test_events_and_preferences_explain_a_query_without_a_rest(
    events: list[Event], weights: dict[str, float], share: float, short: float, later_days: float
):
    state, profile, how = folded(events), profile_of(weights), rules(share, short)
    query = blend(state, profile, how, state.reference_s + later_days * DAY_S)
    assume(query is not None)
    # Where likes and dislikes all but cancel out, single precision has no digits left to compare.
    assume(max(query.long * state.long.mass, query.short * state.short.mass) < 100)
    explained = np.sum(
        [part.factor * part.vector for part in parts_of(state, profile, query, how)], axis=0
    )
    assert explained == pytest.approx(query.vector, abs=1e-3)


def test_an_event_is_named_with_its_item_and_a_search_with_its_query():
    events = [event("e1", "purchase", item_id="a"), event("e2", "search", query="Tea")]
    state = folded(events)
    query = blend(state, None, rules(), 0.0)
    assert query is not None
    parts = event_parts(state, query, VECTORS, rules())
    assert [part.reason for part in parts] == [
        {"kind": "event", "event_id": "e1", "event_type": "purchase", "item_id": "a"},
        {"kind": "event", "event_id": "e2", "event_type": "search", "query": "tea"},
    ]


def test_a_preference_is_named_with_its_weight():
    state, profile = folded([event("e1")]), profile_of({"category=books": 0.3, "tags=new": -1.0})
    query = blend(state, profile, rules(), 0.0)
    assert query is not None
    assert [part.reason for part in profile_parts(profile, query, TEXT_VECTORS)] == [
        {"kind": "profile", "feature": "category=books", "weight": 0.3},
        {"kind": "profile", "feature": "tags=new", "weight": -1.0},
    ]


def test_a_liked_item_speaks_for_itself_and_a_disliked_one_against():
    state = folded([event("e1", "purchase", item_id="a"), event("e2", "dislike", item_id="b")])
    query = blend(state, None, rules(), 0.0)
    assert query is not None
    liked, disliked = event_parts(state, query, VECTORS, rules())
    assert liked.factor * float(liked.vector @ VECTORS["item:a"]) > 0
    assert disliked.factor * float(disliked.vector @ VECTORS["item:b"]) < 0


def test_events_that_wait_or_count_nothing_are_no_reasons():
    known = {ref: vector for ref, vector in VECTORS.items() if ref != "item:b"}
    events = [
        event("e1", item_id="a"),
        event("e2", item_id="b"),
        event("e3", "rate", item_id="c", value=3.0),
    ]
    state = folded(events, vectors=known)
    query = blend(state, None, rules(), 0.0)
    assert query is not None
    named = [part.reason["event_id"] for part in event_parts(state, query, VECTORS, rules())]
    assert named == ["e1"]


def test_the_five_strongest_reasons_are_named_and_the_rest_is_one():
    parts = [Part({"kind": "event", "event_id": f"e{n}"}, 0.01 * n, ITEM) for n in range(1, 9)]
    found = reasons(parts, ITEM, 0.36, rest="history")
    assert [reason.get("event_id") for reason in found] == ["e8", "e7", "e6", "e5", "e4", None]
    assert found[-1] == {"kind": "history", "contribution": pytest.approx(0.06)}


def test_what_speaks_against_an_item_is_as_strong_as_what_speaks_for_it():
    parts = [Part({"kind": "a"}, 0.1, ITEM), Part({"kind": "b"}, -0.4, ITEM)]
    assert [reason["kind"] for reason in reasons(parts, ITEM, -0.3, rest="history")] == ["b", "a"]


def test_a_reason_without_effect_is_not_named():
    parts = [Part({"kind": "a"}, 0.5, ITEM), Part({"kind": "b"}, 0.0, ITEM)]
    assert reasons(parts, ITEM, 0.5, rest="history") == [
        {"kind": "a", "contribution": pytest.approx(0.5, abs=1e-5)}
    ]


def test_a_score_without_known_parts_is_all_rest():
    assert reasons([], ITEM, 0.25, rest="history") == [{"kind": "history", "contribution": 0.25}]
    assert reasons([], ITEM, 0.0, rest="history") == []
