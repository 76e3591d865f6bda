"""Sparse linear weights between items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.baselines.baseline import Baseline
from recsvc.evaluate.baselines.gram import Gram, gram
from recsvc.evaluate.baselines.neighbours import Links, strongest
from recsvc.evaluate.baselines.validation import best, hold_out
from recsvc.evaluate.datasets import Coded

__all__ = ["SLIM", "nonnegative_weights"]

_PENALTIES: Final = ((0.3, 5.0), (1.0, 5.0), (1.0, 30.0), (3.0, 100.0))
_SWEEPS: Final = 15
_BATCH: Final = 128


class SLIM(Baseline):
    """Each item predicted from its 100 nearest by cosine, weights at least 0, elastic net.

    Source: Ning and Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM
    2011, with the selection of features ("fsSLIM") of its section IV.
    """

    name = "SLIM"

    def __init__(self, seed: int = 0, neighbours: int = 100) -> None:
        self._seed, self._neighbours = seed, neighbours
        self._penalties = _PENALTIES[2]

    def tune(self, train: Coded, /) -> None:
        """Choose both penalties."""
        held = hold_out(train, self._seed)
        pairs = gram(held.train)
        self._penalties = best(_PENALTIES, lambda both: self._linked(pairs, *both).scores, held)

    def fit(self, train: Coded) -> None:
        """Solve for all weights."""
        pairs = gram(train)
        self.note = pairs.note()
        self._links = self._linked(pairs, *self._penalties)

    def scores(self, history: Sequence[int], _user: int = -1, /) -> NDArray[np.float32]:
        """Sum up the weights of the history."""
        return self._links.scores(history)

    def _linked(self, pairs: Gram, lasso: float, ridge: float) -> Links:
        sources, weights = [], []
        norms = np.sqrt(np.maximum(pairs.matrix.diagonal(), 1.0))
        for start in range(0, len(pairs.items), _BATCH):
            targets = np.arange(start, min(start + _BATCH, len(pairs.items)))
            cosines = np.asarray(pairs.matrix[targets] / norms, np.float32)
            cosines[np.arange(len(targets)), targets] = -1.0
            near = strongest(cosines, min(self._neighbours, len(pairs.items) - 1))
            between = pairs.matrix[near[:, :, None], near[:, None, :]]
            common = np.take_along_axis(pairs.matrix[targets], near, axis=1)
            sources.append(near)
            weights.append(nonnegative_weights(between, common, lasso, ridge))
        source, weight = np.concatenate(sources), np.concatenate(weights)
        target = np.repeat(pairs.items, source.shape[1])
        return Links(pairs.items[source.ravel()], target, weight.ravel(), len(pairs.places))


def nonnegative_weights(
    between: NDArray[np.float32], common: NDArray[np.float32], lasso: float, ridge: float
) -> NDArray[np.float32]:
    """Minimise ``w' G w / 2 - b' w + lasso |w| + ridge |w|^2 / 2`` over ``w >= 0``, many at once.

    ``between``: (t, k, k) float32, the G of each; ``common``: (t, k) float32, the b of each.
    Coordinate descent, all problems in step: (t, k) float32.
    """
    count, size = common.shape
    weights = np.zeros((count, size), np.float32)
    left = common - np.float32(lasso)
    diagonal = np.einsum("tkk->tk", between)
    for _ in range(_SWEEPS):
        for k in range(size):
            own = weights[:, k]
            new = np.maximum(left[:, k] + diagonal[:, k] * own, 0.0) / (
                diagonal[:, k] + np.float32(ridge)
            )
            change = new - own
            if change.any():
                left -= between[:, k] * change[:, None]
                weights[:, k] = new
    return weights
