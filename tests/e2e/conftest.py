"""A service as a real process, ended with the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Service


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def service(data_dir: Path) -> Iterator[Service]:
    """A service that is not started yet."""
    made = Service(data_dir)
    try:
        yield made
    finally:
        made.close()
