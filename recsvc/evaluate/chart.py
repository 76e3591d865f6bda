"""The report as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from recsvc.evaluate.extras import library
from recsvc.evaluate.metrics import Summary
from recsvc.evaluate.report import OURS, Report

__all__ = ["draw"]

_PAPER: Final = "#fbfaf7"
_INK, _SOFT, _FAINT = "#22262b", "#6b7178", "#dedbd3"
_ACCENT, _OTHER = "#d1495b", "#a9b4bf"
_BAR, _ROW_INCHES, _PANEL_INCHES = 0.62, 0.36, 3.1
_LABEL_INCHES, _TOP_INCHES, _BOTTOM_INCHES, _GAP_INCHES = 1.75, 1.15, 0.25, 0.35
_DPI: Final = 160
_TITLES: Final = {
    "last": "Last items of each user",
    "time": "Frozen in time",
    "prequential": "Live stream",
}


def draw(report: Report, path: Path) -> None:
    """Write a PNG: nDCG@10 of each model with its 95 % interval, a panel for each split.

    Models have the same place in each panel, the best on average on top.

    Raises:
        SettingsError: matplotlib is not installed.
        ValueError: there is nothing to draw.
    """
    models = _ordered(report)
    if not models:
        raise ValueError("the report has no results to draw")
    panels = len(report.splits)
    width = _LABEL_INCHES + panels * (_PANEL_INCHES + _GAP_INCHES)
    height = _TOP_INCHES + _ROW_INCHES * len(models) + _BOTTOM_INCHES
    figure = library("matplotlib.figure").Figure((width, height), dpi=_DPI, facecolor=_PAPER)
    library("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    inside = _ROW_INCHES * len(models) / height
    for number, (split, found) in enumerate(report.splits.items()):
        left = _LABEL_INCHES + number * (_PANEL_INCHES + _GAP_INCHES)
        place = (left / width, _BOTTOM_INCHES / height, _PANEL_INCHES / width, inside)
        axes = figure.add_axes(place, facecolor=_PAPER)
        _panel(axes, _TITLES.get(split, split), models, found, labelled=number == 0)
    left, top = 0.18 / width, 1.0 - 0.22 / height
    figure.text(
        left, top, f"nDCG@10 on {report.data}", size=14, weight="bold", color=_INK, va="top"
    )
    counts = f"{report.items:,} items, {report.users:,} users, {report.events:,} events"
    said = f"{counts}; lines: 95 % confidence"
    figure.text(left, top - 0.27 / height, said, size=9, color=_SOFT, va="top")
    figure.savefig(path, format="png", facecolor=_PAPER)


def _panel(
    axes: Any, title: str, models: list[str], found: dict[str, Summary], *, labelled: bool
) -> None:
    rows = len(models)
    most = max((summary.ndcg_ci or (0.0, 0.0))[1] for summary in found.values()) or 1.0
    axes.set_xlim(0.0, most * 1.2)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_title(title, loc="left", size=10, color=_INK, pad=7)
    for row, model in enumerate(models):
        summary = found.get(model)
        if summary is None or summary.ndcg is None or summary.ndcg_ci is None:
            axes.text(most * 0.01, row, "not run", size=8, color=_SOFT, va="center")
            continue
        ours = model == OURS
        axes.barh(row, summary.ndcg, _BAR, color=_ACCENT if ours else _OTHER, linewidth=0)
        axes.plot(summary.ndcg_ci, (row, row), color=_INK, linewidth=1.1, solid_capstyle="butt")
        axes.text(
            *(summary.ndcg_ci[1] + most * 0.025, row, f"{summary.ndcg:.3f}"),
            size=9,
            weight="bold" if ours else "normal",
            color=_ACCENT if ours else _INK,
            va="center",
        )
    axes.set_xticks([])
    axes.set_yticks(range(rows), models if labelled else [""] * rows)
    axes.tick_params(axis="y", length=0, pad=6, labelsize=9.5, labelcolor=_INK)
    if labelled and OURS in models:
        label = axes.get_yticklabels()[models.index(OURS)]
        label.set_color(_ACCENT)
        label.set_weight("bold")
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(_FAINT)


def _ordered(report: Report) -> list[str]:
    """Return the models, the best first by the mean of their shares of each split's best nDCG."""
    shares: dict[str, list[float]] = {}
    for found in report.splits.values():
        most = max((summary.ndcg or 0.0 for summary in found.values()), default=0.0) or 1.0
        for model, summary in found.items():
            shares.setdefault(model, []).append((summary.ndcg or 0.0) / most)
    return sorted(shares, key=lambda model: -sum(shares[model]) / len(shares[model]))
