"""What `recsvc evaluate` does: finds the data, opens a way to a recommender, draws the chart."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from indexer.cli import run_loop
from indexer.errors import InvalidInput
from recsvc.evaluate.chart import draw
from recsvc.evaluate.datasets import NAMES, known, load_dataset
from recsvc.evaluate.replay import in_process, over_http
from recsvc.evaluate.report import Report
from recsvc.evaluate.run import SPLITS, OpenRoute, Plan, evaluate
from recsvc.ranking import COLLABORATIVE

__all__ = ["Ablation", "evaluate_files"]

_COMPONENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "profile": ("profile",),
    "collaborative": COLLABORATIVE,
    "popularity": ("hot", "popular"),
    "content": ("content",),
}
_FOREVER_S: Final = 1e13
_HALF_LIVES: Final = ("long", "short", "trend", "popularity", "hot")


@dataclass(frozen=True, slots=True)
class Ablation:
    """What is left out. ``names``: components, `learning` or `decay`."""

    names: frozenset[str] = frozenset()
    single_vector: bool = False

    @property
    def components(self) -> frozenset[str]:
        """The components of the ranking that are left out."""
        return frozenset(c for name in self.names for c in _COMPONENTS.get(name, ()))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that leave the rest out."""
        settings: dict[str, Any] = {}
        if "learning" in self.names:
            settings["learn_every"] = 0
        if "decay" in self.names:
            settings.update({f"half_life_{name}_s": _FOREVER_S for name in _HALF_LIVES})
        return settings


def evaluate_files(
    dataset: str,
    items: Path | None,
    events: Path | None,
    *,
    splits: Sequence[str],
    baselines: bool,
    ask_every: int,
    seed: int,
    url: str | None,
    ablation: Ablation,
    chart: Path | None,
) -> Report:
    """Evaluate on a shipped data set, a folder with ``items.jsonl`` and ``events.jsonl``, or files.

    Raises:
        InvalidInput: no such data, or options that do not go together.
        SettingsError: a library that this needs is not installed.
        StoreUnavailable: the service at ``url`` does not answer as it should.
    """
    files = _files(dataset, items, events)
    wanted = tuple(dict.fromkeys("last" if s == "user" else s for s in splits)) or SPLITS
    _check("--split", wanted, SPLITS)
    _check("--without", ablation.names, (*_COMPONENTS, "learning", "decay"))
    if url is not None and len(wanted) != 1:
        raise InvalidInput("--url: choose one --split, as a service can be filled only once")
    if url is not None and (ablation.names or ablation.single_vector):
        raise InvalidInput("--url: --without and --single-vector are settings of that service")
    data = load_dataset(*files)
    plan = Plan(wanted, baselines, ask_every, seed)
    name = dataset or files[1].parent.name
    report = run_loop(evaluate(data, name, plan, _route(url, ablation), Console(stderr=True)))
    if chart is not None:
        draw(report, chart)
    return report


def _check(option: str, given: Iterable[str], accepted: Sequence[str]) -> None:
    for name in given:
        if name not in accepted:
            raise InvalidInput(f"{option}: {name!r}; accepted: {', '.join(accepted)}")


def _files(dataset: str, items: Path | None, events: Path | None) -> tuple[Path, Path]:
    if items is not None and events is not None and not dataset:
        return items, events
    if items is not None or events is not None or not dataset:
        raise InvalidInput(
            f"a data set ({', '.join(NAMES)}, or a folder) is needed, or --items and --events"
        )
    folder = Path(dataset)
    if not folder.is_dir():
        return known(dataset)
    return _in(folder, "items"), _in(folder, "events")


def _in(folder: Path, what: str) -> Path:
    found = sorted(folder.glob(f"{what}.*"))
    if not found:
        raise InvalidInput(f"{folder}: no {what}.jsonl (or .jsonl.gz, .csv, .parquet) in it")
    return found[0]


def _route(url: str | None, ablation: Ablation) -> OpenRoute:
    if url is not None:
        return lambda: over_http(url, os.environ.get("RECSVC_API_KEY"))
    return lambda: in_process(
        ablation.components, single_vector=ablation.single_vector, **ablation.settings
    )
