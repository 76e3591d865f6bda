"""Reasons add up to the score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from domain_cases import DAY_S, VECTORS, event, folded, histories, unit_vectors
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from neighbour_cases import CANDIDATES, HALF_LIFE_S, START_S, TENANT, World, dot, hood_of, worlds

from indexer.domain.events import Event
from indexer.domain.interests import find_interests
from indexer.domain.neighbours import Occurrence
from indexer.domain.profile import Profile, profile_vector, term_text
from indexer.domain.state import UserState
from indexer.domain.trail import Step
from indexer.domain.vectors import Vector, unit
from recsvc.blend import Part
from recsvc.explain import Evidence, event_reasons, interest_parts, profile_parts, reasons
from recsvc.gather import Asked, Gathered, Look
from recsvc.ranking import COMPONENTS, Component, fuse
from recsvc.taste import Direction

TERMS = ("category=books", "category=toys", "tags=new")
TERM_VECTORS = unit_vectors(TERMS, seed=11)
TEXT_VECTORS = {term_text(term): vector for term, vector in TERM_VECTORS.items()}
ASKED = {"sequence": (30, 1.0, False), "habit": (100, 0.4, False), "trend": (100, 0.4, True)}
SHARPNESS = 8
NOW_S = START_S + 30 * HALF_LIFE_S

Reasons = list[dict[str, Any]]


def positive(vectors: Mapping[str, Vector]) -> dict[str, Vector]:
    """Turn vectors so that all of them are alike to some degree."""
    return {name: unit(np.abs(vector) + 0.1, len(vector), name) for name, vector in vectors.items()}


ITEM_VECTORS = positive(unit_vectors(CANDIDATES, seed=5))
ALIKE = positive(VECTORS)

preferences = st.dictionaries(st.sampled_from(TERMS), st.sampled_from([-1.0, -0.4, 0.3, 1.0]))
some_weights = st.lists(
    st.floats(0.01, 3.0), min_size=len(COMPONENTS), max_size=len(COMPONENTS)
).map(lambda drawn: np.array(drawn, np.float32))
crowds = st.dictionaries(st.sampled_from(CANDIDATES), st.floats(0.01, 1.0))


def point(item_id: str) -> str:
    return f"point of {item_id}"


def profile_of(weights: dict[str, float]) -> Profile:
    vector = profile_vector(weights, TERM_VECTORS)
    return Profile(weights, "", "counter", 1, 0.0, vector=vector)


def scaled(name: str, raw: Mapping[str, float]) -> Component:
    best_first = sorted(raw.items(), key=lambda pair: -pair[1])
    return Component.scaled(name, [(point(item_id), score) for item_id, score in best_first])


def together(world: World) -> Gathered:
    """Gather what goes with a trail, as the store would find it."""
    gathered, trail = Gathered(), world.asking()
    for name, (most, power, lately) in ASKED.items():
        weights = trail.weights(most, power, lately=lately)
        query = trail.query(weights, HALF_LIFE_S, lately=lately)
        found = {item_id: dot(query, h.sparse(HALF_LIFE_S)) for item_id, h in world.hoods.items()}
        gathered.components.append(scaled(name, found))
        gathered.asked[name] = Asked(trail, weights, lately)
    return gathered


def look(gathered: Gathered, directions: Sequence[Direction]) -> None:
    """Gather what lies along directions, all of one component or another."""
    for name in dict.fromkeys(direction.component for direction in directions):
        total = dict.fromkeys(ITEM_VECTORS, 0.0)
        for direction in (one for one in directions if one.component == name):
            cosines = {i: float(direction.vector @ item) for i, item in ITEM_VECTORS.items()}
            likeness = {i: max(cosine, 0.0) ** SHARPNESS for i, cosine in cosines.items()}
            gathered.looks.append(Look(direction, [(point(i), v) for i, v in likeness.items()]))
            total = {i: total[i] + direction.share * likeness[i] for i in total}
        gathered.components.append(scaled(name, total))


def interests_of(state: UserState, vectors: Mapping[str, Vector]) -> list[Direction]:
    found = find_interests(state.window, vectors, 30 * DAY_S)
    return [Direction("content", one.vector, one.share, one.key, interest=one) for one in found]


def evidence_of(
    gathered: Gathered,
    weights: np.ndarray,
    *,
    world: World | None = None,
    state: UserState | None = None,
    profile: Profile | None = None,
    vectors: Mapping[str, Vector] = ALIKE,
) -> Evidence:
    """Collect what it takes to explain what was gathered."""
    parts: dict[object, Sequence[Part]] = {}
    for direction in (one.direction for one in gathered.looks):
        if direction.interest is not None and state is not None:
            parts[direction.key] = interest_parts(direction, state, vectors)
        elif profile is not None:
            parts[direction.key] = profile_parts(profile, TEXT_VECTORS)
    return Evidence(
        TENANT,
        gathered,
        weights,
        HALF_LIFE_S,
        event_reasons(state) if state is not None else {},
        parts,
        world.hoods if world is not None else {},
        ITEM_VECTORS,
    )


def explained(evidence: Evidence, rest: str = "history") -> dict[str, tuple[float, Reasons]]:
    """Return score and reasons of each candidate that has a score."""
    fused = fuse(evidence.gathered.components, evidence.weights)
    return {
        item_id: (
            fused[point(item_id)],
            reasons(point(item_id), item_id, fused[point(item_id)], evidence, rest=rest),
        )
        for item_id in CANDIDATES
        if point(item_id) in fused
    }


def total(found: Iterable[dict[str, Any]]) -> float:
    return math.fsum(reason["contribution"] for reason in found)


def weights_of(**named: float) -> np.ndarray:
    return np.array([named.get(name, 0.0) for name in COMPONENTS], np.float32)


def seen_with(item_id: str, *others: str, offset: int = 1) -> Occurrence:
    pairs = tuple((other, 1.0) for other in others)
    return Occurrence(item_id, offset, NOW_S, 1.0, 1.0, pairs)


def world_of(seen: Mapping[str, Sequence[Occurrence]], trail: str) -> World:
    return World(seen, [Step(NOW_S, item_id, 1.0) for item_id in trail], {}, NOW_S, 1.0)


# Reasons add up


@settings(max_examples=40)
@given(worlds(), histories(most=20), preferences, crowds, crowds, some_weights)
def test_the_reasons_of_an_item_add_up_to_its_score(
    world: World,
    events: list[Event],
    likes: dict[str, float],
    hot: dict[str, float],
    popular: dict[str, float],
    weights: np.ndarray,
):
    state, profile, gathered = folded(events), profile_of(likes), together(world)
    gathered.components += [scaled("hot", hot), scaled("popular", popular)]
    directions = interests_of(state, VECTORS)
    if profile.vector is not None:
        directions.append(Direction("profile", profile.vector, 1.0, "profile"))
    look(gathered, directions)
    evidence = evidence_of(
        gathered, weights, world=world, state=state, profile=profile, vectors=VECTORS
    )
    for score, why in explained(evidence).values():
        assert total(why) == pytest.approx(score, abs=1e-4)
        assert all(math.isfinite(reason["contribution"]) for reason in why)


@settings(max_examples=40)
@given(worlds(), histories(most=8, types=["click", "purchase"]), crowds, crowds, some_weights)
def test_what_goes_together_is_popular_or_alike_explains_a_score_without_a_rest(
    world: World,
    events: list[Event],
    hot: dict[str, float],
    popular: dict[str, float],
    weights: np.ndarray,
):
    state, gathered = folded(events, vectors=ALIKE), together(world)
    assume(len(world.trail) + len(state.seen) <= 6)  # with the crowd they are eight
    gathered.components += [scaled("hot", hot), scaled("popular", popular)]
    look(gathered, interests_of(state, ALIKE))
    evidence = evidence_of(gathered, weights, world=world, state=state)
    for score, why in explained(evidence).values():
        rest = total(reason for reason in why if reason["kind"] == "history")
        assert abs(rest) < 5e-4  # each of eight may be too small to be named
        assert total(why) == pytest.approx(score, abs=1e-4)


@given(preferences, some_weights)
def test_preferences_explain_a_profile_without_a_rest(likes: dict[str, float], weights: np.ndarray):
    profile = profile_of(likes)
    assume(profile.vector is not None)
    gathered = Gathered()
    look(gathered, [Direction("profile", profile.vector, 1.0, "profile")])
    for score, why in explained(evidence_of(gathered, weights, profile=profile)).values():
        cosine = float(profile.vector @ ITEM_VECTORS["p"])
        assume(abs(cosine) > 1e-2)
        assert {reason["kind"] for reason in why} <= {"profile", "history"}
        assert total(why) == pytest.approx(score, abs=1e-4)


@given(histories(most=20, types=["click", "like", "view"]))
def test_the_events_of_an_interest_add_up_to_its_vector(events: list[Event]):
    state = folded(events)
    for direction in interests_of(state, VECTORS):
        parts = interest_parts(direction, state, VECTORS)
        added = np.sum([part.factor * part.vector for part in parts], axis=0)
        assert added / np.linalg.norm(added) == pytest.approx(direction.vector, abs=1e-4)


@given(preferences)
def test_preferences_add_up_to_the_vector_of_the_profile(likes: dict[str, float]):
    profile = profile_of(likes)
    parts = profile_parts(profile, TEXT_VECTORS)
    assert [part.reason["feature"] for part in parts] == list(likes)
    if profile.vector is not None:
        added = np.sum([part.factor * part.vector for part in parts], axis=0)
        assert added == pytest.approx(profile.vector, abs=1e-5)


# What reasons say


def test_every_kind_of_reason_has_its_name():
    state = folded([event("e1", "purchase", item_id="a")], vectors=ALIKE)
    profile = profile_of({"tags=new": 1.0})
    world = world_of({"p": [seen_with("p", "b")]}, "b")
    gathered = together(world)
    gathered.components += [scaled("hot", {"p": 1.0}), scaled("popular", {"p": 1.0})]
    vector = ALIKE["item:b"]
    look(gathered, [*interests_of(state, ALIKE), Direction("profile", vector, 1.0, "profile")])
    weights = np.ones(len(COMPONENTS), np.float32)
    evidence = evidence_of(gathered, weights, world=world, state=state, profile=profile)
    score, why = explained(evidence)["p"]
    assert score > 0.7
    kinds = {reason["kind"]: reason for reason in why}
    assert kinds.keys() == {"together", "event", "hot", "popular", "profile"}
    assert kinds["event"].items() >= {"event_id": "e1", "event_type": "purchase"}.items()
    assert kinds["event"]["item_id"] == "a"
    assert kinds["profile"].items() >= {"feature": "tags=new", "weight": 1.0}.items()
    assert kinds["together"].items() >= {"item_id": "b", "times": 1}.items()
    assert kinds["hot"]["contribution"] == pytest.approx(1 / len(COMPONENTS), abs=1e-6)


def test_together_tells_how_often_the_pair_was_seen_and_the_event_of_the_user():
    seen = [seen_with("p", "a", "b", offset=n) for n in range(3)] + [seen_with("p", "a", offset=9)]
    world = world_of({"p": seen}, "ab")
    state = folded([event("e1", "click", item_id="a")])
    _, why = explained(
        evidence_of(together(world), weights_of(habit=1.0), world=world, state=state)
    )["p"]
    said = {reason["item_id"]: reason for reason in why}
    assert {item_id: reason["times"] for item_id, reason in said.items()} == {"a": 4, "b": 3}
    assert {reason["kind"] for reason in why} == {"together"}
    assert (said["a"]["event_id"], said["a"]["event_type"]) == ("e1", "click")
    assert "event_id" not in said["b"]


def test_what_was_taken_up_more_often_together_adds_more():
    seen = [seen_with("p", "a", "b"), seen_with("p", "b", offset=2), seen_with("p", "b", offset=3)]
    world = world_of({"p": seen}, "ab")
    world = replace(world, power=0.0)
    _, why = explained(evidence_of(together(world), weights_of(habit=1.0), world=world))["p"]
    assert [reason["item_id"] for reason in why] == ["b", "a"]
    assert why[0]["contribution"] > 2.0 * why[1]["contribution"]


def test_each_item_of_the_trail_is_one_reason_for_all_the_ways_it_goes_together():
    world = world_of({"p": [seen_with("p", "a")]}, "a")
    weights = weights_of(sequence=1.0, habit=2.0, trend=1.0)
    score, why = explained(evidence_of(together(world), weights, world=world))["p"]
    assert score == pytest.approx(1.0)
    assert [(reason["kind"], reason["contribution"]) for reason in why] == [
        ("together", pytest.approx(1.0, abs=1e-5))
    ]


def test_an_item_without_a_neighbourhood_goes_with_nothing():
    world = world_of({"p": [seen_with("p", "a")]}, "a")
    evidence = evidence_of(together(world), weights_of(habit=1.0), world=world)
    assert reasons(point("q"), "q", 0.25, evidence, rest="history") == [
        {"kind": "history", "contribution": 0.25}
    ]


def test_a_list_that_an_item_is_not_in_is_no_reason_for_it():
    world = world_of(
        {"p": [seen_with("p", "a"), seen_with("p", "a")], "q": [seen_with("q", "a")]}, "a"
    )
    gathered = together(world)
    gathered.components.append(scaled("popular", {"q": 1.0}))
    (habit,) = [one for one in gathered.components if one.name == "habit"]
    del habit.values[point("q")]  # as what comes after the first sixty is
    evidence = evidence_of(gathered, weights_of(habit=1.0, popular=1.0), world=world)
    _, why = explained(evidence)["q"]
    assert [reason["kind"] for reason in why] == ["popular"]


def test_a_search_is_named_with_its_query():
    state = folded([event("e1", "search", query="Tea")], vectors=ALIKE)
    gathered = Gathered()
    look(gathered, interests_of(state, ALIKE))
    _, why = explained(evidence_of(gathered, weights_of(content=1.0), state=state))["p"]
    assert [{k: v for k, v in reason.items() if k != "contribution"} for reason in why] == [
        {"kind": "event", "event_id": "e1", "event_type": "search", "query": "tea"}
    ]


def test_the_summands_of_a_direction_speak_where_there_is_no_interest():
    part = Part({"kind": "event", "item_id": "b"}, 1.0, ALIKE["item:b"])
    gathered = Gathered()
    look(gathered, [Direction("content", ALIKE["item:b"], 1.0, "visit", (part,))])
    score, why = explained(evidence_of(gathered, weights_of(content=1.0)))["p"]
    assert why == [
        {"kind": "event", "item_id": "b", "contribution": pytest.approx(score, abs=1e-5)}
    ]


def test_a_direction_nothing_is_known_of_is_the_rest_which_is_named():
    gathered = Gathered()
    look(gathered, [Direction("content", ALIKE["item:b"], 1.0, "overall")])
    score, why = explained(evidence_of(gathered, weights_of(content=1.0)), rest="history")["p"]
    assert why == [{"kind": "history", "contribution": pytest.approx(score, abs=1e-6)}]


def test_what_a_user_dislikes_in_a_profile_speaks_against():
    profile = profile_of({"category=books": 1.0, "tags=new": -1.0})
    item = unit(TERM_VECTORS["category=books"] + 0.3 * TERM_VECTORS["tags=new"], 8, "item")
    gathered = Gathered()
    gathered.looks.append(
        Look(Direction("profile", profile.vector, 1.0, "profile"), [(point("p"), 0.5)])
    )
    gathered.components.append(scaled("profile", {"p": 0.5}))
    evidence = replace(
        evidence_of(gathered, weights_of(profile=1.0), profile=profile), vectors={"p": item}
    )
    _, why = explained(evidence)["p"]
    said = {reason["feature"]: reason["contribution"] for reason in why}
    assert said["category=books"] > 0.0 > said["tags=new"]
    assert total(why) == pytest.approx(1.0, abs=1e-4)


def test_what_was_adjusted_is_named_after_what_was_found_and_counts():
    gathered = Gathered([scaled("popular", {"p": 1.0})])
    evidence = evidence_of(gathered, weights_of(popular=1.0))
    adjusted = [("rule", 0.5), ("fatigue", -0.25), ("novelty", 0.0)]
    assert reasons(point("p"), "p", 1.25, evidence, adjusted, rest="history") == [
        {"kind": "popular", "contribution": 1.0},
        {"kind": "rule", "contribution": 0.5},
        {"kind": "fatigue", "contribution": -0.25},
    ]


def test_eight_reasons_are_named_strongest_first_and_the_rest_is_one():
    others = [f"i{n}" for n in range(12)]
    pairs = tuple((other, float(n + 1)) for n, other in enumerate(others))
    hood = hood_of([Occurrence("p", 1, NOW_S, 1.0, 1.0, pairs)])
    world = world_of({"p": []}, "")
    world = replace(world, trail=[Step(NOW_S, other, 1.0) for other in others])
    trail = world.asking()
    weights = trail.weights(100, 0.0, lately=False)
    query = trail.query(weights, HALF_LIFE_S, lately=False)
    gathered = Gathered([scaled("habit", {"p": dot(query, hood.sparse(HALF_LIFE_S))})])
    gathered.asked["habit"] = Asked(trail, weights, False)
    evidence = replace(evidence_of(gathered, weights_of(habit=1.0)), hoods={"p": hood})
    score, why = explained(evidence)["p"]
    assert score == 1.0
    assert [reason.get("item_id") for reason in why] == [*others[:3:-1], None]
    assert why[-1] == {
        "kind": "history",
        "contribution": pytest.approx((1 + 2 + 3 + 4) / 78, abs=1e-4),
    }
    assert total(why) == pytest.approx(score, abs=1e-4)


def test_preferences_beyond_the_eight_strongest_reasons_are_one():
    names = [f"tags={n}" for n in range(12)]
    vector = ALIKE["item:a"]
    profile = Profile({name: 0.1 * (n + 1) for n, name in enumerate(names)}, "", "counter", 1, 0.0)
    parts = profile_parts(profile, {term_text(name): vector for name in names})
    gathered = Gathered()
    look(gathered, [Direction("profile", vector, 1.0, "profile", tuple(parts))])
    score, why = explained(evidence_of(gathered, weights_of(profile=1.0)))["p"]
    assert [reason["feature"] for reason in why] == [*names[:3:-1], "others"]
    assert why[-1]["contribution"] == pytest.approx(score * 10 / 78, abs=1e-4)
    assert total(why) == pytest.approx(score, abs=1e-4)


def test_a_score_without_known_parts_is_all_rest():
    evidence = evidence_of(Gathered(), weights_of(content=1.0))
    assert reasons(point("p"), "p", 0.25, evidence, rest="other") == [
        {"kind": "other", "contribution": 0.25}
    ]
    assert reasons(point("p"), "p", 0.0, evidence, rest="other") == [
        {"kind": "other", "contribution": 0.0}
    ]


# What is said of a user's events


def test_each_item_of_the_trail_is_spoken_for_by_its_newest_event_that_likes_it():
    events = [
        event("e1", "view", at=1.0, item_id="a"),
        event("e2", "purchase", at=2.0, item_id="a"),
        event("e3", "rate", at=3.0, item_id="b", value=2.0),
        event("e4", "search", at=4.0, query="tea"),
    ]
    assert event_reasons(folded(events)) == {
        "a": {"event_id": "e2", "event_type": "purchase", "item_id": "a"},
        "b": {"item_id": "b"},
    }


def test_an_item_that_has_left_the_window_is_named_all_the_same():
    events = [event(f"e{n:03}", at=float(n), item_id=f"i{n}") for n in range(60)]
    said = event_reasons(folded(events))
    assert said["i5"] == {"item_id": "i5"}
    assert said["i55"]["event_id"] == "e055"


def test_a_preference_is_named_with_its_weight():
    parts = profile_parts(profile_of({"category=books": 0.3, "tags=new": -1.0}), TEXT_VECTORS)
    assert [part.reason for part in parts] == [
        {"kind": "profile", "feature": "category=books", "weight": 0.3},
        {"kind": "profile", "feature": "tags=new", "weight": -1.0},
    ]


def test_a_preference_whose_text_has_no_vector_is_no_part():
    assert profile_parts(profile_of({"tags=new": 1.0}), {}) == []


def test_events_that_have_no_vector_are_no_parts():
    state = folded([event("e1", item_id="a"), event("e2", item_id="b")])
    (direction,) = interests_of(state, VECTORS)
    known = {"item:a": VECTORS["item:a"]}
    named = [part.reason["event_id"] for part in interest_parts(direction, state, known)]
    assert named == ["e1"]
