"""Well-known recommenders, one family a file, to measure ours beside."""

from __future__ import annotations

from recsvc.evaluate.baselines.baseline import Baseline
from recsvc.evaluate.baselines.ease import EASE, EASERecency
from recsvc.evaluate.baselines.factors import ALS, BPR
from recsvc.evaluate.baselines.neighbours import ItemKNN
from recsvc.evaluate.baselines.popularity import DecayedPopularity, Popularity
from recsvc.evaluate.baselines.runs import Outcome, evaluate_prequential, evaluate_static
from recsvc.evaluate.baselines.slim import SLIM

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "SLIM",
    "Baseline",
    "DecayedPopularity",
    "EASERecency",
    "ItemKNN",
    "Outcome",
    "Popularity",
    "all_baselines",
    "evaluate_prequential",
    "evaluate_static",
]


def all_baselines(seed: int = 0) -> list[Baseline]:
    """Make one of each, the simplest first."""
    return [
        Popularity(),
        DecayedPopularity(),
        ItemKNN(seed),
        ALS(seed),
        BPR(seed),
        SLIM(seed),
        EASE(seed),
        EASERecency(seed),
    ]
