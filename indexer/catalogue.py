"""Changing the catalogue: recorded first, so that nothing is lost; answered once it is indexed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from indexer.domain.items import Item, content_digest
from indexer.errors import NotFound
from indexer.ports import EventLog, ItemRecord
from indexer.progress import Progress
from indexer.stores.items import ItemPoint, ItemPoints

__all__ = ["Catalogue", "PutResult"]

_WAIT_S = 30.0


@dataclass(slots=True)
class PutResult:
    """What became of items: counts, and (item id, reason) of those to be indexed later."""

    stored: int = 0
    unchanged: int = 0
    pending: list[tuple[str, str]] = field(default_factory=list)


class Catalogue:
    """Writes items by way of the log. ``progress`` is of whoever applies its items."""

    def __init__(self, log: EventLog, items: ItemPoints, progress: Progress) -> None:
        self._log, self._items, self._progress = log, items, progress

    async def put(self, tenant: str, items: Sequence[Item]) -> PutResult:
        """Create or replace items; where an id comes twice, the later one counts."""
        newest = {item.item_id: item for item in items}
        # While changes are on their way the store cannot tell what is unchanged.
        before = {} if await self._behind() else await self._items.get(tenant, newest)
        changed = [i for i in newest.values() if not _same(before.get(i.item_id), i)]
        if changed:
            await self._write([ItemRecord(0, tenant, item.item_id, item) for item in changed])
        after = await self._items.get(tenant, newest)
        result = PutResult()
        for item in newest.values():
            stored = after.get(item.item_id)
            if stored is None or not _same(stored, item):
                result.pending.append((item.item_id, "waiting for the indexer"))
            elif stored.pending is not None:
                result.pending.append((item.item_id, stored.pending))
        waiting = {item_id for item_id, _ in result.pending}
        result.stored = sum(item.item_id not in waiting for item in changed)
        result.unchanged = len(items) - result.stored - len(waiting)
        return result

    async def delete(self, tenant: str, item_id: str) -> None:
        """Remove an item.

        Raises:
            NotFound: there is none of that id.
        """
        if not await self._behind() and not await self._items.get(tenant, [item_id]):
            raise NotFound(f"no item {item_id!r}")
        await self._write([ItemRecord(0, tenant, item_id, None)])

    async def _behind(self) -> bool:
        return not self._progress.reaches(await self._log.ends("items"))

    async def _write(self, records: Sequence[ItemRecord]) -> None:
        position = await self._log.append_items(records)
        await self._progress.wait(position, _WAIT_S)


def _same(stored: ItemPoint | None, item: Item) -> bool:
    return stored is not None and stored.digest == content_digest(item)
