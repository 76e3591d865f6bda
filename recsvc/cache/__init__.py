"""The cache of answers."""

from __future__ import annotations

from indexer.settings import Settings
from recsvc.cache.memory import AnswerCache

__all__ = ["AnswerCache", "open_cache"]


def open_cache(settings: Settings) -> AnswerCache | None:
    """Open the cache that the settings choose, or None."""
    return AnswerCache(settings.cache_ttl_s) if settings.cache_enabled else None
