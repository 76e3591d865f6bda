"""A client that listens: what it has subscribed to, and what waits to be sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Listener", "Push", "Subscriptions"]


@dataclass(frozen=True, slots=True)
class Push:
    """What a listener is to be sent; ``sequence``: where the client is with it."""

    sequence: int
    text: str


class Subscriptions(Protocol):
    """What a listener asks of the hub."""

    closed: bool

    def subscribe(
        self, listener: Listener, user_id: str, limit: int | None, features: bool | None
    ) -> None:
        """See `Listener.subscribe`."""
        ...

    def ask(self, listener: Listener, user_id: str, sequence: int | None, *, asks: bool) -> None:
        """See `Listener.resume`; of a user who is listened to."""
        ...

    def unsubscribe(self, listener: Listener, user_id: str) -> None:
        """See `Listener.unsubscribe`."""
        ...


class Listener:
    """One client's subscriptions, and what waits to be sent to it: of each user the newest."""

    def __init__(self, hub: Subscriptions, tenant: str, key: str) -> None:
        self.tenant, self.key = tenant, key
        self.users: set[str] = set()
        self._hub = hub
        self._pending: dict[str, Push] = {}
        self._held: set[str] = set()
        self._wake = asyncio.Event()

    def subscribe(
        self, user_id: str, limit: int | None = None, *, features: bool | None = None
    ) -> None:
        """Listen to a user from now on; ``limit`` and ``features`` None leave them as they are.

        ``features``: whether items are told with theirs.

        Raises:
            Overloaded: a bound is reached.
        """
        self._hub.subscribe(self, user_id, limit, features)

    def resume(
        self,
        user_id: str,
        sequence: int | None,
        limit: int | None = None,
        *,
        features: bool | None = None,
        asks: bool = True,
    ) -> None:
        """Listen to a user, and be told the newest state if it is not at ``sequence``.

        ``asks``: else be told that it is.

        Raises:
            Overloaded: a bound is reached.
        """
        self._hub.subscribe(self, user_id, limit, features)
        self._hub.ask(self, user_id, sequence, asks=asks)

    def unsubscribe(self, user_id: str) -> None:
        """Listen to a user no more; what waits of it is not sent."""
        self._hub.unsubscribe(self, user_id)
        self._pending.pop(user_id, None)

    @contextmanager
    def holding(self, user_id: str) -> Iterator[None]:
        """Have what is pushed of a user wait until the end of the block."""
        self._held.add(user_id)
        try:
            yield
        finally:
            self._held.discard(user_id)
            self._wake.set()

    async def next(self) -> Push | None:
        """Wait for what is to be sent next; None when the hub has closed."""
        while not self._hub.closed:
            for user_id in self._pending:
                if user_id not in self._held:
                    return self._pending.pop(user_id)
            self._wake.clear()
            await self._wake.wait()
        return None

    def put(self, user_id: str, push: Push) -> None:
        """Lay out what is to be sent, in the place of what was to be sent of that user before."""
        self._pending[user_id] = push
        self._wake.set()

    def wake(self) -> None:
        """Have `next` look again."""
        self._wake.set()
