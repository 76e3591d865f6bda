"""Every engine and every event log, freshly opened for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from engines import KINDS, opened
from logs import BACKENDS, Logs

from indexer.ports import VectorStore


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which engine."""
    return str(request.param)


@pytest.fixture
async def store(kind: str, tmp_path: Path, qdrant_url: str) -> AsyncIterator[VectorStore]:
    """An engine with no collections."""
    async with opened(kind, tmp_path / "qdrant", qdrant_url) as fresh:
        yield fresh


@pytest.fixture(params=list(BACKENDS))
async def logs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Logs]:
    """One place that holds an event log, to be opened as often as a test needs."""
    place = BACKENDS[request.param](tmp_path)
    yield place
    await place.close()
