"""Dead letters: a compacted topic, whose keys are the places that the letters come from.

So a letter that is written again, as what it is about was delivered again, is the same letter; and
one that was dealt with is dropped by a record without a body, after which compaction forgets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final, NamedTuple

import orjson

from indexer.domain.ids import DEFAULT_TENANT
from indexer.ports import DeadLetter, EventRecord
from indexer.streams.codec import event_fields
from indexer.streams.kafka.client import TopicPartition
from indexer.streams.kafka.lanes import Lanes, settled
from indexer.streams.kafka.reader import Readers
from indexer.streams.kafka.records import Entry, offset_of
from indexer.streams.refused import sender_of

__all__ = ["Letters"]

_LISTED_MAX: Final = 100_000
_WHOLE_MAX: Final = 64 * 1024
_SHOWN_MAX: Final = 2_000
_REASON_MAX: Final = 2_000


class _Letter(NamedTuple):
    """Where a letter is in the topic, and whose it is."""

    offset: int
    tenant: str
    user_id: str


class Letters:
    """The dead letters of a log; what is there is kept in mind, the letters themselves are not.

    At most the newest 100,000 are listed and counted.
    """

    def __init__(self, readers: Readers, lanes: Lanes, topic: str) -> None:
        self._readers, self._lanes = readers, lanes
        self._place = TopicPartition(topic, 0)
        self._turn = asyncio.Lock()
        self._there: dict[str, _Letter] = {}
        self._next = 0

    async def add(self, record: EventRecord, reason: str) -> None:
        """Keep an event that cannot be folded."""
        event = record.event
        body = orjson.dumps(event_fields(event))
        place = (record.partition, record.offset)
        await self._append(place, event.tenant, event.user_id, body, reason)

    async def refuse(self, raw: Any, reason: str) -> Mapping[str, Any]:
        """Keep a record that is no event: all of it, or how a long one begins.

        Returns the fields of it that can be read.
        """
        body: bytes = raw.value or b""
        if len(body) > _WHOLE_MAX:
            body = body[: 4 * _SHOWN_MAX].decode(errors="ignore")[:_SHOWN_MAX].encode()
        fields = _object(body) or {}
        tenant, user_id, _ = sender_of(fields)
        await self._append((raw.partition, offset_of(raw)), tenant, user_id, body, reason)
        return fields

    async def oldest(self, limit: int, tenant: str | None = None) -> list[DeadLetter]:
        """Return the oldest letters, of one tenant or of all."""
        await self._look()
        of_tenant = [
            (one.offset, name)
            for name, one in self._there.items()
            if tenant is None or one.tenant == tenant
        ]
        return await self._read(dict(of_tenant[:limit]))

    async def after(
        self, partition: int, offset: int, limit: int, tenant: str | None = None
    ) -> list[DeadLetter]:
        """Return the letters of events beyond an offset, in the order of their places."""
        await self._look()
        beyond = sorted(
            (place, one.offset, name)
            for name, one in self._there.items()
            if (place := _offset_in(partition, name)) > offset and tenant in (None, one.tenant)
        )
        found = await self._read({where: name for _, where, name in beyond[:limit]})
        return sorted(found, key=lambda letter: letter.position[partition])

    async def drop(self, letter_ids: Iterable[str]) -> None:
        """Forget letters; ids that are none do not matter."""
        await self._look()
        gone = [name for name in letter_ids if name in self._there]
        if gone:
            await settled([self._lanes.put(0, [Entry(name.encode(), None, []) for name in gone])])
            await self._look()

    async def drop_of_user(self, tenant: str, user_id: str) -> None:
        """Forget the letters of a user."""
        await self._look()
        await self.drop([name for name, one in self._there.items() if one[1:] == (tenant, user_id)])

    async def count(self, tenant: str) -> int:
        """Count the letters of a tenant."""
        await self._look()
        return sum(one.tenant == tenant for one in self._there.values())

    async def _read(self, wanted: Mapping[int, str]) -> list[DeadLetter]:
        """Read letters by where they are in the topic; ``wanted``: their names."""
        found: dict[int, DeadLetter] = {}
        if wanted:
            async with aclosing(self._readers.scan(self._place, min(wanted))) as pages:
                async for page in pages:
                    found.update((r.offset, _letter(r)) for r in page if r.offset in wanted)
                    if len(found) == len(wanted):
                        break
        for offset in wanted.keys() - found.keys():  # retention was quicker
            self._there.pop(wanted[offset], None)
        return [found[offset] for offset in wanted if offset in found]

    async def _append(
        self, place: tuple[int, int], tenant: str, user_id: str, body: bytes, reason: str
    ) -> None:
        name = "{}-{}".format(*place)
        if name in self._there:
            return
        headers = {"reason": reason[:_REASON_MAX], "tenant": tenant, "user": user_id}
        headers |= {"partition": str(place[0]), "offset": str(place[1])}
        written = [(f"recsvc-{header}", text.encode()) for header, text in headers.items()]
        await settled([self._lanes.put(0, [Entry(name.encode(), body, written)])])

    async def _look(self) -> None:
        """Take in what was written since."""
        async with self._turn, aclosing(self._readers.scan(self._place, self._next)) as pages:
            async for page in pages:
                for raw in page:
                    self._take_in(raw)
                    self._next = raw.offset + 1
        for name in list(self._there)[:-_LISTED_MAX]:
            del self._there[name]

    def _take_in(self, raw: Any) -> None:
        name = (raw.key or b"").decode(errors="replace")
        if raw.value is None:
            self._there.pop(name, None)
        else:
            headers = _headers(raw)
            tenant, user_id = headers.get("tenant", DEFAULT_TENANT), headers.get("user", "")
            self._there[name] = _Letter(raw.offset, tenant, user_id)


def _letter(raw: Any) -> DeadLetter:
    headers = _headers(raw)
    event = dict(_object(raw.value) or {"raw": raw.value.decode(errors="replace")[:_SHOWN_MAX]})
    event.pop("tenant", None)
    return DeadLetter(
        letter_id=raw.key.decode(),
        position={int(headers["partition"]): int(headers["offset"])},
        tenant=headers["tenant"],
        event=event,
        reason=headers["reason"],
        at=raw.timestamp / 1e3,
    )


def _headers(raw: Any) -> dict[str, str]:
    return {
        name.removeprefix("recsvc-"): value.decode(errors="replace") for name, value in raw.headers
    }


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _offset_in(partition: int, name: str) -> int:
    """Return the offset that a letter's name tells, -1 where it is of another partition."""
    where, _, offset = name.partition("-")
    return int(offset) if where == str(partition) and offset.isdecimal() else -1
