"""Measures, beside values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluate_cases import dataset, event
from hypothesis import given
from hypothesis import strategies as st

from recsvc.evaluate.datasets import coded
from recsvc.evaluate.metrics import (
    Facts,
    Scores,
    bootstrap_ci,
    diversity_at,
    hit_at,
    mrr,
    ndcg_at,
    recall_at,
)
from recsvc.evaluate.splits import Case

IDS = [f"i{place}" for place in range(30)]
LISTS = st.lists(st.sampled_from(IDS), unique=True, max_size=20)
SETS = st.frozensets(st.sampled_from(IDS), min_size=1)


def test_ndcg_discounts_by_the_logarithm_of_the_rank():
    gain = 1.0 / math.log2(3) + 1.0 / math.log2(5)
    ideal = 1.0 + 1.0 / math.log2(3) + 1.0 / math.log2(4)
    assert ndcg_at(["x", "a", "y", "b"], {"a", "b", "c"}) == pytest.approx(gain / ideal)


def test_ndcg_is_1_when_the_list_is_full_of_right_answers():
    assert ndcg_at(IDS[:10], set(IDS)) == pytest.approx(1.0)


def test_ndcg_ignores_what_is_below_the_tenth_place():
    assert ndcg_at(IDS[:11], {IDS[10]}) == 0.0


def test_a_hit_is_one_right_answer_among_the_first_ten():
    assert (hit_at(IDS, {IDS[9]}), hit_at(IDS, {IDS[10]})) == (1.0, 0.0)


def test_recall_is_the_share_of_right_answers_found():
    assert recall_at(IDS[:20], {IDS[0], IDS[19], IDS[20], "none"}) == 0.5


def test_the_reciprocal_rank_is_that_of_the_first_right_answer():
    assert mrr(IDS, {IDS[3], IDS[5]}) == 0.25
    assert mrr(IDS, {IDS[20]}) == 0.0


@given(LISTS, SETS)
def test_every_measure_of_a_list_is_between_0_and_1(ranked: list[str], relevant: frozenset[str]):
    for measure in (ndcg_at, hit_at, recall_at, mrr):
        assert 0.0 <= measure(ranked, relevant) <= 1.0 + 1e-12


@given(LISTS, SETS)
def test_right_answers_first_is_the_best_order(ranked: list[str], relevant: frozenset[str]):
    best = sorted(ranked, key=lambda item_id: item_id not in relevant)
    assert ndcg_at(best, relevant) >= ndcg_at(ranked, relevant)


def test_nothing_is_gained_by_an_empty_list():
    assert [measure([], {"a"}) for measure in (ndcg_at, hit_at, recall_at, mrr)] == [0.0] * 4


def test_diversity_is_the_mean_distance_of_pairs():
    vectors = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    assert diversity_at(vectors) == pytest.approx(2.0 / 3.0)


def test_one_item_has_no_diversity():
    assert diversity_at(np.ones((1, 2), np.float32)) is None


# The interval


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).random(200)
    assert bootstrap_ci(values, 7) == bootstrap_ci(values, 7)
    assert bootstrap_ci(values, 7) != bootstrap_ci(values, 8)


def test_the_interval_is_about_two_standard_errors_to_each_side():
    values = np.random.default_rng(1).normal(5.0, 2.0, 2_000)
    low, high = bootstrap_ci(values, 7)
    error = float(values.std()) / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


def test_equal_values_have_no_uncertainty():
    assert bootstrap_ci(np.full(10, 0.25), 0) == (0.25, 0.25)


# Over all lists


def scores(vectors: np.ndarray | None = None) -> Scores:
    """Facts of four items, of which the first was bought twice and the second once."""
    bought = [event("u", "i0", 1.0), event("v", "i0", 2.0), event("u", "i1", 3.0)]
    return Scores(Facts.of(coded(dataset(bought, 4)), vectors))


def case(*relevant: str, known: int = 50) -> Case:
    return Case("u", 0.0, relevant, known)


def test_coverage_is_the_share_of_the_catalogue_in_any_list():
    found = scores()
    found.add(["i0", "i1"], case("i0"))
    found.add(["i1", "i2"], case("i0"))
    assert found.summary().coverage == 0.75


def test_novelty_is_the_mean_of_bits_by_smoothed_shares():
    found = scores()
    found.add(["i0", "i3"], case("i0"))
    expected = (-math.log2(3 / 7) - math.log2(1 / 7)) / 2
    assert found.summary().novelty == pytest.approx(expected)


def test_diversity_takes_vectors_of_any_length():
    vectors = np.array([[3, 0], [0, 5], [7, 0], [0, 0]], np.float32)
    found = scores(vectors)
    found.add(["i0", "i1"], case("i0"))
    found.add(["i0", "i2"], case("i0"))
    assert found.summary().diversity == pytest.approx(0.5)


def test_without_vectors_there_is_no_diversity():
    found = scores()
    found.add(["i0", "i1"], case("i0"))
    assert found.summary().diversity is None


def test_users_with_few_events_are_summed_up_apart():
    found = scores()
    found.add(["i0"], case("i0", known=19))
    found.add(["i1"], case("i0", known=20))
    summary = found.summary()
    assert (summary.cases, summary.ndcg) == (2, 0.5)
    assert (summary.few_cases, summary.few_ndcg, summary.few_ndcg_ci) == (1, 1.0, (1.0, 1.0))


def test_no_lists_have_no_means():
    summary = scores().summary()
    assert (summary.cases, summary.ndcg, summary.ndcg_ci, summary.coverage) == (0, None, None, 0.0)
