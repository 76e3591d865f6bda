"""Documents on webhooks are read and deleted in pages, and others get their turn in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from qdrant_client import models

from indexer.stores.webhooks import Document, WebhookPoints

pytestmark = pytest.mark.anyio

COUNT = 2_000
PAGE = 256


class Store:
    """Points in memory, that are given without ever waiting. ``deleted``: sizes of calls."""

    def __init__(self) -> None:
        self.points: dict[str, models.Record] = {}
        self.deleted: list[int] = []

    async def collection_exists(self, _name: str) -> bool:
        return True

    async def scroll(
        self, _name: str, _filter: Any, *, limit: int, offset: Any
    ) -> tuple[list[models.Record], Any]:
        assert limit <= PAGE
        start = int(offset or 0)
        found = list(self.points.values())[start : start + limit]
        more = start + limit < len(self.points)
        return found, start + limit if more else None

    async def delete(self, _name: str, points: Sequence[str]) -> None:
        self.deleted.append(len(points))
        for one in points:
            del self.points[one]


@pytest.fixture
def store() -> Store:
    made = Store()
    for n in range(COUNT):
        document = Document("delivery", f"d{n}", {})
        payload = {"kind": "delivery", "key": f"d{n}", "body": "{}"}
        made.points[document.point] = models.Record(id=document.point, payload=payload)
    return made


async def test_many_documents_are_read_and_deleted_without_holding_up_others(store: Store):
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    everything: Any = store
    points = WebhookPoints(everything)
    task = asyncio.create_task(other())
    found = await points.find("delivery")
    assert len(found) == COUNT
    assert turns >= COUNT // PAGE
    before = turns
    await points.delete(found[: COUNT // 2])
    assert turns - before >= COUNT // 2 // PAGE
    before = turns
    await points.erase_user("t", "u")
    assert not store.points
    assert turns - before >= COUNT // 2 // PAGE
    assert max(store.deleted) <= PAGE
    task.cancel()
