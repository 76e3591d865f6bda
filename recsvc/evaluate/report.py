"""What an evaluation found: every recommender by every measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from recsvc.evaluate.metrics import Summary

__all__ = ["OURS", "Report"]

OURS: Final = "recsvc"
"""The name of our own recommender among the models."""

_SAID: Final[Mapping[str, str]] = {
    "last": "each user's last fifth, after all that came before",
    "time": "the last fifth of the time, frozen before it",
    "prequential": "every basket, learning after each",
}
_COLUMNS: Final[tuple[tuple[str, Callable[[Summary], float | None], int], ...]] = (
    ("nDCG\n@10", lambda one: one.ndcg, 4),
    ("HR\n@10", lambda one: one.hit, 3),
    ("rec.\n@20", lambda one: one.recall, 3),
    ("MRR", lambda one: one.mrr, 3),
    ("cov-\nerage", lambda one: one.coverage, 3),
    ("nov-\nelty", lambda one: one.novelty, 1),
    ("div-\nersity", lambda one: one.diversity, 3),
    ("few\nevents", lambda one: one.few_ndcg, 4),
)


@dataclass(slots=True)
class Report:
    """Summaries by split and model. ``seconds``: how long each took. ``notes``: by model."""

    data: str
    items: int
    events: int
    users: int
    dropped: int = 0
    machine: str = ""
    seed: int = 0
    splits: dict[str, dict[str, Summary]] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(
        self, split: str, model: str, summary: Summary, seconds: float = 0.0, note: str = ""
    ) -> None:
        """Take in what one model reached on one split."""
        self.splits.setdefault(split, {})[model] = summary
        self.seconds.setdefault(split, {})[model] = round(seconds, 2)
        if note:
            self.notes[model] = note

    def ratios(self, split: str) -> dict[str, float]:
        """Return how many times each baseline's nDCG@10 ours is; empty without ours."""
        models = self.splits[split]
        ours = models[OURS].ndcg if OURS in models else None
        if ours is None:
            return {}
        return {
            model: ours / summary.ndcg
            for model, summary in models.items()
            if model != OURS and summary.ndcg
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON fields."""
        return {**asdict(self), "ratios": {split: self.ratios(split) for split in self.splits}}

    def print(self, console: Console) -> None:
        """Print a table for each split."""
        counts = f"{self.items:,} items, {self.events:,} events, {self.users:,} users"
        dropped = f", {self.dropped:,} events dropped" if self.dropped else ""
        console.print(Text(f"{self.data}: {counts}{dropped}"))
        if self.machine:
            console.print(Text(self.machine))
        for split in self.splits:
            console.print(self._table(split))
            ratios = [f"{model} {ratio:.2f}" for model, ratio in self.ratios(split).items()]
            if ratios:
                console.print(Text(f"nDCG@10 of {OURS} to that of: {', '.join(ratios)}\n"))
        for model, note in self.notes.items():
            console.print(Text(f"{model}: {note}"))

    def _table(self, split: str) -> Table:
        models = self.splits[split]
        cases = max(summary.cases for summary in models.values())
        few = max(summary.few_cases for summary in models.values())
        said = f": {_SAID[split]}" if split in _SAID else ""
        table = Table(
            Column("model", no_wrap=True),
            *(Column(name, justify="right", no_wrap=True) for name, _, _ in _COLUMNS),
            title=Text(f"{split}{said}"),
            caption=f"{cases:,} lists; few events: {few:,}, users with < 20. Small: 95 % CI.",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
            pad_edge=False,
        )
        best = [_best(models, value) for _, value, _ in _COLUMNS]
        for model, summary in models.items():
            cells = [
                _cell(value(summary), digits, value(summary) == most)
                for (_, value, digits), most in zip(_COLUMNS, best, strict=True)
            ]
            for place, interval in ((0, summary.ndcg_ci), (-1, summary.few_ndcg_ci)):
                if interval is not None:
                    cells[place].append(f"\n{_short(interval[0])}-{_short(interval[1])}", "dim")
            table.add_row(Text(model, "bold" if model == OURS else ""), *cells)
        return table


def _best(models: Mapping[str, Summary], value: Callable[[Summary], float | None]) -> float | None:
    return max((v for one in models.values() if (v := value(one)) is not None), default=None)


def _cell(value: float | None, digits: int, best: bool) -> Text:
    shown = "-" if value is None else _short(value, digits)
    return Text.assemble((shown, "bold" if best and value is not None else ""))


def _short(value: float, digits: int = 3) -> str:
    """Write a number without a zero before its point."""
    shown = f"{value:.{digits}f}"
    return shown[1:] if shown.startswith("0.") else shown
