"""What most people take, ever or of late."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.baselines.baseline import Baseline
from recsvc.evaluate.datasets import Coded

__all__ = ["DecayedPopularity", "Popularity"]

_DAY_S = 86_400.0
_HALVINGS_MAX = 500.0


class Popularity(Baseline):
    """The number of positive events of each item."""

    name = "Popularity"

    def fit(self, train: Coded) -> None:
        """Count."""
        items = train.items[train.positive]
        self._counts = np.bincount(items, minlength=len(train.item_ids)).astype(np.float32)

    def scores(self, _history: Sequence[int], _user: int = -1, /) -> NDArray[np.float32]:
        """Return the counts, for everybody the same."""
        return self._counts


class DecayedPopularity(Baseline):
    """The same, an event counting half as much after each ``half_life_days``.

    The counts are kept as of a fixed moment in the past, where new events weigh more and more;
    they are proportional to those of today, and only they have to be touched.
    """

    name = "Recent popularity"

    def __init__(self, half_life_days: float = 14.0) -> None:
        self._half_life_s = half_life_days * _DAY_S
        self._start_s = 0.0
        self._counts: NDArray[np.float64] = np.zeros(0)

    def fit(self, train: Coded) -> None:
        """Count, as of the last event."""
        at = train.timestamps[train.positive]
        self._start_s = float(at[-1]) if len(at) else 0.0
        weights = np.exp2((at - self._start_s) / self._half_life_s)
        items = train.items[train.positive]
        counts = np.bincount(items, weights, minlength=len(train.item_ids))
        self._counts = counts.astype(np.float64)

    def learn(self, item: int, at: float, /) -> None:
        """Count one more; before the weights overflow, the fixed moment moves on."""
        halvings = (at - self._start_s) / self._half_life_s
        if halvings > _HALVINGS_MAX:
            self._counts *= np.exp2(-halvings)
            self._start_s, halvings = at, 0.0
        self._counts[item] += np.exp2(halvings)

    def scores(self, _history: Sequence[int], _user: int = -1, /) -> NDArray[np.float32]:
        """Return the counts over the largest of them, for everybody the same."""
        most = max(float(self._counts.max(initial=0.0)), 1e-300)
        return np.asarray(self._counts / most, np.float32)
