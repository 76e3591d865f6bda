"""Measures the event logs: what is appended and read a second, from one process.

Redis Streams are on a real Valkey (append-only file, synced every second), Kafka on the broker of
the tests, which keeps all in memory; all share this machine with the one that asks.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "standins"))

from kafka_broker import running as running_broker
from rich.console import Console
from rich.table import Table
from valkey_server import ValkeyServer

from indexer.domain.events import Event
from indexer.ports import EventLog
from indexer.streams.kafka.client import KafkaConnection
from indexer.streams.kafka.log import KafkaLog
from indexer.streams.redis.log import RedisLog
from indexer.streams.sqlite.log import SqliteLog

_PARTITIONS, _KEEP_S, _QUEUE_MAX = 16, 86_400.0, 1_000_000
_CHUNK, _PAGE = 500, 1_000
_CALLERS, _SINGLE_CALLERS = 8, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=20_000)
    count = parser.parse_args().events
    table = Table("log", "appends by 500, 8 callers", "one caller", "single, 64 callers", "read")
    for kind in ("sqlite", "redis", "kafka"):
        row = asyncio.run(measure(kind, count))
        table.add_row(kind, *(f"{figure:,.0f}/s" for figure in row))
    Console().print(table)


async def measure(kind: str, count: int) -> tuple[float, float, float, float]:
    """Return events a second: by 8 callers, by one, single ones by 64, and read."""
    with tempfile.TemporaryDirectory() as folder:
        async with _opened(kind, Path(folder)) as log:
            many = await _rate(log, _events("m", count), _CHUNK, _CALLERS)
            alone = await _rate(log, _events("a", count // 4), _CHUNK, 1)
            single = await _rate(log, _events("s", count // 4), 1, _SINGLE_CALLERS)
            return many, alone, single, await _read(log)


async def _rate(log: EventLog, events: list[Event], chunk: int, callers: int) -> float:
    chunks = iter([events[n : n + chunk] for n in range(0, len(events), chunk)])

    async def call() -> None:
        for some in chunks:
            await log.append(some)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return len(events) / (time.perf_counter() - began)


async def _read(log: EventLog) -> float:
    began, count = time.perf_counter(), 0
    for partition in range(log.partitions):
        after = 0
        while records := await log.read(partition, after, _PAGE):
            count, after = count + len(records), records[-1].offset
    return count / (time.perf_counter() - began)


def _events(name: str, count: int) -> list[Event]:
    return [
        Event("default", f"u{n % 1_000}", f"{name}{n}", "click", 1.7e9 + n, f"i{n % 500}")
        for n in range(count)
    ]


@asynccontextmanager
async def _opened(kind: str, folder: Path) -> AsyncIterator[EventLog]:
    with ExitStack() as stack:
        if kind == "redis":
            server = ValkeyServer(folder / "valkey").start()
            stack.callback(server.stop)
            log: EventLog = await _redis_log(server.url)
        elif kind == "kafka":
            log = await _kafka_log(stack.enter_context(running_broker()).servers)
        else:
            log = await SqliteLog.open(folder / "events.sqlite", queue_max=_QUEUE_MAX)
        try:
            yield log
        finally:
            await log.close()


async def _redis_log(url: str) -> EventLog:
    return await RedisLog.open(
        url, name="bench", partitions=_PARTITIONS, keep_s=_KEEP_S, queue_max=_QUEUE_MAX
    )


async def _kafka_log(servers: str) -> EventLog:
    connection = KafkaConnection(
        servers=servers,
        security_protocol="PLAINTEXT",
        sasl_mechanism="PLAIN",
        username=None,
        password=None,
        ca_file=None,
    )
    return await KafkaLog.open(
        connection,
        name="bench",
        partitions=_PARTITIONS,
        keep_s=_KEEP_S,
        replication=1,
        queue_max=_QUEUE_MAX,
    )


if __name__ == "__main__":
    main()
