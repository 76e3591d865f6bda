"""Choosing hyper-parameters on a part of what is learnt from, so that no test event is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.baselines.baseline import top
from recsvc.evaluate.datasets import Coded

__all__ = ["Holdout", "Scorer", "best", "hold_out"]

Scorer = Callable[[Sequence[int]], NDArray[np.float32]]
"""Scores of all items by a history of positive items."""

_USERS_MAX: Final = 1000
_HISTORY_MIN: Final = 5
_SHARE, _ASKED_MAX = 0.2, 10
_K: Final = 10

Option = TypeVar("Option")


@dataclass(frozen=True, slots=True, eq=False)
class Holdout:
    """``train``: what is left. ``cases``: of each user asked, the history and what came next."""

    train: Coded
    cases: list[tuple[list[int], set[int]]]


def hold_out(train: Coded, seed: int) -> Holdout:
    """Withhold the last fifth of the positive events, 1 to 10, of up to 1,000 users.

    And all that these users did after the first of them. Only of users with five positive events
    before; what they had had by then is no right answer.
    """
    places: dict[int, list[int]] = {}
    (positive,) = np.nonzero(train.positive)
    for user, place in zip(train.users[positive].tolist(), positive.tolist(), strict=True):
        places.setdefault(user, []).append(place)
    found = []
    for user, own in places.items():
        known = len(own) - min(_ASKED_MAX, max(1, round(_SHARE * len(own))))
        history = train.items[own[:known]].tolist()
        relevant = set(train.items[own[known:]].tolist()) - set(history)
        if known >= _HISTORY_MIN and relevant:
            found.append((user, own[known], (history, relevant)))
    rng = np.random.default_rng(seed)
    chosen = [found[i] for i in np.sort(rng.permutation(len(found))[:_USERS_MAX])]
    end = np.full(len(train.user_ids), len(train.users))
    for user, place, _ in chosen:
        end[user] = place
    (left,) = np.nonzero(np.arange(len(train.users)) < end[train.users])
    return Holdout(train.take(left), [case for _, _, case in chosen])


def best(options: Sequence[Option], fitted: Callable[[Option], Scorer], held: Holdout) -> Option:
    """Return the option with the highest mean nDCG@10; of equal ones, the first."""
    count = len(held.train.item_ids)
    ties = np.bincount(held.train.items[held.train.positive], minlength=count).astype(np.int64)
    gains = 1.0 / np.log2(np.arange(_K) + 2.0)

    def quality(option: Option) -> float:
        score = fitted(option)
        total = 0.0
        for history, relevant in held.cases:
            ranked = top(score(history), history, ties, _K)
            right = [place for place, item in enumerate(ranked) if item in relevant]
            total += float(gains[right].sum() / gains[: len(relevant)].sum())
        return total

    return max(options, key=quality)
