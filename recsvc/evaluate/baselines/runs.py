"""Asking baselines what a split asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from recsvc.evaluate.baselines.baseline import Baseline, histories, top
from recsvc.evaluate.datasets import Coded
from recsvc.evaluate.metrics import LIST_MAX, Facts, Scores
from recsvc.evaluate.splits import Split, Unit

__all__ = ["Outcome", "Progress", "evaluate_prequential", "evaluate_static"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

_DAY_S: Final = 86_400.0
_REFITS_MAX: Final = 60
_TOLD_EVERY: Final = 500


@dataclass(slots=True)
class Outcome:
    """How a baseline did, and how long that took. ``fits``: how often it was fitted."""

    scores: Scores
    fit_s: float = 0.0
    ask_s: float = 0.0
    fits: int = 0
    note: str = ""


def evaluate_static(
    baselines: Sequence[Baseline],
    coded: Coded,
    split: Split,
    facts: Facts,
    progress: Progress | None = None,
) -> dict[str, Outcome]:
    """Tune and fit each baseline on the training part of ``split``, and ask it all cases.

    Nothing is learnt from the answers. A list is 20 long, without what its user touched before.
    """
    train = coded.take(np.asarray(split.train, np.int64))
    users = {user_id: number for number, user_id in enumerate(train.user_ids)}
    positives, touched = histories(train), _touched(train)
    outcomes = {}
    for baseline in baselines:
        outcome = outcomes[baseline.name] = Outcome(Scores(facts))
        if progress is not None:
            progress(baseline.name, 0, len(split.cases))
        _fit(baseline, train, outcome, tune=True)
        started = time.perf_counter()
        for done, case in enumerate(split.cases):
            user = users[case.user_id]
            scores = baseline.scores(positives.get(user, []), user)
            ranked = top(scores, touched.get(user, []), facts.counts, LIST_MAX)
            outcome.scores.add([train.item_ids[item] for item in ranked], case)
            if progress is not None and done % _TOLD_EVERY == 0:
                progress(baseline.name, done, len(split.cases))
        outcome.ask_s = time.perf_counter() - started
    return outcomes


def evaluate_prequential(
    baselines: Sequence[Baseline],
    coded: Coded,
    units: Sequence[Unit],
    facts: Facts,
    refit_every_s: float = _DAY_S,
    progress: Progress | None = None,
) -> dict[str, Outcome]:
    """Walk through all events in order, asking each unit before its events are learnt from.

    Histories are up to date at every question. All baselines are tuned and fitted on what is
    before the first unit, and fitted anew, without tuning, at the first unit that is
    ``refit_every_s`` or a sixtieth of the whole time after the last fit, whichever is more.
    """
    outcomes = {baseline.name: Outcome(Scores(facts)) for baseline in baselines}
    if not units:
        return outcomes
    walk = _Walk(coded)
    span_s = units[-1].case.at - units[0].case.at
    interval_s = max(refit_every_s, span_s / _REFITS_MAX)
    fitted_at = float("-inf")
    for done, unit in enumerate(units):
        walk.forward(unit.start, told=baselines if done else ())
        at = unit.case.at
        if at - fitted_at >= interval_s:
            train = coded.take(slice(0, unit.start))
            for baseline in baselines:
                _fit(baseline, train, outcomes[baseline.name], tune=done == 0)
            fitted_at = at
        for baseline in baselines:
            started = time.perf_counter()
            ranked = walk.ranked(baseline, int(coded.users[unit.start]), facts)
            outcome = outcomes[baseline.name]
            outcome.scores.add(ranked, unit.case)
            outcome.ask_s += time.perf_counter() - started
        if progress is not None and done % _TOLD_EVERY == 0:
            progress("prequential", done, len(units))
    return outcomes


class _Walk:
    """What is known of the users at one place of the stream."""

    def __init__(self, coded: Coded) -> None:
        self._coded, self._place = coded, 0
        self._positives: dict[int, list[int]] = {}
        self._touched: dict[int, set[int]] = {}

    def forward(self, place: int, told: Sequence[Baseline]) -> None:
        """Take in the events before ``place``; those ``told`` learn from the positive ones."""
        coded = self._coded
        for i in range(self._place, place):
            user, item = int(coded.users[i]), int(coded.items[i])
            if item >= 0:
                self._touched.setdefault(user, set()).add(item)
            if coded.positive[i]:
                self._positives.setdefault(user, []).append(item)
                for baseline in told:
                    baseline.learn(item, float(coded.timestamps[i]))
        self._place = place

    def ranked(self, baseline: Baseline, user: int, facts: Facts) -> list[str]:
        """Return a baseline's list for a user now, as item ids."""
        scores = baseline.scores(self._positives.get(user, []), user)
        ranked = top(scores, list(self._touched.get(user, ())), facts.counts, LIST_MAX)
        return [self._coded.item_ids[item] for item in ranked]


def _fit(baseline: Baseline, train: Coded, outcome: Outcome, *, tune: bool) -> None:
    started = time.perf_counter()
    if tune:
        baseline.tune(train)
    baseline.fit(train)
    outcome.fit_s += time.perf_counter() - started
    outcome.fits += 1
    outcome.note = baseline.note


def _touched(train: Coded) -> dict[int, list[int]]:
    found: dict[int, set[int]] = {}
    for user, item in zip(train.users.tolist(), train.items.tolist(), strict=True):
        if item >= 0:
            found.setdefault(user, set()).add(item)
    return {user: sorted(items) for user, items in found.items()}
