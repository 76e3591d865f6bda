"""The profiler that needs no model: it counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from indexer.domain.profile import Evidence, count_weights
from indexer.profiling.parse import Draft

__all__ = ["count_profile"]


def count_profile(
    evidence: Sequence[Evidence], shares: Mapping[str, float], half_life_s: float
) -> Draft:
    """Weigh each term by the decayed weight of the events behind it; see `count_weights`."""
    weights = count_weights(evidence, shares, half_life_s)
    return Draft(weights, _summary(weights))


def _summary(weights: Mapping[str, float]) -> str:
    liked = [term.partition("=")[2] for term, weight in weights.items() if weight > 0][:5]
    avoided = [term.partition("=")[2] for term, weight in weights.items() if weight < 0][:3]
    parts = [
        f"likes {', '.join(liked)}" if liked else "",
        avoided and f"avoids {', '.join(avoided)}",
    ]
    return "; ".join(str(part) for part in parts if part)
