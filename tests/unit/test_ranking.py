"""The ranking model: fusing components, weighing them, and learning how."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc import ranking
from recsvc.ranking import (
    COLLABORATIVE,
    COMPONENTS,
    SITUATIONS,
    Component,
    Weights,
    features,
    fuse,
    matured,
    parts_of,
    situation,
    with_profile_share,
)

K = len(COMPONENTS)
VISIT_S = 1_800.0
GROWN = 1e9
"""So many events that the crowd's word is taken as it is."""
CROWD = {*COLLABORATIVE, "hot", "popular"}

points = st.sampled_from(["p1", "p2", "p3", "p4", "p5"])
scores = st.dictionaries(points, st.floats(0.01, 5.0), min_size=1)


def weights_of(**named: float) -> np.ndarray:
    """Return weights ``(k,)``, 0 where a component is not named."""
    return np.array([named.get(name, 0.0) for name in COMPONENTS], np.float32)


def component(name: str, **raw: float) -> Component:
    return Component.scaled(name, sorted(raw.items(), key=lambda pair: -pair[1]))


def place(name: str) -> int:
    return COMPONENTS.index(name)


@st.composite
def some_components(draw: st.DrawFn) -> list[Component]:
    names = draw(st.lists(st.sampled_from(COMPONENTS), min_size=1, unique=True))
    return [component(name, **draw(scores)) for name in names]


some_weights = st.lists(st.floats(0.01, 5.0), min_size=K, max_size=K).map(
    lambda drawn: np.array(drawn, np.float32)
)


# Components


def test_the_best_of_a_component_is_one_and_the_rest_keep_their_ratio():
    one = component("habit", p1=4.0, p2=2.0, p3=1.0)
    assert one.values == {"p1": 1.0, "p2": 0.5, "p3": 0.25}
    assert one.scale == 4.0
    assert list(one.values) == ["p1", "p2", "p3"]


@given(scores)
def test_a_value_times_the_scale_is_the_raw_score(raw: dict[str, float]):
    one = component("habit", **raw)
    assert {point: value * one.scale for point, value in one.values.items()} == pytest.approx(raw)


@pytest.mark.parametrize("hits", [[], [("p1", 0.0)], [("p1", -1.0), ("p2", -2.0)]])
def test_a_component_with_nothing_above_nothing_is_empty(hits: list[tuple[str, float]]):
    assert Component.scaled("habit", hits).values == {}


def test_what_scores_nothing_or_less_is_left_out():
    assert component("habit", p1=2.0, p2=0.0, p3=-1.0).values == {"p1": 1.0}


# Fusing


def test_a_score_is_the_weighted_mean_of_an_items_values():
    lists = [component("sequence", p1=2.0, p2=1.0), component("content", p2=3.0, p3=3.0)]
    fused = fuse(lists, weights_of(sequence=3.0, content=1.0))
    assert fused == pytest.approx({"p1": 0.75, "p2": 0.75 * 0.5 + 0.25, "p3": 0.25})


@given(some_components(), some_weights)
def test_scores_are_weighted_means_between_nothing_and_one_best_first(
    lists: list[Component], weights: np.ndarray
):
    fused = fuse(lists, weights)
    used = [float(weights[place(one.name)]) for one in lists]
    for point, score in fused.items():
        values = [one.values.get(point, 0.0) for one in lists]
        mean = math.fsum(w * v for w, v in zip(used, values, strict=True)) / math.fsum(used)
        assert score == pytest.approx(mean, rel=1e-5)
    assert set(fused) == {point for one in lists for point in one.values}
    assert list(fused.values()) == sorted(fused.values(), reverse=True)
    assert all(0.0 < score <= 1.0 + 1e-9 for score in fused.values())


@given(some_components(), some_weights)
def test_what_is_best_in_everything_scores_one(lists: list[Component], weights: np.ndarray):
    best = [Component(one.name, {"best": 1.0, **one.values}, one.scale) for one in lists]
    assert fuse(best, weights)["best"] == pytest.approx(1.0)


@given(some_components(), some_weights, st.floats(0.1, 100.0))
def test_only_the_ratio_of_weights_counts(
    lists: list[Component], weights: np.ndarray, factor: float
):
    assert fuse(lists, weights * np.float32(factor)) == pytest.approx(
        fuse(lists, weights), rel=1e-4
    )


def test_components_that_are_missing_empty_or_without_weight_do_not_count():
    found = component("sequence", p1=2.0, p2=1.0)
    weights = weights_of(sequence=0.5, habit=4.0, hot=4.0)
    alone = fuse([found], weights)
    assert alone == {"p1": 1.0, "p2": 0.5}
    assert fuse([found, Component("habit", {})], weights) == alone
    assert fuse([found, component("trend", p3=1.0)], weights) == alone


def test_nothing_found_or_nothing_that_has_weight_is_no_list():
    assert fuse([], weights_of(habit=1.0)) == {}
    assert fuse([component("habit", p1=1.0)], weights_of(hot=1.0)) == {}


@given(some_components(), some_weights)
def test_the_parts_of_what_found_something_add_up_to_one(
    lists: list[Component], weights: np.ndarray
):
    parts = parts_of([*lists], weights)
    assert parts.keys() == {one.name for one in lists}
    assert sum(parts.values()) == pytest.approx(1.0)


def test_features_are_a_row_a_candidate_and_a_column_a_component():
    lists = [component("content", p2=2.0, p1=1.0), component("sequence", p3=1.0, p1=0.5)]
    candidates, values = features(lists)
    assert candidates == ["p2", "p1", "p3"]
    assert (values.shape, values.dtype) == ((3, K), np.float32)
    rows = dict(zip(candidates, values.tolist(), strict=True))
    assert rows["p1"] == weights_of(content=0.5, sequence=0.5).tolist()
    assert rows["p2"] == weights_of(content=1.0).tolist()
    assert rows["p3"] == weights_of(sequence=1.0).tolist()


def test_no_components_have_no_features():
    candidates, values = features([])
    assert candidates == []
    assert values.shape == (0, K)


@given(some_components(), some_weights)
def test_a_fused_score_is_a_row_of_features_times_the_parts(
    lists: list[Component], weights: np.ndarray
):
    parts = weights_of(**parts_of(lists, weights))
    candidates, values = features(lists)
    expected = dict(zip(candidates, (values @ parts).tolist(), strict=True))
    assert fuse(lists, weights) == pytest.approx(expected, rel=1e-4)


# Weights for a request


def test_a_crowd_of_nobody_says_nothing_and_a_large_one_all_it_has_to_say():
    weights = np.ones(K, np.float32)
    half = ranking._MATURE_EVENTS
    for counted, factor in [(0.0, 0.0), (half, 0.25), (9 * half, 0.81), (1e4 * half, 0.9998)]:
        expected = [factor if name in CROWD else 1.0 for name in COMPONENTS]
        assert matured(weights, counted).tolist() == pytest.approx(expected, rel=1e-4)
    assert weights.tolist() == [1.0] * K


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_profile_share_takes_the_profile_out_leaves_it_or_leaves_it_alone(share: float):
    weights = np.arange(1.0, K + 1.0, dtype=np.float32)
    found = with_profile_share(weights, share)
    expected = {
        0.0: [*weights[:-1], 0.0],
        0.3: weights.tolist(),
        1.0: weights_of(profile=1.0).tolist(),
    }
    assert COMPONENTS[-1] == "profile"
    assert found.tolist() == pytest.approx(expected[share], rel=1e-6)
    assert weights.tolist() == list(range(1, K + 1))


@given(some_weights, st.floats(0.01, 0.99))
def test_a_profile_share_changes_the_odds_of_the_profile_as_its_own_do(
    weights: np.ndarray, share: float
):
    found = with_profile_share(weights, share)
    change = float(found[-1] / weights[-1])
    assert change == pytest.approx((share / (1.0 - share)) / (0.3 / 0.7), rel=1e-4)
    assert found[:-1].tolist() == weights[:-1].tolist()


@pytest.mark.parametrize(
    ("gap_s", "trail", "expected"),
    [
        (0.0, 0, "on-few"),
        (VISIT_S, 4, "on-few"),
        (VISIT_S, 5, "on-some"),
        (VISIT_S, 19, "on-some"),
        (VISIT_S, 20, "on-many"),
        (VISIT_S + 0.1, 0, "new-few"),
        (VISIT_S + 0.1, 4, "new-few"),
        (1e9, 5, "new-some"),
        (1e9, 19, "new-some"),
        (1e9, 20, "new-many"),
        (-5.0, 100, "on-many"),
    ],
)
def test_a_situation_is_whether_the_visit_goes_on_and_how_long_the_trail_is(
    gap_s: float, trail: int, expected: str
):
    assert SITUATIONS[situation(gap_s, VISIT_S, trail)] == expected


# Learning


def one_right(name: str, size: int = 5) -> np.ndarray:
    """Return the features of candidates, the first of which one component alone has found."""
    values = np.zeros((size, K), np.float32)
    values[0, place(name)] = 1.0
    return values


def learned(
    weights: Weights, seen: Sequence[tuple[np.ndarray, int]], at: int = 0, counted: float = GROWN
) -> Weights:
    for values, chosen in seen:
        weights.learn(at, values, chosen, counted)
    return weights


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize("at", range(len(SITUATIONS)))
def test_the_weight_of_what_foretold_an_event_rises_and_no_other_changes(name: str, at: int):
    before, after = Weights(), learned(Weights(), [(one_right(name), 0)], at)
    changed = after.values - before.values
    assert changed[at, place(name)] > 0.0
    changed[at, place(name)] = 0.0
    assert not changed.any()
    assert after.updates == 1


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_weight_of_what_foretold_something_else_falls(name: str):
    after = learned(Weights(), [(one_right(name), 3)])
    assert after.values[0, place(name)] < Weights().values[0, place(name)]


def test_nothing_is_learned_of_candidates_that_are_all_alike():
    alike = np.ones((4, K), np.float32)
    assert np.allclose(learned(Weights(), [(alike, 2)]).values, Weights().values, atol=1e-6)


def test_nothing_is_learned_of_a_crowd_of_nobody():
    rng = np.random.default_rng(1)
    seen = [(rng.random((6, K), np.float32), 0) for _ in range(20)]
    changed = learned(Weights(), seen, counted=0.0).values[0] != Weights().values[0]
    assert {name for name, one in zip(COMPONENTS, changed, strict=True) if one} == {
        "content",
        "profile",
    }


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 5)), max_size=40))
def test_weights_are_finite_and_never_below_nothing(drawn: list[tuple[int, int]]):
    seen = [(np.random.default_rng(seed).random((6, K), np.float32), n) for seed, n in drawn]
    weights = learned(Weights(), seen, at=3)
    assert (weights.values >= 0.0).all()
    assert np.isfinite(weights.values).all()
    assert (weights.values.dtype, weights.squares.dtype) == (np.float32, np.float32)
    assert weights.updates == len(seen)


def test_a_weight_that_is_always_wrong_ends_at_nothing():
    wrong = learned(Weights(), [(one_right("sequence"), 1)] * 400)
    assert wrong.values[0, place("sequence")] == 0.0


@pytest.mark.parametrize("right", COMPONENTS)
def test_the_component_that_is_always_right_comes_to_lead(right: str):
    rng = np.random.default_rng(7)
    seen = []
    for _ in range(300):
        values = rng.random((20, K), np.float32)
        seen.append((values, int(values[:, place(right)].argmax())))
    found = learned(Weights(), seen).values[0]
    others = np.delete(found, place(right))
    assert found[place(right)] > 2.0 * others.max()


def test_what_tenants_learn_is_their_own():
    learned(Weights(), [(one_right("habit"), 0)])
    assert Weights().values.tolist() == Weights().values.tolist()
    assert Weights().updates == 0
    assert not np.shares_memory(Weights().values, Weights().values)


def test_steps_grow_smaller_with_what_was_learned():
    first = learned(Weights(), [(one_right("habit"), 0)])
    later = learned(Weights(), [(one_right("habit"), 0)] * 50)
    much_later = learned(Weights(), [(one_right("habit"), 0)] * 51)
    column = place("habit")
    step = first.values[0, column] - Weights().values[0, column]
    assert much_later.values[0, column] - later.values[0, column] < step / 2


# Keeping


def test_weights_come_back_as_they_were_kept():
    rng = np.random.default_rng(3)
    seen = [(rng.random((6, K), np.float32), n % 6) for n in range(30)]
    weights = learned(Weights(), seen, at=2)
    again = Weights.from_dict(json.loads(json.dumps(weights.as_dict())))
    assert again.values == pytest.approx(weights.values, abs=1e-6)
    assert again.squares == pytest.approx(weights.squares, abs=1e-6)
    assert again.updates == 30
    assert (again.values.dtype, again.squares.dtype) == (np.float32, np.float32)
    assert again.as_dict() == weights.as_dict()


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {**Weights().as_dict(), "components": list(COMPONENTS[:-1])},
        {**Weights().as_dict(), "components": list(reversed(COMPONENTS))},
    ],
    ids=["nothing", "fewer", "another order"],
)
def test_what_was_kept_of_other_components_is_given_up(kept: Mapping[str, object]):
    again = Weights.from_dict({**kept, "updates": 9})
    assert np.array_equal(again.values, Weights().values)
    assert again.updates == 0


def test_there_is_a_row_of_weights_for_each_situation_to_start_with():
    weights = Weights()
    assert weights.values.shape == weights.squares.shape == (len(SITUATIONS), K)
    assert (weights.values > 0.0).all()
