"""Profiles: preference weights made of recent behaviour."""

from __future__ import annotations

from indexer.ports import Profiler
from indexer.settings import Settings

__all__ = ["open_profiler"]


def open_profiler(settings: Settings) -> Profiler:
    """Make the profiler that the settings choose."""
    from indexer.profiling.counter import CounterProfiler

    return CounterProfiler(settings.half_life_long_s)
