"""Logs in Kafka, and following them, on a broker of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from feed_reader import Store
from feeds import OtherFollower, following
from kafka_broker import KafkaBroker
from logs import KEEP_S, NEVER_S, PARTITIONS, OtherProcess, writing

from indexer.domain.events import DEFAULT_WEIGHTS
from indexer.ports import Changes, Owner
from indexer.streams.kafka.buffer import BUFFERED_MAX
from indexer.streams.kafka.client import KafkaConnection
from indexer.streams.kafka.feed import KafkaFeed
from indexer.streams.kafka.log import KafkaLog

NAME = "log"
EVENTS = "log.events"
_LARGEST = 1 << 23


class KafkaLogs:
    """Logs in Kafka. ``port``: of a proxy that clients are to use."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.broker = KafkaBroker(advertised=port)
        self.servers = f"127.0.0.1:{port}" if port else self.broker.servers
        self._opened = AsyncExitStack()

    @property
    def arguments(self) -> dict[str, Any]:
        """What the log is opened with, but for the bound of its queue."""
        return {
            "connection": KafkaConnection(self.servers),
            "name": NAME,
            "partitions": PARTITIONS,
            "keep_s": KEEP_S,
            "replication": 1,
        }

    async def open(self, *, queue_max: int = 10_000, **changed: Any) -> KafkaLog:
        log = await KafkaLog.open(**{**self.arguments, **changed}, queue_max=queue_max)
        self._opened.push_async_callback(log.close)
        return log

    def other_process(self, user_id: str) -> AbstractAsyncContextManager[OtherProcess]:
        return writing("kafka_broker:LogAt", self.elsewhere, user_id)

    @property
    def elsewhere(self) -> dict[str, Any]:
        """What another process opens the log with."""
        return {**self.arguments, "connection": self.servers, "queue_max": 1_000}

    async def close(self) -> None:
        try:
            async with asyncio.timeout(NEVER_S):
                await self._opened.aclose()
        finally:
            self.broker.end()


class KafkaFeeds(KafkaLogs):
    """Following a log in Kafka."""

    session_s = 2.0
    held_max = BUFFERED_MAX

    def follow(self, log: Any, owner: Owner, changes: Changes | None = None) -> KafkaFeed:
        return KafkaFeed(
            log, owner, session_s=self.session_s, weights=DEFAULT_WEIGHTS, changes=changes
        )

    async def put(self, partition: int, body: bytes) -> None:
        async with others(self.servers) as producer:
            await producer.send_and_wait(EVENTS, body, partition=partition)

    def other_follower(self, store: Store) -> AbstractAsyncContextManager[OtherFollower]:
        return following(
            ("kafka_broker:LogAt", self.elsewhere),
            ("indexer.streams.kafka.feed:KafkaFeed", {"session_s": self.session_s}),
            store,
        )

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self.broker.hang()
        try:
            yield
        finally:
            self.broker.go_on()


@asynccontextmanager
async def others(servers: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Give a producer of somebody else, with Kafka's own ways."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_request_size=_LARGEST, **options)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()
