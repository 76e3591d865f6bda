"""Who reads which partition: leases that a worker renews, and its fair share of them."""

from __future__ import annotations

import math
import os
import random
import secrets
import socket
import time
from collections.abc import Iterable
from typing import Final

from indexer.streams.redis.client import Command, Keys, Server, evaluate
from indexer.streams.redis.scripts import BEAT, GIVE, RENEW

__all__ = ["Leases"]

_RENEWALS: Final = 3


class Leases:
    """The leases of one worker. One that was not renewed for a session ends, here and there: here
    a little earlier, as this clock starts when the renewal is sent."""

    def __init__(self, server: Server, keys: Keys, partitions: int, session_s: float) -> None:
        self._server, self._keys, self._partitions = server, keys, partitions
        self._session_s, self._session_ms = session_s, int(1_000 * session_s)
        self._until: dict[int, float] = {}
        self.me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.renew_every_s = session_s / _RENEWALS

    @property
    def held(self) -> frozenset[int]:
        """All leases that were taken and not given back, valid or not."""
        return frozenset(self._until)

    def valid(self, partition: int) -> bool:
        """Whether nobody else can have this partition at the moment."""
        return time.monotonic() < self._until.get(partition, -math.inf)

    def lose(self, partition: int) -> None:
        """Take note that a lease is another's."""
        if partition in self._until:
            self._until[partition] = -math.inf

    async def renew(self) -> None:
        """Renew all leases, and be known to the other workers."""
        held, until = list(self._until), time.monotonic() + self._session_s
        renewals = [evaluate(RENEW, self._keys.owner(p), self.me, self._session_ms) for p in held]
        _, *renewed = await self._server.ask_all([self._beat(), *renewals])
        for partition, done in zip(held, renewed, strict=True):
            if partition in self._until:  # still, after the round trip
                self._until[partition] = until if done else -math.inf

    async def survey(self) -> tuple[int, list[int]]:
        """Return how many partitions are this worker's share, and which nobody has.

        Where partitions cannot be shared evenly, the first workers by name have one more.
        """
        asked = [("GET", self._keys.owner(p)) for p in range(self._partitions)]
        workers, *owners = await self._server.ask_all([self._beat(), *asked])
        each, more = divmod(self._partitions, len(workers))
        share = each + (sorted(workers).index(self.me.encode()) < more)
        return share, [p for p, owner in enumerate(owners) if owner is None]

    async def take(self, free: list[int], most: int) -> frozenset[int]:
        """Take up to ``most`` of some partitions, as far as nobody else does."""
        wanted = random.sample(free, min(most, len(free)))
        until = time.monotonic() + self._session_s
        replies = await self._server.ask_all(
            ("SET", self._keys.owner(p), self.me, "NX", "PX", self._session_ms) for p in wanted
        )
        taken = [p for p, reply in zip(wanted, replies, strict=True) if reply]
        self._until.update((p, until) for p in taken)
        return frozenset(taken)

    async def give(self, partitions: Iterable[int]) -> None:
        """Give leases back; they are this worker's no more, whatever the server answers."""
        given = [p for p in partitions if self._until.pop(p, None) is not None]
        await self._server.ask_all(evaluate(GIVE, self._keys.owner(p), self.me) for p in given)

    async def leave(self) -> None:
        """Give all leases back, and be a worker no more."""
        await self.give(self.held)
        await self._server.ask("ZREM", self._keys.workers, self.me)

    def _beat(self) -> Command:
        return evaluate(BEAT, self._keys.workers, self.me, self._session_ms)
