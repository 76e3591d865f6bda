"""Well-known recommenders, on data whose answer is known."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from evaluate_cases import DAY_S, blocks, dataset, event
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import SettingsError
from recsvc.evaluate import extras
from recsvc.evaluate.baselines import (
    ALS,
    BPR,
    EASE,
    SLIM,
    Baseline,
    DecayedPopularity,
    EASERecency,
    ItemKNN,
    Popularity,
    all_baselines,
    evaluate_prequential,
    evaluate_static,
    runs,
)
from recsvc.evaluate.baselines.baseline import top
from recsvc.evaluate.baselines.ease import item_weights
from recsvc.evaluate.baselines.gram import gram
from recsvc.evaluate.baselines.slim import nonnegative_weights
from recsvc.evaluate.baselines.validation import best, hold_out
from recsvc.evaluate.datasets import Coded, Dataset, coded
from recsvc.evaluate.metrics import Facts, Scores
from recsvc.evaluate.splits import Case, Split, baskets, last_out

DATA = blocks()
SMALL_ALS, SMALL_BPR = ((16, 2.0, 1.0), (8, 10.0, 1.0)), (16, 100)
PERSONAL = [ItemKNN(), ALS(0, SMALL_ALS), BPR(0, *SMALL_BPR), SLIM(), EASE(), EASERecency()]


def ndcg(baseline: Baseline, data: Dataset = DATA) -> float:
    arrays, split = coded(data), last_out(data)
    facts = Facts.of(arrays.take(np.asarray(split.train)))
    found = evaluate_static([baseline], arrays, split, facts)[baseline.name]
    return found.scores.summary().ndcg or 0.0


@pytest.mark.parametrize("baseline", PERSONAL, ids=lambda one: one.name)
def test_a_personal_model_finds_the_groups_that_popularity_does_not_know(baseline: Baseline):
    assert ndcg(baseline) > 1.5 * ndcg(Popularity())


@pytest.mark.parametrize(
    "make",
    [ItemKNN, lambda seed: ALS(seed, SMALL_ALS), lambda seed: BPR(seed, *SMALL_BPR), SLIM, EASE],
    ids=["kNN", "ALS", "BPR", "SLIM", "EASE"],
)
def test_the_same_seed_gives_the_same_scores(make: Callable[[int], Baseline]):
    arrays = coded(DATA)
    found = []
    for _ in range(2):
        baseline = make(5)
        baseline.fit(arrays)
        found.append(baseline.scores([0, 1, 2], 0))
    np.testing.assert_array_equal(*found)


def test_there_is_one_of_each_by_distinct_names():
    names = [baseline.name for baseline in all_baselines()]
    assert len(set(names)) == len(names) == 8


# EASE


def test_ease_is_the_formula_of_the_paper():
    rng = np.random.default_rng(0)
    seen = (rng.random((80, 600)) < 0.05).astype(np.float32)
    both = seen.T @ seen
    inverse = np.linalg.inv(both.astype(np.float64) + 50.0 * np.eye(600))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    found = item_weights(both, 50.0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(item_weights(both.copy(), 50.0, overwrite=True), found)


def test_without_decay_recency_changes_nothing():
    arrays, ease, recency = coded(DATA), EASE(), EASERecency(decay=1.0)
    ease.fit(arrays)
    recency.fit(arrays)
    np.testing.assert_array_equal(recency.scores([3, 1, 3]), ease.scores([1, 3]))


def test_with_recency_the_last_item_counts_most():
    arrays, ease, recency = coded(DATA), EASE(), EASERecency(decay=0.5)
    ease.fit(arrays)
    recency.fit(arrays)
    expected = ease.scores([7]) + 0.5 * ease.scores([2])
    np.testing.assert_allclose(recency.scores([7, 2, 7]), expected, atol=1e-6)


def test_an_empty_history_scores_every_item_alike():
    ease = EASE()
    ease.fit(coded(DATA))
    assert not ease.scores([]).any()


def test_of_a_large_catalogue_the_most_frequent_items_are_kept():
    events = [event("a", f"i{item}", 1.0 + item) for item in (0, 1, 2)]
    events += [event("b", f"i{item}", 9.0 + item) for item in (1, 2)]
    pairs = gram(coded(dataset(events)), items_max=2)
    assert pairs.items.tolist() == [1, 2]
    assert pairs.places.tolist() == [-1, 0, 1]
    assert pairs.matrix.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert pairs.note() == "without the 1 rarest items"


# SLIM


def test_the_weights_of_slim_meet_the_conditions_of_the_optimum():
    rng = np.random.default_rng(2)
    seen = (rng.random((300, 12)) < 0.3).astype(np.float32)
    both = seen.T @ seen
    found = nonnegative_weights(both[None, 1:, 1:], both[None, 0, 1:], 2.0, 20.0)[0]
    slope = both[0, 1:] - both[1:, 1:] @ found - 2.0 - 20.0 * found
    assert (found >= 0.0).all()
    assert found.any()
    np.testing.assert_allclose(slope[found > 0.0], 0.0, atol=0.05)
    assert (slope[found == 0.0] <= 0.05).all()


# Popularity


def test_decayed_counts_halve_in_fourteen_days():
    days = [0.0, 1.0, 2.0, 16.0]
    bought = [event(user, "i0", 1e9 + day * DAY_S) for user, day in zip("abc", days, strict=False)]
    bought.append(event("d", "i1", 1e9 + days[-1] * DAY_S))
    baseline = DecayedPopularity()
    baseline.fit(coded(dataset(bought)))
    expected = sum(0.5 ** ((16.0 - day) / 14.0) for day in days[:3])
    scores = baseline.scores([])
    assert scores[0] / scores[1] == pytest.approx(expected, rel=1e-5)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 40_000.0)), min_size=1, max_size=20))
def test_decayed_counts_learnt_one_by_one_are_those_of_a_fit(rows: list[tuple[int, float]]):
    bought = [
        event(f"u{place}", f"i{item}", 1e9 + day * DAY_S)
        for place, (item, day) in enumerate(sorted(rows, key=lambda row: row[1]))
    ]
    arrays = coded(dataset(bought, 4))
    whole, learning = DecayedPopularity(), DecayedPopularity()
    whole.fit(arrays)
    learning.fit(arrays.take(slice(0, 1)))
    for one in bought[1:]:
        learning.learn(int((one.item_id or "")[1:]), one.timestamp)
    np.testing.assert_allclose(whole.scores([]), learning.scores([]), rtol=1e-4, atol=1e-6)


# Lists


@given(
    st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=30),
    st.sets(st.integers(0, 29)),
    st.integers(1, 20),
)
def test_a_list_is_the_best_of_what_is_not_excluded(
    values: list[float], excluded: set[int], k: int
):
    scores = np.array(values, np.float32)
    out = sorted(place for place in excluded if place < len(values))
    ties = np.arange(len(values))
    allowed = [i for i in range(len(values)) if i not in out and values[i] > -np.inf]
    expected = sorted(allowed, key=lambda i: (-values[i], -i))[:k]
    assert top(scores, out, ties, k) == expected


class Recording(Popularity):
    """Popularity that remembers what it was asked and told."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[int]]] = []
        self.fits: list[int] = []
        self.learnt: list[int] = []

    def fit(self, train: Coded) -> None:
        self.fits.append(len(train.users))
        super().fit(train)

    def learn(self, item: int, at: float, /) -> None:
        self.learnt.append(item)

    def scores(self, history: Sequence[int], user: int = -1, /) -> np.ndarray:
        self.asked.append((user, list(history)))
        return super().scores(history, user)


def test_histories_in_a_stream_hold_all_before_the_question_and_nothing_of_it():
    arrays, stream = coded(DATA), baskets(DATA)
    baseline = Recording()
    facts = Facts.of(arrays.take(slice(0, stream.start)))
    found = evaluate_prequential([baseline], arrays, stream.units, facts)[baseline.name]
    assert len(found.scores.ndcg) == len(stream.units) == len(baseline.asked)
    for (user, history), unit in zip(baseline.asked, stream.units, strict=True):
        own = [
            item
            for who, item in zip(arrays.users[: unit.start], arrays.items, strict=False)
            if who == user
        ]
        assert history == own
        assert len(history) == unit.case.known
    first, last = stream.units[0].start, stream.units[-1].start
    assert baseline.learnt == arrays.items[first:last].tolist()


def test_a_stream_is_refitted_as_its_days_go_by():
    arrays, stream = coded(DATA), baskets(DATA)
    daily, weekly = Recording(), Recording()
    facts = Facts.of(arrays)
    evaluate_prequential([daily], arrays, stream.units, facts, DAY_S)
    evaluate_prequential([weekly], arrays, stream.units, facts, 7 * DAY_S)
    assert daily.fits[0] == weekly.fits[0] == stream.units[0].start
    assert (len(weekly.fits), len(daily.fits)) == (2, 8)


def test_a_long_stream_is_refitted_sixty_times_at_most():
    rows = [event("a", f"i{day}", 1e9 + day * DAY_S) for day in range(400)]
    data = dataset(rows)
    baseline = Recording()
    evaluate_prequential([baseline], coded(data), baskets(data).units, Facts.of(coded(data)))
    assert 50 <= len(baseline.fits) <= 61


class Certain(Popularity):
    """Scores that would put what the user has on top."""

    def scores(self, history: Sequence[int], _user: int = -1, /) -> np.ndarray:
        scores = np.zeros(48, np.float32)
        scores[list(history)] = 1.0
        return scores


def test_what_its_user_touched_is_never_in_a_list(monkeypatch: pytest.MonkeyPatch):
    arrays, split = coded(DATA), last_out(DATA)
    facts = Facts.of(arrays)
    lists: list[tuple[str, list[str]]] = []

    class Watched(Scores):
        def add(self, ranked: Sequence[str], case: Case) -> None:
            lists.append((case.user_id, list(ranked)))
            super().add(ranked, case)

    monkeypatch.setattr(runs, "Scores", Watched)
    evaluate_static([Certain()], arrays, split, facts)
    touched = {(DATA.events[i].user_id, DATA.events[i].item_id) for i in split.train}
    assert len(lists) == len(split.cases)
    for user_id, ranked in lists:
        assert len(set(ranked)) == len(ranked) == 20
        assert not touched & {(user_id, item_id) for item_id in ranked}


# Validation


def test_what_is_held_out_is_not_learnt_from():
    arrays = coded(DATA)
    held = hold_out(arrays, 0)
    left = set(zip(held.train.users.tolist(), held.train.items.tolist(), strict=True))
    wanted = [
        (user, item)
        for user in range(len(arrays.user_ids))
        for history, relevant in held.cases
        if history == held.train.items[held.train.users == user].tolist()
        for item in relevant
    ]
    assert len(wanted) == sum(len(relevant) for _, relevant in held.cases) > 0
    assert not left & set(wanted)


def test_the_option_that_finds_what_came_next_is_chosen():
    held = hold_out(coded(DATA), 0)

    def fitted(option: str) -> Callable[[Sequence[int]], np.ndarray]:
        def scores(history: Sequence[int]) -> np.ndarray:
            group = np.arange(48) // 12 == history[0] // 12
            return (group if option == "own group" else ~group).astype(np.float32)

        return scores

    assert best(("another group", "own group"), fitted, held) == "own group"


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=r"pip install 'recsvc\[evaluate\]'"):
        extras.library("implicit.als")


def test_a_split_without_cases_is_no_error():
    arrays = coded(DATA)
    empty = Split("last", tuple(range(len(DATA.events))), ())
    found = evaluate_static([Popularity()], arrays, empty, Facts.of(arrays))
    assert found["Popularity"].scores.summary().ndcg is None
