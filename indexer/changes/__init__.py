"""Notices of what has changed, and their adapters."""

from __future__ import annotations

from indexer.ports import Changes
from indexer.settings import Settings
from indexer.telemetry import Telemetry

__all__ = ["open_changes"]


def open_changes(settings: Settings, telemetry: Telemetry) -> Changes:
    """Open what carries the notices; ``RECSVC_CACHE_URL`` names it. Nothing connects yet."""
    if settings.cache_url == "memory":
        from indexer.changes.memory import MemoryChanges

        return MemoryChanges()
    from indexer.changes.redis import RedisChanges

    return RedisChanges(settings.cache_url, settings.event_log_name, telemetry)
