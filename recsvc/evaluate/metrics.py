"""How good lists of recommendations are. Pure; everywhere but in ``surprise``, bigger is better."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.datasets import Coded
from recsvc.evaluate.splits import Case

__all__ = [
    "LIST_MAX",
    "Facts",
    "Scores",
    "Summary",
    "bootstrap_ci",
    "diversity_at",
    "hit_at",
    "mrr",
    "ndcg_at",
    "recall_at",
]

LIST_MAX: Final = 20
"""How long a list is asked for; what is ranked lower counts nothing."""

_TOP: Final = 10
_FEW: Final = 20
_CHUNK: Final = 2_000_000


def ndcg_at(ranked: Sequence[str], relevant: Collection[str], k: int = _TOP) -> float:
    """Normalised discounted cumulative gain, gains 0 or 1, discount log2(rank + 1).

    The ideal list has min(k, number relevant) right answers on top. Source: Järvelin and
    Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
    """
    gain = sum(1.0 / np.log2(rank + 2.0) for rank, i in enumerate(ranked[:k]) if i in relevant)
    ideal = sum(1.0 / np.log2(rank + 2.0) for rank in range(min(k, len(relevant))))
    return float(gain / ideal) if relevant else 0.0


def hit_at(ranked: Sequence[str], relevant: Collection[str], k: int = _TOP) -> float:
    """Whether one of the first ``k`` is right: 1 or 0."""
    return float(any(item_id in relevant for item_id in ranked[:k]))


def recall_at(ranked: Sequence[str], relevant: Collection[str], k: int = LIST_MAX) -> float:
    """Return the share of right answers that are among the first ``k``."""
    return sum(item_id in relevant for item_id in ranked[:k]) / len(relevant) if relevant else 0.0


def mrr(ranked: Sequence[str], relevant: Collection[str], k: int = LIST_MAX) -> float:
    """Return 1 / rank of the first right answer among the first ``k``, 0 where there is none."""
    ranks = (rank for rank, item_id in enumerate(ranked[:k], start=1) if item_id in relevant)
    return 1.0 / next(ranks, float("inf"))


def diversity_at(vectors: NDArray[np.float32]) -> float | None:
    """Return the mean of 1 - cosine over the pairs of a list; None for fewer than two items.

    ``vectors``: (k, d) float32, each of length 1, or 0 for an item without content, which is
    unlike any other. Source: intra-list distance, Ziegler et al., WWW 2005.
    """
    count = len(vectors)
    if count < 2:
        return None
    total = vectors.sum(axis=0, dtype=np.float64)
    alike = float(total @ total) - float(np.sum(np.square(vectors, dtype=np.float64)))
    return 1.0 - alike / (count * (count - 1))


def bootstrap_ci(
    values: NDArray[np.float64], seed: int, rounds: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval that holds the mean of ``values`` (n,) with probability ``level``.

    By percentiles of the means of ``rounds`` samples drawn with replacement: Efron, "Bootstrap
    methods: another look at the jackknife", 1979. The same seed gives the same interval.
    """
    count = len(values)
    if not count:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // count)
    means = [
        values[rng.integers(count, size=(min(at_once, rounds - done), count))].mean(axis=1)
        for done in range(0, rounds, at_once)
    ]
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(np.concatenate(means), [tail, 100.0 - tail])
    return float(low), float(high)


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is known of the catalogue before the first question.

    ``index``: place by item id; ``counts``: (n,) int64 positive events learnt from; ``surprise``:
    (n,) float64, -log2 of each item's share of these; ``vectors``: (n, d) float32 of length 1.
    """

    index: Mapping[str, int]
    counts: NDArray[np.int64]
    surprise: NDArray[np.float64]
    vectors: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, train: Coded, vectors: NDArray[np.float32] | None = None) -> Self:
        """Count ``train``; ``vectors``: (n, d) float32, what the items are about, any length.

        Every item counts as seen once more than it was (Laplace), so that none is infinitely
        surprising.
        """
        count = len(train.item_ids)
        counts = np.bincount(train.items[train.positive], minlength=count)
        surprise = -np.log2((counts + 1.0) / (counts.sum() + count))
        if vectors is not None:
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = (vectors / np.where(length > 0.0, length, 1.0)).astype(np.float32)
        index = {item_id: place for place, item_id in enumerate(train.item_ids)}
        return cls(index, counts, surprise, vectors)


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over ``cases`` lists; None where there is nothing to take the mean of.

    ``ndcg``, ``hit``, ``novelty`` and ``diversity`` are of the first 10, ``recall`` and ``mrr`` of
    the first 20. ``coverage``: share of the catalogue in the first 10 of any list. ``novelty``:
    bits, mean of `Facts.surprise` (Vargas and Castells, RecSys 2011). ``few_``: of the cases of
    users with fewer than 20 positive events so far.
    """

    cases: int
    ndcg: float | None
    ndcg_ci: tuple[float, float] | None
    hit: float | None
    recall: float | None
    mrr: float | None
    coverage: float
    novelty: float | None
    diversity: float | None
    few_cases: int
    few_ndcg: float | None
    few_ndcg_ci: tuple[float, float] | None


@dataclass(slots=True)
class Scores:
    """The values of each list, in order of `add`."""

    facts: Facts
    ndcg: list[float] = field(default_factory=list)
    hit: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    mrr: list[float] = field(default_factory=list)
    novelty: list[float] = field(default_factory=list)
    diversity: list[float] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)

    def add(self, ranked: Sequence[str], case: Case) -> None:
        """Judge one list of item ids, best first; of more than 20, the first 20."""
        relevant = frozenset(case.relevant)
        self.ndcg.append(ndcg_at(ranked, relevant))
        self.hit.append(hit_at(ranked, relevant))
        self.recall.append(recall_at(ranked, relevant))
        self.mrr.append(mrr(ranked, relevant))
        self.known.append(case.known)
        top = [self.facts.index[item_id] for item_id in ranked[:_TOP]]
        self.shown.update(ranked[:_TOP])
        if top:
            self.novelty.append(float(self.facts.surprise[top].mean()))
        if self.facts.vectors is not None:
            diversity = diversity_at(self.facts.vectors[top])
            if diversity is not None:
                self.diversity.append(diversity)

    def summary(self, seed: int = 0) -> Summary:
        """Take the means; ``seed``: of the samples that the intervals are made of."""
        ndcg = np.asarray(self.ndcg, np.float64)
        few = ndcg[np.asarray(self.known, np.int64) < _FEW]
        return Summary(
            cases=len(ndcg),
            ndcg=_mean(ndcg),
            ndcg_ci=_interval(ndcg, seed),
            hit=_mean(self.hit),
            recall=_mean(self.recall),
            mrr=_mean(self.mrr),
            coverage=len(self.shown) / max(len(self.facts.index), 1),
            novelty=_mean(self.novelty),
            diversity=_mean(self.diversity),
            few_cases=len(few),
            few_ndcg=_mean(few),
            few_ndcg_ci=_interval(few, seed),
        )


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _interval(values: NDArray[np.float64], seed: int) -> tuple[float, float] | None:
    return bootstrap_ci(values, seed) if len(values) else None
