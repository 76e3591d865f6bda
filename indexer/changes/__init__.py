"""Notices of changed users, and their adapters."""

from __future__ import annotations

from indexer.ports import Changes
from indexer.settings import Settings

__all__ = ["open_changes"]


def open_changes(settings: Settings) -> Changes:
    """Open what carries the notices; ``RECSVC_CACHE_URL`` names it."""
    from indexer.changes.memory import MemoryChanges

    if settings.cache_url != "memory":  # the settings accept nothing else yet
        raise AssertionError(settings.cache_url)
    return MemoryChanges()
