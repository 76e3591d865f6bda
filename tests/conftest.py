"""What suites share: the event loop they run on, and servers as real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

STANDINS = Path(__file__).parent / "standins"
_ORDER = ("unit", "contract", "service", "e2e")
_READY_S = 30.0
_STOP_S = 10.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick ones first; and on event loops of their own, before others share one."""
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(STANDINS.parent).parts[0]))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked ``anyio`` run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def qdrant_url() -> Iterator[str]:
    """The address of a stand-in for a Qdrant server, started once."""
    command = [sys.executable, str(STANDINS / "qdrant_server.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, f"the stand-in ended with {process.wait()}"
            httpx.get(f"{url}/readyz", timeout=_READY_S, trust_env=False).raise_for_status()
            yield url
        finally:
            process.terminate()
            process.wait(_STOP_S)
