"""Finding the newest events where most of what a log holds is of others, or is none."""

from __future__ import annotations

from typing import Any

import pytest

from indexer.domain.events import ERASE, Event
from indexer.newest import LOOKED_AT_MAX, newest
from indexer.ports import EventRecord, Stretch

pytestmark = pytest.mark.anyio


class Log:
    """A log of one partition, in which only some offsets are events."""

    def __init__(self, end: int, *events: tuple[int, str, str]) -> None:
        self.end, self.looks = end, list[int]()
        self.events = [
            EventRecord(offset, float(offset), Event("t", user, f"e{offset}", kind, 0.0))
            for offset, user, kind in events
        ]

    async def ends(self, channel: str) -> dict[int, int]:
        return {0: self.end}

    async def read_before(self, partition: int, before: int, limit: int) -> Stretch:
        self.looks.append(limit)
        start = max(0, before - limit)
        found = [one for one in self.events if start <= one.offset < before]
        return Stretch(found, start if start > 1 else 0, min(limit, before - 1))


async def _ids(log: Any, limit: int = 5) -> list[str]:
    return [record.event.event_id for record in await newest(log, "t", limit)]


async def test_what_is_before_a_stretch_without_events_is_found():
    log = Log(1_500, (10, "ada", "click"), (400, "bob", "click"))
    assert await _ids(log) == ["e400", "e10"]
    assert log.looks == [50, 100, 200, 400, 500, 500]


async def test_no_more_than_so_many_places_are_looked_at():
    log = Log(1_000_000, (1_000_000 - LOOKED_AT_MAX, "ada", "click"))
    assert await _ids(log) == []
    assert sum(log.looks) == LOOKED_AT_MAX
    log = Log(1_000_000, (1_000_001 - LOOKED_AT_MAX, "ada", "click"))
    assert await _ids(log) == [f"e{1_000_001 - LOOKED_AT_MAX}"]


async def test_an_empty_log_is_not_read():
    log = Log(0)
    assert await _ids(log) == []
    assert log.looks == []


async def test_what_is_before_a_mark_is_of_nobody():
    log = Log(200, (10, "ada", "click"), (60, "bob", "click"), (190, "ada", ERASE))
    assert await _ids(log) == ["e60"]
