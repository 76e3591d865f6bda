"""How Kafka is spoken to: connections, time limits, and errors that become ours.

All of aiokafka's clients are made here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import collect_hosts
from aiokafka.conn import create_conn
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from indexer.errors import LogError, RecsvcError, SettingsError

__all__ = [
    "ANSWER_S",
    "BATCH_BYTES",
    "HANDOVER_S",
    "KafkaConnection",
    "TopicPartition",
    "asking",
    "make_admin",
    "make_member",
    "make_producer",
    "make_reader",
    "start",
    "stop",
]

ANSWER_S: Final = 4.0
"""How long brokers are waited for before a call fails, in seconds."""

HANDOVER_S: Final = 30.0
"""How long a worker may take to hand partitions on before others go on without it, in seconds."""

BATCH_BYTES: Final = 512 * 1024
"""What is sent to a partition at once; a single record may be larger."""

_STOP_S: Final = 1.0
_RETRY_MS: Final = 200
_HEARTBEAT_MAX_S: Final = 3.0
_WAIT_MS: Final = 100
_LOOK_MS: Final = 10
_REASON_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Where the brokers are (``host:port`` by comma), and how they are spoken to.

    ``ca_file``: PEM of the authorities that brokers are trusted by, with TLS; None: the system's.
    """

    servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what a connection is made with, in aiokafka's names.

        Raises:
            SettingsError: the file of authorities cannot be used.
        """
        arguments: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = self._trust()
        if self.security_protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password
        return arguments

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as exc:  # which ssl.SSLError is
            raise SettingsError(f"RECSVC_KAFKA_CA_FILE={self.ca_file}: {exc}") from exc


def make_producer(connection: KafkaConnection) -> Any:
    """Make a producer whose appends every replica in sync has.

    It has no sequence numbers (not every broker gives them): a retry can append twice.
    """
    return AIOKafkaProducer(
        **_common(connection, ANSWER_S),
        acks="all",
        enable_idempotence=False,
        max_batch_size=BATCH_BYTES,
    )


def make_reader(connection: KafkaConnection) -> Any:
    """Make a consumer of no group, which reads what it is told to, and does not wait for more."""
    return AIOKafkaConsumer(
        **_common(connection, ANSWER_S),
        **_READING,
        fetch_max_wait_ms=_LOOK_MS,
    )


def make_member(connection: KafkaConnection, group: str, session_s: float) -> Any:
    """Make a consumer that shares partitions with the others of its group.

    A join is answered when all have handed on what they had, so that its requests may take longer
    than that.
    """
    heartbeat_s = min(session_s / 3, _HEARTBEAT_MAX_S)
    handover_s = max(session_s, HANDOVER_S)
    return AIOKafkaConsumer(
        **_common(connection, handover_s + 2 * ANSWER_S),
        **_READING,
        group_id=group,
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=int(session_s * 1000),
        heartbeat_interval_ms=int(heartbeat_s * 1000),
        rebalance_timeout_ms=int(handover_s * 1000),
        fetch_max_wait_ms=_WAIT_MS,
    )


def make_admin(connection: KafkaConnection) -> Any:
    """Make a client for topics and groups."""
    return AIOKafkaAdminClient(**_common(connection, ANSWER_S))


async def start(client: Any, connection: KafkaConnection) -> None:
    """Start a client; one that cannot be started is stopped.

    Raises:
        LogError: no broker can be used; tells why.
    """
    started, began = False, time.monotonic()
    try:
        async with asking(f"connecting to {connection.servers}", 2 * ANSWER_S):
            await client.start()
        started = True
    except LogError as exc:
        is_hanging = time.monotonic() - began >= ANSWER_S
        refusal = "" if is_hanging else await _refusal(connection)
        if refusal:
            raise LogError(f"Kafka at {connection.servers}: {refusal}") from exc
        raise
    finally:
        if not started:
            await stop(client)


async def stop(client: Any) -> None:
    """Stop a client; what it still waits for after a second is given up.

    aiokafka waits for answers to what it has asked, up to their time limit; without connections
    it gets none.
    """
    admin = isinstance(client, AIOKafkaAdminClient)
    stopping = asyncio.ensure_future(client.close() if admin else client.stop())
    await asyncio.wait([stopping], timeout=_STOP_S)
    if not stopping.done():
        connections = client.client if isinstance(client, AIOKafkaProducer) else client._client
        await asyncio.wait([asyncio.ensure_future(connections.close())], timeout=_STOP_S)
        await asyncio.wait([stopping], timeout=_STOP_S)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)


@asynccontextmanager
async def asking(what: str, limit_s: float = ANSWER_S) -> AsyncIterator[None]:
    """Bound what is asked of brokers; make LogError of whatever goes wrong.

    Beside aiokafka's own errors there are those of sockets and TLS, and, where a broker answers
    what is not expected, assertions and lookups.
    """
    try:
        async with asyncio.timeout(limit_s):
            yield
    except RecsvcError:
        raise
    except Exception as exc:
        raise LogError(f"Kafka, {what}: {_reason(exc, limit_s)}") from exc


def _common(connection: KafkaConnection, limit_s: float) -> dict[str, Any]:
    _tell_outages_once()
    return {
        **connection.arguments(),
        "bootstrap_servers": connection.servers,
        "client_id": "recsvc",
        "request_timeout_ms": int(limit_s * 1000),
        "retry_backoff_ms": _RETRY_MS,
    }


_READING: Final[dict[str, Any]] = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # what is out of range is looked at, and told
    "isolation_level": "read_committed",
}


def _tell_outages_once() -> None:
    """Silence aiokafka's log, unless a level was chosen: it tells of each of its retries."""
    logger = logging.getLogger("aiokafka")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)


async def _refusal(connection: KafkaConnection) -> str:
    """Return why no broker can be used, which starting a client does not tell; "" if one can."""
    limits = {"client_id": "recsvc", "request_timeout_ms": int(ANSWER_S * 1000)}
    refusal = ""
    for host, port, _ in collect_hosts(connection.servers):
        try:
            async with asyncio.timeout(ANSWER_S):
                reached = await create_conn(host, port, **limits, **connection.arguments())
        except Exception as exc:  # noqa: BLE001 - told to the caller, in words
            refusal = _reason(exc, ANSWER_S)
        else:
            reached.close()
            return ""
    return refusal


def _reason(exc: Exception, limit_s: float) -> str:
    if isinstance(exc, TimeoutError) and not str(exc):
        return f"no answer within {limit_s:g} s"
    name, told = type(exc).__name__, str(exc)
    return (told if name in told else f"{name}: {told}".removesuffix(": "))[:_REASON_MAX]
