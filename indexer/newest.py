"""What was accepted last, read off the ends of a log's partitions."""

from __future__ import annotations

import asyncio
from typing import Final

from indexer.domain.events import ERASE
from indexer.ports import EventLog, EventRecord

__all__ = ["LOOKED_AT_MAX", "newest"]

LOOKED_AT_MAX: Final = 2_000
"""Places of one partition that are looked at: events of whichever tenant, and what is none."""

_PAGE_MIN, _PAGE_MAX = 50, 500


async def newest(log: EventLog, tenant: str, limit: int) -> list[EventRecord]:
    """Return the newest events of a tenant, the newest first, at most ``limit``.

    Those of users who were erased since are left out, also where a log still has them.
    """
    ends = await log.ends("events")
    found = await asyncio.gather(
        *(_of(log, partition, end, tenant, limit) for partition, end in ends.items())
    )
    records = [record for part in found for record in part]
    records.sort(key=lambda one: (one.accepted_at, one.partition, one.offset), reverse=True)
    return records[:limit]


async def _of(
    log: EventLog, partition: int, end: int, tenant: str, limit: int
) -> list[EventRecord]:
    """Return the newest events of a partition that are of the tenant, the newest first."""
    found: list[EventRecord] = []
    erased: set[str] = set()
    before, looked_at = end + 1, 0
    size = min(_PAGE_MAX, max(_PAGE_MIN, limit))
    while len(found) < limit and looked_at < LOOKED_AT_MAX and before > 1:
        page = await log.read_before(partition, before, min(size, LOOKED_AT_MAX - looked_at))
        for record in reversed(page.records):
            event = record.event
            if event.tenant != tenant or event.user_id in erased:
                continue
            if event.event_type == ERASE:
                erased.add(event.user_id)
            else:
                found.append(record)
        before, looked_at = page.start, looked_at + page.looked_at
        size = min(_PAGE_MAX, 2 * size)
    return found[:limit]
