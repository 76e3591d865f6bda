"""The event log and its adapters."""

from __future__ import annotations

from indexer.ports import EventLog
from indexer.settings import Settings

__all__ = ["open_log"]


async def open_log(settings: Settings) -> EventLog:
    """Open the log that ``RECSVC_EVENT_LOG_URL`` names."""
    from indexer.streams.sqlite import SqliteLog

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return await SqliteLog.open(settings.data_dir / "events.sqlite", queue_max=settings.queue_max)
