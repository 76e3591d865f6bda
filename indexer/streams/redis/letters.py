"""Dead letters in a stream of their own, each place in the log at most once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from indexer.errors import LogError
from indexer.ports import Channel, DeadLetter
from indexer.streams.redis.client import Keys, Server, evaluate
from indexer.streams.redis.entries import Entry, entries
from indexer.streams.redis.scripts import ADD_LETTER, DROP_LETTERS

__all__ = ["LETTERS_MAX", "Letters"]

LETTERS_MAX: Final = 10_000
"""Dead letters that are kept; beyond it, the oldest go."""

_PAGE = 200
_LETTER_ID = re.compile(r"\d{1,19}-\d{1,19}")


class Letters:
    """What could not be folded, with the reason. Used through `RedisLog`."""

    def __init__(self, server: Server, keys: Keys, most: int = LETTERS_MAX) -> None:
        self._server, self._key, self._most = server, keys.letters, most

    async def add(
        self,
        channel: Channel,
        place: tuple[int, int],
        whose: tuple[str, str],
        event: Mapping[str, Any],
        reason: str,
    ) -> None:
        """Keep a letter. ``place``: partition and offset. ``whose``: tenant and key of the user."""
        where, body = f"{channel} {place[0]} {place[1]}", orjson.dumps(event)
        command = evaluate(ADD_LETTER, self._key, self._most, where, *whose, reason, body)
        await self._server.ask(*command)

    async def oldest(self, limit: int, tenant: str | None = None) -> list[DeadLetter]:
        """Return the letters that came first, of one tenant or of all."""
        start, found = "-", list[DeadLetter]()
        while len(found) < limit and (page := await self._page(start, max(limit, _PAGE))):
            letters = [_letter(entry) for entry in page]
            found += [one for one in letters if tenant is None or one.tenant == tenant]
            start = f"({page[-1].entry_id}"
        return found[:limit]

    async def after(
        self, partition: int, offset: int, limit: int, tenant: str | None = None
    ) -> list[DeadLetter]:
        """Return the letters of events beyond an offset, in the order of their places."""
        start, found = "-", list[DeadLetter]()
        prefix = f"events {partition} ".encode()
        while page := await self._page(start, _PAGE):
            here = (one for one in page if one.fields.get(b"place", b"").startswith(prefix))
            found += [
                letter
                for letter in map(_letter, here)
                if letter.position[partition] > offset and tenant in (None, letter.tenant)
            ]
            found.sort(key=lambda letter: letter.position[partition])
            del found[limit:]
            start = f"({page[-1].entry_id}"
        return found

    async def drop(self, letter_ids: Sequence[str]) -> None:
        """Forget letters; unknown ids do nothing."""
        known = [letter_id for letter_id in letter_ids if _LETTER_ID.fullmatch(letter_id)]
        if known:
            await self._server.ask(*evaluate(DROP_LETTERS, self._key, *known))

    async def drop_user(self, key: str) -> None:
        """Forget all letters of a user."""
        start = "-"
        while page := await self._page(start, _PAGE):
            await self.drop([e.entry_id for e in page if e.fields.get(b"user") == key.encode()])
            start = f"({page[-1].entry_id}"

    async def count(self, tenant: str) -> int:
        """Count what is kept of a tenant."""
        return int(await self._server.ask("HGET", f"{self._key}:totals", tenant) or 0)

    async def _page(self, start: str, limit: int) -> list[Entry]:
        return entries(await self._server.ask("XRANGE", self._key, start, "+", "COUNT", limit))


def _letter(entry: Entry) -> DeadLetter:
    try:
        place, tenant, reason, event = (
            entry.fields[name] for name in (b"place", b"tenant", b"reason", b"event")
        )
        partition, offset = map(int, place.split()[1:])
        return DeadLetter(
            letter_id=entry.entry_id,
            position={partition: offset},
            tenant=tenant.decode(),
            event=orjson.loads(event),
            reason=reason.decode(),
            at=entry.accepted_at,
        )
    except (KeyError, ValueError) as exc:
        raise LogError(f"the dead letter {entry.entry_id} cannot be read: {exc!r}") from exc
