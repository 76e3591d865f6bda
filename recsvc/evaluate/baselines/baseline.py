"""What a baseline is, and what baselines learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.datasets import Coded
from recsvc.evaluate.extras import library

__all__ = ["Baseline", "histories", "interactions", "top"]


class Baseline(Protocol):
    """A recommender that is fitted to a log, and scores items for a history of positive events.

    ``name``: for people. ``note``: what is out of the ordinary about the last fit, or empty.
    """

    name: str
    note: str = ""

    def tune(self, _train: Coded, /) -> None:
        """Choose hyper-parameters on a part of the events given; by default there are none."""
        return

    def fit(self, train: Coded) -> None:
        """Learn from all of ``train``, forgetting what was fitted before."""
        ...

    def learn(self, _item: int, _at: float, /) -> None:
        """Take in a positive event, of an item at a time, where that is possible without a fit."""
        return

    def scores(self, history: Sequence[int], user: int = -1, /) -> NDArray[np.float32]:
        """Return the score of every item, (n_items,) float32, bigger is better.

        ``history``: the user's positive items, oldest first, with repetitions. ``user``: the
        number of the user, for models that keep something of each. -inf: never recommended.
        """
        ...


def interactions(train: Coded) -> Any:
    """Return users by items, a csr_matrix of float32: 1 where there is a positive event."""
    sparse = library("scipy.sparse")
    users, items = train.users[train.positive], train.items[train.positive]
    shape = (len(train.user_ids), len(train.item_ids))
    matrix = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape)
    matrix.data[:] = 1.0
    return matrix


def histories(train: Coded) -> dict[int, list[int]]:
    """Return the positive items of each user who has any, oldest first."""
    found: dict[int, list[int]] = {}
    users, items = train.users[train.positive], train.items[train.positive]
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        found.setdefault(user, []).append(item)
    return found


def top(
    scores: NDArray[np.float32], excluded: Sequence[int], ties: NDArray[np.int64], k: int
) -> list[int]:
    """Return the ``k`` best items outside ``excluded``, best first.

    Equal scores are ordered by ``ties``, bigger first: a model that knows nothing of a user then
    falls back on what is popular, and not on the order of the catalogue.
    """
    left = scores.astype(np.float32, copy=True)
    left[excluded] = -np.inf
    k = min(k, len(left))
    least = np.partition(left, len(left) - k)[len(left) - k]
    (kept,) = np.nonzero((left >= least) & (left > -np.inf))
    order = np.lexsort((-ties[kept], -left[kept]))[:k]
    return [int(place) for place in kept[order]]
