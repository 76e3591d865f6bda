"""Membership of the group that shares a log's partitions."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import (
    CommitFailedError,
    InvalidSessionTimeoutError,
    RebalanceInProgressError,
)

from indexer.errors import LogError, SettingsError
from indexer.ports import CHANNELS, Channel
from indexer.streams.kafka.client import TopicPartition, asking
from indexer.streams.kafka.topics import Topics

__all__ = ["Member"]

_TELL_S: Final = 2.0
_JOINING_S: Final = 1.0


class Member(ConsumerRebalanceListener):  # type: ignore[misc]
    """One membership: which partitions are assigned, what comes of them, what is committed.

    A partition is assigned in all topics or in none, as the range assignor gives consumers of
    the same topics the same numbers. ``hand_on``: called before partitions go to others.
    """

    def __init__(self, consumer: Any, topics: Topics, hand_on: Callable[[], Awaitable[None]]):
        self.consumer, self._topics, self._hand_on = consumer, topics, hand_on
        self._nowhere = TopicPartition(topics.letters, 0)
        self.assigned: frozenset[int] = frozenset()
        self.is_joining = True
        self.heard_at = time.monotonic()
        self._is_lost = False
        self._committed: dict[TopicPartition, int] = {}
        self._committing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def join(self) -> None:
        """Join the group."""
        self.consumer.subscribe(self._topics.followed, listener=self)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        """Hand on what we had; called before each join."""
        self.is_joining = True
        await self._hand_on()
        self.break_off()
        self.assigned = frozenset()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note what is ours now. Nothing is fetched before it is told from where, which may take
        longer than others would wait here."""
        topics: defaultdict[int, set[str]] = defaultdict(set)
        for place in assigned:
            self.consumer.seek(place, 0)
            self.consumer.pause(place)
            topics[place.partition].add(place.topic)
        whole = set(self._topics.followed)
        self.assigned = frozenset(number for number, names in topics.items() if names == whole)
        self._committed.clear()
        self.heard_at = time.monotonic()
        self.is_joining = self._is_lost = False

    def go_on(self, channel: Channel, partition: int, offset: int) -> None:
        """Fetch what comes after an offset of ours."""
        place = self._place(channel, partition)
        self.consumer.seek(place, offset)
        self.consumer.resume(place)

    async def fetch(
        self, channels: Iterable[Channel], partitions: Iterable[int], wait_s: float, most: int
    ) -> Mapping[TopicPartition, Sequence[Any]]:
        """Return the next records, at most ``most``; wait for the first.

        Raises:
            LogError: the membership is of no use any more.
            SettingsError: it never will be.
        """
        places = [self._place(channel, number) for channel in channels for number in partitions]
        try:
            async with asyncio.timeout(wait_s + _JOINING_S):  # a join is waited for without limit
                found: Mapping[TopicPartition, Sequence[Any]] = await self.consumer.getmany(
                    *places or [self._nowhere], timeout_ms=int(wait_s * 1000), max_records=most
                )
        except TimeoutError:
            return {}
        except InvalidSessionTimeoutError as exc:
            raise SettingsError(
                "RECSVC_EVENT_LOG_SESSION_S is not within what the brokers accept, "
                "group.min.session.timeout.ms (6 s, unless it was changed) to .max."
            ) from exc
        except Exception as exc:
            raise LogError(f"Kafka gives no records: {type(exc).__name__}: {exc}") from exc
        return found

    def ends(self, channel: Channel, partitions: Iterable[int]) -> dict[int, int]:
        """Return the newest offsets of partitions, as far as Kafka has told."""
        if self.is_joining:
            return {}
        ends: dict[int, int] = {}
        for number in partitions:
            place = self._place(channel, number)
            end = self.consumer.last_stable_offset(place)
            if end is None or end < 0:
                end = self.consumer.highwater(place)
            if end is not None:
                ends[number] = end
        return ends

    async def fetched(self, partitions: Iterable[int]) -> list[tuple[Channel, int, int]]:
        """Return (channel, partition, offset up to which all was given or is nothing).

        Where only the ends of transactions were written, this goes on without a record.
        """
        found = []
        async with asking("how far records have come", _TELL_S):
            for number in partitions:
                for channel in CHANNELS:
                    offset = await self.consumer.position(self._place(channel, number))
                    found.append((channel, number, offset))
        return [] if self.is_joining else found

    async def commit(self, offsets: Mapping[tuple[Channel, int], int]) -> None:
        """Tell the group what is applied, where that is new and we are still to say so.

        Raises:
            LogError: Kafka does not answer.
        """
        async with self._turn:
            if self._committing is not None:
                await self._settle()
            new = {
                place: offset
                for (channel, number), offset in offsets.items()
                if offset > self._committed.get(place := self._place(channel, number), -1)
            }
            if new and not self._is_lost:
                self._committing = asyncio.ensure_future(self._send(new))
                await self._settle()

    def break_off(self) -> None:
        """Give up a commit that was not answered: it would be tried again under a new membership,
        which it is not of."""
        if self._committing is not None:
            self._committing.cancel()
            self._committing = None

    async def ask(self) -> None:
        """See that the group is there; raises LogError where it is not."""
        place = self._place("events", 0)
        async with asking("a sign of life", _TELL_S):
            await self.consumer.committed(place)
        self.heard_at = time.monotonic()

    async def _settle(self) -> None:
        """Wait for the commit that is under way. It is not cut short: aiokafka shields it, and
        nobody would see what becomes of it."""
        committing = self._committing
        assert committing is not None
        await asyncio.wait([committing], timeout=_TELL_S)
        if not committing.done():
            raise LogError(f"Kafka, committing: no answer within {_TELL_S:g} s")
        self._committing = None
        if not committing.cancelled():
            committing.result()
            self.heard_at = time.monotonic()

    async def _send(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            await self.consumer.commit(offsets)
        except CommitFailedError as exc:
            # Others have them, or soon will, and we are told to hand on. Only while the others
            # join as well may what is applied by then be told once more.
            self._is_lost = not isinstance(exc.__cause__, RebalanceInProgressError)
        except Exception as exc:
            raise LogError(f"Kafka, committing: {exc!r}") from exc
        else:
            self._committed.update(offsets)

    def _place(self, channel: Channel, partition: int) -> TopicPartition:
        return TopicPartition(self._topics.of(channel), partition)
