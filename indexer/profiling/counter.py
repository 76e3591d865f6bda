"""The profiler that needs no model: it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from indexer.domain.profile import Evidence, count_weights

__all__ = ["CounterProfiler"]


class CounterProfiler:
    """A `Profiler` that weighs each term by the decayed weight of the events behind it."""

    model = "counter"

    def __init__(self, half_life_s: float) -> None:
        self._half_life_s = half_life_s

    async def weigh(
        self, evidence: Sequence[Evidence], shares: Mapping[str, float]
    ) -> dict[str, float]:
        """See `Profiler.weigh`."""
        return count_weights(evidence, shares, self._half_life_s)
