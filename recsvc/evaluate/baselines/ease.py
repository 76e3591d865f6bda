"""EASE: a linear model of items on items, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.baselines.baseline import Baseline
from recsvc.evaluate.baselines.gram import Gram, gram
from recsvc.evaluate.baselines.validation import best, hold_out
from recsvc.evaluate.datasets import Coded
from recsvc.evaluate.extras import library

__all__ = ["EASE", "EASERecency", "item_weights"]

_RIDGES: Final = (30.0, 100.0, 300.0, 1000.0)
_BLOCK: Final = 512


class EASE(Baseline):
    """Weights that predict each item from all others, with a ridge penalty and a zero diagonal.

    Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019.
    """

    name = "EASE"
    decay = 1.0

    def __init__(self, seed: int = 0) -> None:
        self._seed, self._ridge = seed, _RIDGES[2]

    def tune(self, train: Coded, /) -> None:
        """Choose the penalty."""
        held = hold_out(train, self._seed)
        pairs = gram(held.train)
        self._ridge = best(
            _RIDGES, lambda ridge: _Linear(pairs, ridge, decay=self.decay).scores, held
        )

    def fit(self, train: Coded) -> None:
        """Invert the matrix."""
        pairs = gram(train)
        self.note = pairs.note()
        self._linear = _Linear(pairs, self._ridge, decay=self.decay, overwrite=True)

    def scores(self, history: Sequence[int], _user: int = -1, /) -> NDArray[np.float32]:
        """Sum up the weights of the distinct items of the history."""
        return self._linear.scores(history)


class EASERecency(EASE):
    """The same, the n-th last distinct item of the history counting ``decay^(n-1)``.

    Only where it is asked, not where the weights are fitted; the penalty is chosen for it.
    """

    name = "EASE, recency"

    def __init__(self, seed: int = 0, decay: float = 0.9) -> None:
        super().__init__(seed)
        self.decay = decay


class _Linear:
    def __init__(self, pairs: Gram, ridge: float, *, decay: float, overwrite: bool = False) -> None:
        self._items, self._places, self._decay = pairs.items, pairs.places, decay
        self._weights = item_weights(pairs.matrix, ridge, overwrite=overwrite)

    def scores(self, history: Sequence[int]) -> NDArray[np.float32]:
        recent = np.fromiter(dict.fromkeys(reversed(history)), np.int64)
        places = self._places[recent]
        factors = np.power(self._decay, np.arange(len(recent))).astype(np.float32)
        scores = np.full(len(self._places), -np.inf, np.float32)
        scores[self._items] = factors[places >= 0] @ self._weights[places[places >= 0]]
        return scores


def item_weights(
    matrix: NDArray[np.float32], ridge: float, *, overwrite: bool = False
) -> NDArray[np.float32]:
    """Return B of EASE: with ``P = (G + ridge I)^-1``, ``B_ij = -P_ij / P_jj``, ``B_ii = 0``.

    ``matrix``: G, (m, m) float32, symmetric, stored by rows; with ``overwrite``, its memory is
    used. By Cholesky's factors, which takes half the time of a general inversion.
    """
    lapack = library("scipy.linalg.lapack")
    found = matrix if overwrite else matrix.copy()
    found[np.diag_indices_from(found)] += np.float32(ridge)
    # LAPACK wants columns first, which for a symmetric matrix is its transpose, and no copy.
    found, failed = lapack.spotrf(found.T, lower=1, clean=0, overwrite_a=1)
    if not failed:
        found, failed = lapack.spotri(found, lower=1, overwrite_c=1)
    if failed:
        raise ArithmeticError(f"the matrix of item pairs is not positive definite ({failed})")
    inverse = _mirrored(found)
    inverse /= -inverse.diagonal().copy()
    np.fill_diagonal(inverse, 0.0)
    return inverse


def _mirrored(lower: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill the upper triangle of a matrix stored by columns; return it stored by rows."""
    for start in range(0, len(lower), _BLOCK):
        end = min(start + _BLOCK, len(lower))
        corner = np.tril(lower[start:end, start:end])
        lower[start:end, start:end] = corner + np.tril(corner, -1).T
        lower[start:end, end:] = lower[end:, start:end].T
    return lower.T
