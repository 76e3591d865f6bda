"""What suites share: the event loop they run on, and servers as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka_broker import running as running_broker
from stand_in import stand_in
from valkey_server import ValkeyServer

TESTS = Path(__file__).parent
_ORDER = ("unit", "contract", "service", "e2e", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick ones first; and on event loops of their own, before others share one.

    The last are those of the browser, whose driver keeps the event loop of the thread to itself.
    """
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(TESTS).parts[0]))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked ``anyio`` run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def qdrant_url() -> Iterator[str]:
    """The address of a stand-in for a Qdrant server, started once."""
    with stand_in() as url:
        yield url


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Valkey server, started once."""
    server = ValkeyServer(tmp_path_factory.mktemp("valkey")).start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def kafka_url() -> Iterator[str]:
    """The address of a real broker of Kafka's protocol, started once."""
    with running_broker() as broker:
        yield f"kafka://{broker.servers}"
