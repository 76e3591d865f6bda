"""Profiles: preference weights made of recent behaviour."""

from __future__ import annotations

from indexer.profiling.llm import LlmProfiler
from indexer.provider import Models

__all__ = ["open_profiler"]


def open_profiler(models: Models) -> LlmProfiler | None:
    """Make the profiler that asks a model; None where none is set up and profiles are counted."""
    if models.profile is None:
        return None
    return LlmProfiler(models.profile, models.summary or models.profile)
