"""Every engine, every event log and every feed, freshly opened for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from engines import KINDS, opened
from feeds import Feeds, RedisFeeds, SharedFeeds, SqliteFeeds
from kafka_logs import KafkaFeeds, KafkaLogs
from logs import Logs, RedisLogs, SqliteLogs

from indexer.ports import EventLog, VectorStore

LOGS: dict[str, Callable[[Path], Logs]] = {
    "sqlite": SqliteLogs,
    "redis": RedisLogs,
    "kafka": KafkaLogs,
}
LASTING = [kind for kind in LOGS if kind != "kafka"]
"""Those that know the ids of all events they hold, whichever process appended them."""

SHARED_FEEDS: dict[str, Callable[[Path], SharedFeeds]] = {
    "redis": RedisFeeds,
    "kafka": KafkaFeeds,
}
FEEDS: dict[str, Callable[[Path], Feeds]] = {"sqlite": SqliteFeeds, **SHARED_FEEDS}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which engine."""
    return str(request.param)


@pytest.fixture
async def store(kind: str, tmp_path: Path, qdrant_url: str) -> AsyncIterator[VectorStore]:
    """An engine with no collections."""
    async with opened(kind, tmp_path / "qdrant", qdrant_url) as fresh:
        yield fresh


@pytest.fixture(params=list(LOGS))
async def logs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Logs]:
    """One place that holds an event log, to be opened as often as a test needs."""
    place = LOGS[request.param](tmp_path)
    yield place
    await place.close()


@pytest.fixture(params=LASTING)
async def lasting_logs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Logs]:
    """One place that holds an event log which knows all ids."""
    place = LOGS[request.param](tmp_path)
    yield place
    await place.close()


@pytest.fixture
async def log(logs: Logs) -> EventLog:
    """A log with nothing in it."""
    return await logs.open()


@pytest.fixture(params=list(FEEDS))
async def feeds(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Feeds]:
    """One place that holds a log to be followed."""
    place = FEEDS[request.param](tmp_path)
    yield place
    await place.close()


@pytest.fixture(params=list(SHARED_FEEDS))
async def shared_feeds(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[SharedFeeds]:
    """One place that holds a log to be followed by several workers."""
    place = SHARED_FEEDS[request.param](tmp_path)
    yield place
    await place.close()
