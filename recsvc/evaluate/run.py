"""Evaluates our recommender and the baselines on the same questions."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from recsvc.evaluate.baselines import (
    BPR,
    Baseline,
    Outcome,
    all_baselines,
    evaluate_prequential,
    evaluate_static,
)
from recsvc.evaluate.datasets import Coded, Dataset, coded
from recsvc.evaluate.metrics import Facts, Scores
from recsvc.evaluate.replay import Route
from recsvc.evaluate.report import OURS, Report
from recsvc.evaluate.splits import Case, Split, Stream, baskets, last_out, time_split

__all__ = ["SPLITS", "OpenRoute", "Plan", "evaluate"]

SPLITS: Final = ("last", "time", "prequential")
_FROZEN: Final = "recsvc, frozen"
_TOLD_EVERY: Final = 100

OpenRoute = Callable[[], AbstractAsyncContextManager[Route]]
"""Opens a way to a recommender that holds nothing yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate. ``ask_every``: of the prequential questions, one in so many."""

    splits: tuple[str, ...] = SPLITS
    baselines: bool = True
    ask_every: int = 1
    seed: int = 0


async def evaluate(
    dataset: Dataset, name: str, plan: Plan, open_route: OpenRoute, console: Console
) -> Report:
    """Run the splits of ``plan``, each on a recommender of its own.

    Raises:
        SettingsError: what the baselines need is not installed.
    """
    codes = coded(dataset)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    report = Report(
        name,
        len(dataset.items),
        len(dataset.events),
        len(codes.user_ids),
        dataset.dropped,
        machine,
        plan.seed,
    )
    for split in plan.splits:
        with _Bars(console, split) as bars:
            if split == "prequential":
                await _prequential(dataset, codes, plan, open_route, report, bars)
            else:
                made = last_out(dataset) if split == "last" else time_split(dataset)
                await _frozen(dataset, codes, made, plan, open_route, report, bars)
    return report


async def _frozen(
    dataset: Dataset,
    codes: Coded,
    split: Split,
    plan: Plan,
    open_route: OpenRoute,
    report: Report,
    bars: _Bars,
) -> None:
    train = codes.take(np.asarray(split.train, np.int64))
    async with open_route() as route:
        await route.load(dataset.items)
        facts = Facts.of(train, await route.content(train.item_ids))
        started = time.perf_counter()
        await _send(route, dataset, split.train, bars)
        ours = Scores(facts)
        await _ask(route, split.cases, ours, bars)
        seconds = time.perf_counter() - started
        if split.name == "time":
            report.add(split.name, _FROZEN, ours.summary(plan.seed), seconds)
            ours = Scores(facts)
            await _ask_learning_on(route, dataset, split, ours, bars)
            seconds = time.perf_counter() - started
        report.add(split.name, OURS, ours.summary(plan.seed), seconds)
    if plan.baselines:
        found = evaluate_static(all_baselines(plan.seed), codes, split, facts, bars.told)
        _add(report, split.name, found, plan.seed)


async def _ask_learning_on(
    route: Route, dataset: Dataset, split: Split, scores: Scores, bars: _Bars
) -> None:
    """Ask each user just before their first later event, with what others did until then."""
    cases = {case.user_id: case for case in split.cases}
    rest = range(len(split.train), len(dataset.events))
    sent = rest.start
    for n, place in enumerate(rest):
        event = dataset.events[place]
        case = cases.pop(event.user_id, None)
        if case is not None:
            await route.send(dataset.events[sent:place])
            sent = place
            case = replace(case, at=event.timestamp)
            scores.add(await route.ask(case.user_id, case.at), case)
        if n % _TOLD_EVERY == 0:
            bars.told("recsvc learns on", n, len(rest))


async def _prequential(
    dataset: Dataset,
    codes: Coded,
    plan: Plan,
    open_route: OpenRoute,
    report: Report,
    bars: _Bars,
) -> None:
    stream: Stream = baskets(dataset)
    units = stream.units[:: plan.ask_every]
    train = codes.take(slice(0, stream.start))
    async with open_route() as route:
        await route.load(dataset.items)
        facts = Facts.of(train, await route.content(train.item_ids))
        ours, sent = Scores(facts), 0
        started = time.perf_counter()
        for n, unit in enumerate(units):
            await route.send(dataset.events[sent : unit.start])
            sent = unit.start
            ours.add(await route.ask(unit.case.user_id, unit.case.at), unit.case)
            if n % _TOLD_EVERY == 0:
                bars.told(OURS, n, len(units))
        report.add("prequential", OURS, ours.summary(plan.seed), time.perf_counter() - started)
    if plan.baselines:
        # BPR is dear to fit again and again, and is no better than ALS.
        models: list[Baseline] = [b for b in all_baselines(plan.seed) if not isinstance(b, BPR)]
        found = evaluate_prequential(models, codes, units, facts, progress=bars.told)
        _add(report, "prequential", found, plan.seed)


async def _send(route: Route, dataset: Dataset, places: Sequence[int], bars: _Bars) -> None:
    chunk = 2_000
    for start in range(0, len(places), chunk):
        await route.send([dataset.events[place] for place in places[start : start + chunk]])
        bars.told("recsvc learns", min(start + chunk, len(places)), len(places))


async def _ask(route: Route, cases: Sequence[Case], scores: Scores, bars: _Bars) -> None:
    for n, case in enumerate(cases, start=1):
        scores.add(await route.ask(case.user_id, case.at), case)
        if n % _TOLD_EVERY == 0 or n == len(cases):
            bars.told("recsvc is asked", n, len(cases))


def _add(report: Report, split: str, found: dict[str, Outcome], seed: int) -> None:
    for model, outcome in found.items():
        seconds = outcome.fit_s + outcome.ask_s
        report.add(split, model, outcome.scores.summary(seed), seconds, outcome.note)


class _Bars:
    """Progress bars on the terminal, one for each thing that is done."""

    def __init__(self, console: Console, split: str) -> None:
        self._split = split
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def told(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` is done."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(f"{self._split}: {what}", total=total)
        self._progress.update(self._tasks[what], completed=done)
