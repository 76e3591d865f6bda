"""The event log and its adapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from indexer.ports import Changes, EventLog, Feed, Owner, SharedLog
from indexer.settings import Settings

__all__ = ["LogKind", "Streams", "log_kind", "log_place", "open_streams"]

LogKind = Literal["sqlite", "redis", "kafka"]


@dataclass(frozen=True, slots=True)
class Streams:
    """A log; ``shared``: the same, where several processes share it.

    ``follow``: make its feed, which tells ``changes`` of what others append and is no event.
    """

    log: EventLog
    shared: SharedLog | None
    follow: Callable[[Owner, Changes], Feed]


def log_kind(settings: Settings) -> LogKind:
    """Return what ``RECSVC_EVENT_LOG_URL`` names."""
    if settings.event_log_url == "sqlite":
        return "sqlite"
    return "kafka" if settings.event_log_url.startswith("kafka") else "redis"


def log_place(settings: Settings) -> str:
    """Tell where the log is, without what is secret: two that are elsewhere are not the same.

    Nothing of an embedded log that lies beside the embedded store: the two move together.
    """
    kind, url = log_kind(settings), urlsplit(settings.event_log_url)
    if kind == "sqlite":
        is_beside = settings.qdrant_url in ("edge", "memory")
        return "" if is_beside else str(settings.data_dir.resolve())
    hosts = ",".join(sorted(url.netloc.rpartition("@")[2].split(",")))
    return f"{hosts}{url.path.rstrip('/')} {settings.event_log_name}"


async def open_streams(settings: Settings) -> Streams:
    """Open the log that ``RECSVC_EVENT_LOG_URL`` names."""
    opened = {"sqlite": _sqlite, "redis": _redis, "kafka": _kafka}[log_kind(settings)]
    return await opened(settings)


async def _sqlite(settings: Settings) -> Streams:
    from indexer.streams.sqlite.feed import SqliteFeed
    from indexer.streams.sqlite.log import SqliteLog

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log = await SqliteLog.open(settings.data_dir / "events.sqlite", queue_max=settings.queue_max)
    return Streams(log, None, lambda owner, _: SqliteFeed(log, owner))


async def _redis(settings: Settings) -> Streams:
    from indexer.streams.redis.feed import RedisFeed
    from indexer.streams.redis.log import RedisLog

    log = await RedisLog.open(
        settings.event_log_url,
        name=settings.event_log_name,
        partitions=settings.event_log_partitions,
        keep_s=settings.event_log_keep_s,
        queue_max=settings.queue_max,
    )

    def follow(owner: Owner, changes: Changes) -> Feed:
        session_s, weights = settings.event_log_session_s, settings.event_weights
        return RedisFeed(log, owner, session_s=session_s, weights=weights, changes=changes)

    return Streams(log, log, follow)


async def _kafka(settings: Settings) -> Streams:
    from indexer.streams.kafka.client import KafkaConnection
    from indexer.streams.kafka.feed import KafkaFeed
    from indexer.streams.kafka.log import KafkaLog

    password = settings.kafka_password
    connection = KafkaConnection(
        servers=settings.event_log_url.removeprefix("kafka://"),
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=password.get_secret_value() if password is not None else None,
        ca_file=settings.kafka_ca_file,
    )
    log = await KafkaLog.open(
        connection,
        name=settings.event_log_name,
        partitions=settings.event_log_partitions,
        keep_s=settings.event_log_keep_s,
        replication=settings.kafka_replication,
        queue_max=settings.queue_max,
    )

    def follow(owner: Owner, changes: Changes) -> Feed:
        session_s, weights = settings.event_log_session_s, settings.event_weights
        return KafkaFeed(log, owner, session_s=session_s, weights=weights, changes=changes)

    return Streams(log, log, follow)
