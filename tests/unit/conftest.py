"""What holds for all unit tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A deadline an example is a timing assertion, and a busy machine fails it.
settings.register_profile("unit", deadline=None, print_blob=True)
settings.load_profile("unit")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
