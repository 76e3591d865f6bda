"""Re-ranking: what it puts where, and that it never loses or doubles an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsvc.rerank import (
    calibrated,
    capped,
    diversified,
    pinned,
)  # fmt: skip
from recsvc.rules import Cap

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    item_id: str
    score: float
    features: Mapping[str, Any]


def item(item_id: str, score: float = 0.0, **features: Any) -> Scored:
    return Scored(item_id, score, features)


def ids(items: Sequence[Scored]) -> str:
    return "".join(one.item_id for one in items)


def pool(item_ids: str) -> list[Scored]:
    """Items of one letter each, the best first."""
    return [item(item_id, 1.0 - place / 100) for place, item_id in enumerate(item_ids)]


def array(*values: float) -> Array:
    return np.array(values, np.float32)


# Caps

BRANDS = [item(i, brand=b) for i, b in zip("abcdef", "xxxyyz", strict=True)]


def test_a_cap_skips_the_items_beyond_it():
    assert ids(capped(BRANDS, [Cap("brand", 1)], 3)) == "adf"
    assert ids(capped(BRANDS, [Cap("brand", 2)], 4)) == "abde"


def test_what_was_skipped_fills_a_list_up_in_order():
    assert ids(capped(BRANDS, [Cap("brand", 1)], 9)) == "adfbce"


def test_each_value_of_a_list_counts():
    items = [item("a", t=["p", "q"]), item("b", t=["q", "r"]), item("c", t=["r", "r"])]
    assert ids(capped(items, [Cap("t", 1)], 2)) == "ac"


def test_all_caps_hold_and_an_item_without_the_feature_has_none():
    items = [item("a", b=1, c=1), item("b", b=1), item("c", c=1), item("d"), item("e", b=None)]
    assert ids(capped(items, [Cap("b", 1), Cap("c", 1)], 3)) == "ade"


branded = st.lists(st.lists(st.sampled_from("xyz"), max_size=2), max_size=12).map(
    lambda values: [item(str(place), tags=value) for place, value in enumerate(values)]
)


@given(branded, st.integers(1, 3), st.integers(0, 14))
def test_a_cap_is_exceeded_only_where_no_item_is_left_that_would_not(
    items: list[Scored], most: int, limit: int
):
    found = capped(items, [Cap("tags", most)], limit)
    assert len(found) == len({one.item_id for one in found}) == min(limit, len(items))
    counts: Counter[str] = Counter()
    for place, one in enumerate(found):
        if any(counts[tag] >= most for tag in one.features["tags"]):
            left = [other for other in items if other not in found[:place]]
            assert all(any(counts[t] >= most for t in other.features["tags"]) for other in left)
            assert found[place:] == left[: len(found) - place]
            break
        counts.update(set(one.features["tags"]))


# Pins


@pytest.mark.parametrize(
    ("pins", "limit", "expected"),
    [
        ([(3, "x"), (1, "y")], 4, "yaxb"),
        ([(2, "d")], 4, "adbc"),
        ([(3, "a")], 4, "bcad"),
        ([(2, "x"), (2, "y"), (3, "z")], 6, "axyzbc"),
        ([(4, "x"), (2, "x")], 4, "axbc"),
        ([(5, "x")], 4, "abcd"),
        ([(9, "b"), (8, "x")], 9, "acdxb"),
        ([(9, "b")], 3, "acd"),
    ],
)
def test_pins_go_to_their_positions_and_others_flow_around(
    pins: list[tuple[int, str]], limit: int, expected: str
):
    placed = [(position, item(item_id)) for position, item_id in pins]
    assert ids(pinned(pool("abcd"), placed, limit)) == expected


pins_of = st.lists(st.tuples(st.integers(1, 12), st.sampled_from("abcdexyz").map(item)), max_size=6)


@given(st.text("abcdefg", max_size=7).map(lambda t: "".join(dict.fromkeys(t))), pins_of)
def test_pages_of_a_list_with_pins_are_the_list_cut(names: str, pins: list[tuple[int, Scored]]):
    whole = pinned(pool(names), pins, 100)
    assert sorted(ids(whole)) == sorted({*names, *ids([one for _, one in pins])})
    assert [pinned(pool(names), pins, n) for n in range(20)] == [whole[:n] for n in range(20)]


@given(pins_of)
def test_a_pin_is_where_it_should_be_unless_another_is(pins: list[tuple[int, Scored]]):
    placed = ids(pinned(pool("abcdefghijklmnopqrstuvw"), pins, 20))
    firsts: dict[str, int] = {}
    for position, one in sorted(pins, key=lambda pin: pin[0]):
        firsts.setdefault(one.item_id, position)
    for name, position in firsts.items():
        assert placed.index(name) >= position - 1
        assert set(placed[position - 1 : placed.index(name)]) <= firsts.keys()


# Calibration


def two_tastes(first: float, second: float, each: int = 20) -> tuple[Array, Array]:
    """Equal items of two tastes that have nothing in common, the better ones first."""
    quality = np.linspace(1.0, 0.9, each)
    scores = np.concatenate([first * quality, second * quality]).astype(np.float32)
    membership = np.repeat(np.eye(2, dtype=np.float32), each, axis=0)
    order = np.argsort(-scores, kind="stable")
    return scores[order], membership[order]


def test_a_calibrated_list_has_each_taste_in_its_share():
    scores, membership = two_tastes(1.0, 1.0)
    picked = calibrated(scores, membership, array(0.7, 0.3), 10, 0.5)
    assert membership[picked].sum(axis=0) == pytest.approx([7, 3], abs=1)


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.3, 0.7), (0.5, 0.5), (0.8, 0.2)])
@pytest.mark.parametrize("quality", [(1.0, 1 / 3), (1 / 3, 1.0)])
def test_both_tastes_appear_even_if_one_scores_three_times_the_other(
    shares: tuple[float, float], quality: tuple[float, float]
):
    scores, membership = two_tastes(*quality)
    picked = calibrated(scores, membership, array(*shares), 10, 0.5)
    assert membership[picked].sum(axis=0).min() >= 1


def test_without_strength_the_order_is_that_of_the_scores():
    scores, membership = array(0.1, 0.5, 0.5, 0.9), np.eye(4, dtype=np.float32)
    shares = array(1.0, 0.0, 0.0, 0.0)
    assert calibrated(scores, membership, shares, 3, 0.0) == [3, 1, 2]


def test_a_taste_without_a_share_or_an_item_of_no_taste_does_no_harm():
    membership = np.array([[1, 0], [0, 1], [0, 0], [0, 1]], np.float32)
    scores = array(0.5, 1.0, 0.9, 0.8)
    assert calibrated(scores, membership, array(1.0, 0.0), 4, 0.9)[0] == 0
    assert calibrated(scores, membership, array(0.0, 0.0), 2, 0.9) == [1, 2]


unit_floats = st.floats(0, 1, width=32)
score_lists = st.lists(st.floats(-1, 1, width=32), max_size=12)


@st.composite
def tastes(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Scores of any sign, rows that sum to 1 and shares that do."""
    scores = array(*draw(score_lists))
    k = draw(st.integers(1, 4))
    rows = st.lists(unit_floats, min_size=k, max_size=k).filter(lambda row: sum(row) > 0.01)
    table = [draw(rows) for _ in range(len(scores) + 1)]
    wide = np.array(table, np.float32).reshape(-1, k)
    wide /= wide.sum(axis=1, keepdims=True)
    return scores, wide[1:], wide[0]


def assert_picks(picked: list[int], scores: Array, limit: int) -> None:
    """They are places in the pool, none twice, and as many as there can be."""
    assert len(set(picked)) == len(picked) == min(limit, len(scores))
    assert set(picked) <= set(range(len(scores)))


@given(tastes(), st.integers(0, 14), unit_floats)
def test_each_calibrated_pick_is_the_best_by_the_formula(
    given_: tuple[Array, Array, Array], limit: int, strength: float
):
    scores, membership, shares = given_
    picked = calibrated(scores, membership, shares, limit, strength)
    assert_picks(picked, scores, limit)
    relative = scores.astype(float) / (np.abs(scores).max(initial=0.0) or 1.0)
    p = shares.astype(float)
    for n in range(len(picked)):
        values = {}
        for place in set(range(len(scores))) - set(picked[:n]):
            q = membership[[*picked[:n], place]].astype(float).mean(axis=0)
            ratio = np.where(p > 0, p, 1.0) / np.where(p > 0, 0.99 * q + 0.01 * p, 1.0)
            values[place] = (1 - strength) * relative[place] - strength * (p @ np.log(ratio))
        assert values[picked[n]] >= max(values.values()) - 1e-4


# Diversity


def test_the_best_is_first_and_then_what_is_unlike_it():
    vectors = np.array([[1, 0], [0.9962, 0.0872], [0, 1], [-1, 0]], np.float32)
    scores = array(0.8, 1.0, 0.9, 0.7)
    assert diversified(scores, vectors, 4, 0.0) == [1, 2, 0, 3]
    assert diversified(scores, vectors, 4, 0.5) == [1, 3, 2, 0]
    assert diversified(scores, vectors, 2, 1.0) == [1, 3]


@given(score_lists, st.integers(0, 14), unit_floats, st.integers(0, 2**32))
def test_each_diverse_pick_is_the_best_by_the_formula(
    values: list[float], limit: int, diversity: float, seed: int
):
    scores = array(*values)
    vectors = np.random.default_rng(seed).normal(size=(len(scores), 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    picked = diversified(scores, vectors, limit, diversity)
    assert_picks(picked, scores, limit)
    relative = scores / (np.abs(scores).max(initial=0.0) or 1.0)
    assert picked[:1] == ([int(scores.argmax())] if picked else [])
    for n in range(1, len(picked)):
        nearest = (vectors @ vectors[picked[:n]].T).max(axis=1)
        merit = (1 - diversity) * relative - diversity * nearest
        merit[picked[:n]] = -np.inf
        assert merit[picked[n]] >= merit.max() - 1e-4


# Fatigue and novelty
