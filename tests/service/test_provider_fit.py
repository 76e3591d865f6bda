"""A provider that does not fit the settings stops the start; one that is away does not."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fake_provider import FakeProvider

from indexer.errors import SchemaMismatch
from indexer.runtime import open_runtime
from indexer.settings import load_settings
from recsvc.app import create_app
from recsvc.security import Keyring

pytestmark = pytest.mark.anyio


async def test_a_provider_of_another_dimension_stops_the_start(
    provider: FakeProvider, tmp_path: Path
) -> None:
    settings = load_settings(
        data_dir=tmp_path / "data", provider_base_url=provider.url, embedding_dim=63
    )
    with pytest.raises(SchemaMismatch, match="RECSVC_EMBEDDING_DIM"):
        async with open_runtime(settings):
            pass


async def test_a_provider_that_is_away_does_not_stop_the_start(
    provider: FakeProvider, tmp_path: Path
) -> None:
    provider.status = 500
    settings = load_settings(data_dir=tmp_path / "data", provider_base_url=provider.url)
    async with open_runtime(settings) as runtime:
        transport = httpx.ASGITransport(app=create_app(runtime, Keyring(None)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert "ProviderUnavailable" in ready.json()["parts"]["embedder"]
