"""Item-to-item similarity, and sparse item-to-item weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.baselines.baseline import Baseline, interactions
from recsvc.evaluate.baselines.gram import blocks
from recsvc.evaluate.baselines.validation import best, hold_out
from recsvc.evaluate.datasets import Coded
from recsvc.evaluate.extras import library

__all__ = ["ItemKNN", "Links", "strongest"]

_SHRINKS: Final = (0.0, 5.0, 20.0, 50.0)


class Links:
    """Sparse weights: what having one item says for each other."""

    def __init__(
        self,
        sources: NDArray[np.integer[Any]],
        targets: NDArray[np.integer[Any]],
        weights: NDArray[np.float32],
        count: int,
    ) -> None:
        """Take three arrays of one length: from an item, to an item, how much."""
        kept = weights != 0.0
        pairs = (sources[kept], targets[kept])
        sparse = library("scipy.sparse")
        self._rows = sparse.csr_matrix((weights[kept], pairs), (count, count))

    def scores(self, history: Sequence[int]) -> NDArray[np.float32]:
        """Sum up the rows of the distinct items of ``history``: (n,) float32."""
        rows = self._rows[sorted(set(history))]
        count = int(rows.shape[1])
        return np.bincount(rows.indices, rows.data, minlength=count).astype(np.float32)


def strongest(rows: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the places of the ``k`` largest of each row, in no order: (n, min(k, m)) int64."""
    k = min(k, rows.shape[1])
    return np.argpartition(rows, rows.shape[1] - k, axis=1)[:, rows.shape[1] - k :]


class ItemKNN(Baseline):
    """Cosines between items, the 200 nearest of each, shrunk where few users have both.

    An item's score is the sum over the history of ``common / (sqrt(n_i n_j) + shrink)``. Source:
    Deshpande and Karypis, "Item-based top-N recommendation algorithms", TOIS 2004.
    """

    name = "Item kNN"

    def __init__(self, seed: int = 0, neighbours: int = 200) -> None:
        self._seed, self._neighbours = seed, neighbours
        self._shrink = _SHRINKS[1]

    def tune(self, train: Coded, /) -> None:
        """Choose the shrinkage."""
        held = hold_out(train, self._seed)
        self._shrink = best(_SHRINKS, lambda shrink: self._linked(held.train, shrink).scores, held)

    def fit(self, train: Coded) -> None:
        """Find each item's neighbours."""
        self._links = self._linked(train, self._shrink)

    def scores(self, history: Sequence[int], _user: int = -1, /) -> NDArray[np.float32]:
        """Sum up the similarities to the history."""
        return self._links.scores(history)

    def _linked(self, train: Coded, shrink: float) -> Links:
        matrix = interactions(train)
        norms = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
        sources, weights = [], []
        for rows, block in blocks(matrix):
            block /= np.outer(norms[rows], norms) + np.float32(shrink + 1e-9)
            own = np.arange(len(block))
            block[own, own + rows.start] = 0.0
            nearest = strongest(block, self._neighbours)
            sources.append(nearest)
            weights.append(np.take_along_axis(block, nearest, axis=1))
        source, weight = np.concatenate(sources), np.concatenate(weights)
        target = np.repeat(np.arange(len(source)), source.shape[1])
        return Links(source.ravel(), target, weight.ravel(), len(source))
