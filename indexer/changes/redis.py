"""Notices between processes, over a pub/sub channel of Redis."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from indexer.changes.link import ANSWER_S, Link, stop_if_cancelled
from indexer.changes.messages import Outbox, decode, encode
from indexer.errors import ChangesError
from indexer.ports import Change
from indexer.telemetry import Telemetry

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

__all__ = ["QUEUED_MAX", "RedisChanges"]

_log = logging.getLogger(__name__)

QUEUED_MAX: Final = 50_000
"""Names (of users, items, events) that wait to be sent; beyond it, the oldest are not sent."""

_MESSAGE_NAMES_MAX: Final = 1_000
_QUIET_S: Final = 5.0
"""After hearing nothing for so long, the server is asked whether it is still there."""


class RedisChanges:
    """A `Changes` between processes: Redis carries them, nothing keeps them.

    Receivers in this process are called at once, others by one message for all that waits by
    then. While Redis is away the newest changes wait, up to `QUEUED_MAX`; with each connection
    that breaks one message may be lost, in either direction. Nothing needs to be done after a
    reconnect: a notice only says earlier what the versions in the store say to whoever reads them.

    A dead or hanging server costs `publish` nothing. `run` sends and listens, and has to be
    running for either, in a task of its own.
    """

    def __init__(
        self, url: str, name: str, telemetry: Telemetry, *, queued_max: int = QUEUED_MAX
    ) -> None:
        self._link = Link(
            url,
            telemetry,
            where="changes",
            loss="other processes are not told of changes, and find them by version",
        )
        # channels, unlike keys, are the same in every database of a server
        self.channel: Final = f"{name}:{self._link.db}:changes"
        self._origin = uuid.uuid4().hex
        self._receivers: list[Callable[[Change], None]] = []
        self._outbox = Outbox(queued_max)
        self._wake = asyncio.Event()
        self._connected = self._told = False

    async def publish(self, changes: Iterable[Change]) -> None:
        """Hand each change to each receiver, and have other processes told."""
        for change in changes:
            self._receive(change)
            if dropped := self._outbox.add(change):
                self._link.failed(dropped)
        self._wake.set()

    def subscribe(self, receive: Callable[[Change], None]) -> None:
        """See `Changes.subscribe`."""
        self._receivers.append(receive)

    async def run(self) -> None:
        """See `Changes.run`; what goes wrong is counted, and an outage logged once."""
        await self._link.hold(self._session)

    async def ping(self) -> None:
        """See `Changes.ping`."""
        await self._link.ping()

    async def close(self) -> None:
        """Send what still waits, if the server was there a moment ago; then disconnect."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while self._connected and self._outbox:
                    await self._send_next()
        except (ChangesError, TimeoutError):
            self._link.failed()
        self._connected = False
        await self._link.close()

    def _receive(self, change: Change) -> None:
        for receive in self._receivers:
            receive(change)

    async def _session(self) -> None:
        """Send and listen over connections of their own, until either breaks."""
        self._connected = False
        heard = self._link.client.pubsub()
        try:
            with self._link.asking():
                await heard.subscribe(self.channel)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send())
                # not a task as well: a group that only waits leaves a false cancelling() behind
                await self._listen(heard)
        finally:
            with self._link.asking():
                await heard.aclose()  # type: ignore[no-untyped-call]

    async def _listen(self, heard: PubSub) -> None:
        asked = True  # to subscribe
        while True:
            with self._link.asking():
                message = await heard.get_message(timeout=ANSWER_S if asked else _QUIET_S)
            stop_if_cancelled()
            if message is None:
                if asked:
                    raise ChangesError(f"{self._link.name}: has fallen silent")
                with self._link.asking():
                    await heard.ping()
            elif message["type"] == "message":
                self._hear(message["data"])
            asked = message is None

    def _hear(self, body: bytes) -> None:
        try:
            changes = decode(body, self._origin)
        except ValueError as exc:
            self._link.failed()
            if not self._told:
                _log.warning("channel %s: %s; others like it are only counted", self.channel, exc)
            self._told = True
            return
        for change in changes:
            self._receive(change)

    async def _send(self) -> None:
        await self._link.ping()
        stop_if_cancelled()
        self._connected = True
        while True:
            while self._outbox:
                await self._send_next()
                stop_if_cancelled()
            self._wake.clear()
            await self._wake.wait()

    async def _send_next(self) -> None:
        changes = self._outbox.take(_MESSAGE_NAMES_MAX)
        try:
            with self._link.asking():
                await self._link.client.publish(self.channel, encode(self._origin, changes))
        except ChangesError:
            self._link.failed(len(changes))
            raise
