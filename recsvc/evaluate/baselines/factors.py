"""Matrix factorisation, by the library ``implicit``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.baselines.baseline import Baseline, interactions
from recsvc.evaluate.baselines.validation import best, hold_out
from recsvc.evaluate.datasets import Coded
from recsvc.evaluate.extras import library

__all__ = ["ALS", "BPR"]

_ALS_OPTIONS: Final = ((256, 2.0, 1.0), (128, 2.0, 1.0), (128, 10.0, 10.0), (64, 10.0, 10.0))
_ALS_ROUNDS: Final = 15
_BPR_FACTORS, _BPR_ROUNDS, _BPR_RATE = 128, 200, 0.05


class ALS(Baseline):
    """Alternating least squares on implicit feedback; a history is folded in exactly.

    Source: Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM
    2008. ``options``: to choose from, (factors, confidence of a positive, regularisation).
    """

    name = "ALS"

    def __init__(
        self, seed: int = 0, options: Sequence[tuple[int, float, float]] = _ALS_OPTIONS
    ) -> None:
        self._seed, self._options, self._option = seed, options, options[0]

    def tune(self, train: Coded, /) -> None:
        """Choose among the options."""
        held = hold_out(train, self._seed)
        matrix = interactions(held.train)
        self._option = best(self._options, lambda o: self._factors(matrix, *o).scores, held)

    def fit(self, train: Coded) -> None:
        """Factorise."""
        self._fold = self._factors(interactions(train), *self._option)

    def scores(self, history: Sequence[int], _user: int = -1, /) -> NDArray[np.float32]:
        """Solve for the vector of this history, and take its products with the items'."""
        return self._fold.scores(history)

    def _factors(self, matrix: Any, factors: int, confidence: float, ridge: float) -> _FoldIn:
        with _single("implicit.als") as als:
            model = als.AlternatingLeastSquares(
                factors=factors,
                regularization=ridge,
                alpha=confidence,
                iterations=_ALS_ROUNDS,
                use_gpu=False,
                num_threads=1,
                random_state=self._seed,
            )
            model.fit(matrix, show_progress=False)
        return _FoldIn(np.asarray(model.item_factors, np.float32), confidence, ridge)


class _FoldIn:
    """Users' vectors for fixed items: ``(Y'Y + (c - 1) Y_h' Y_h + r I)^-1 c Y_h' 1``."""

    def __init__(self, items: NDArray[np.float32], confidence: float, ridge: float) -> None:
        self._items, self._confidence = items, confidence
        self._all = items.T @ items + np.float32(ridge) * np.eye(items.shape[1], dtype=np.float32)

    def scores(self, history: Sequence[int]) -> NDArray[np.float32]:
        own = self._items[sorted(set(history))]
        matrix = self._all + np.float32(self._confidence - 1.0) * (own.T @ own)
        vector = np.linalg.solve(matrix, np.float32(self._confidence) * own.sum(axis=0))
        return np.asarray(self._items @ vector, np.float32)


class BPR(Baseline):
    """Bayesian personalised ranking: random pairs of a positive and another item.

    Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.
    A user who was not there at the fit is the mean of the history's items.
    """

    name = "BPR"

    def __init__(
        self, seed: int = 0, factors: int = _BPR_FACTORS, rounds: int = _BPR_ROUNDS
    ) -> None:
        self._seed, self._factors, self._rounds = seed, factors, rounds

    def fit(self, train: Coded) -> None:
        """Factorise; in one thread, as several overwrite each other in no fixed order."""
        matrix = interactions(train)
        with _single("implicit.bpr") as bpr:
            model = bpr.BayesianPersonalizedRanking(
                factors=self._factors,
                learning_rate=_BPR_RATE,
                iterations=self._rounds,
                use_gpu=False,
                num_threads=1,
                random_state=self._seed,
            )
            model.fit(matrix, show_progress=False)
        self._users = np.asarray(model.user_factors, np.float32)
        self._items = np.asarray(model.item_factors, np.float32)
        self._trained = np.diff(matrix.indptr) > 0

    def scores(self, history: Sequence[int], user: int = -1, /) -> NDArray[np.float32]:
        """Return the products of the user's vector with the items'; the last factor is a bias."""
        if user >= 0 and self._trained[user]:
            return np.asarray(self._items @ self._users[user], np.float32)
        if not history:
            return np.zeros(len(self._items), np.float32)
        vector = self._items[sorted(set(history))].mean(axis=0)
        vector[-1] = 1.0
        return np.asarray(self._items @ vector, np.float32)


@contextmanager
def _single(name: str) -> Iterator[Any]:
    """Import a part of ``implicit``, and keep BLAS to one thread, as it is slow (and warns) else.

    BLAS is loaded with the import, and can be told only after it.
    """
    loaded = library(name)
    with library("threadpoolctl").threadpool_limits(1, "blas"):
        yield loaded
