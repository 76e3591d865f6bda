"""Shops to test against: one a engine that is shared, and new ones for tests that change much."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from chat_provider import PROFILE_MODEL, SUMMARY_MODEL, ChatProvider
from fake_provider import FakeProvider
from shop import ENGINES, Shop, open_shop

_FOREIGN = ("RECSVC_", "HOLYSHEEP_", "OPENAI_")


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_settings() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(_FOREIGN)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", params=ENGINES)
async def shop(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _no_foreign_settings: None,
    anyio_backend: str,
) -> AsyncIterator[Shop]:
    """A shop over each engine; tests take users of their own and leave its items alone."""
    folder = tmp_path_factory.mktemp(request.param)
    async with open_shop(folder, qdrant_url=request.param) as opened:
        yield opened


@pytest.fixture(params=ENGINES)
async def new_shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop over each engine that no other test has touched."""
    async with open_shop(tmp_path / "shop", qdrant_url=request.param) as opened:
        yield opened


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """An embedding provider whose faults the test decides."""
    async with FakeProvider() as running:
        yield running


@pytest.fixture(params=ENGINES)
def open_over_provider(
    request: pytest.FixtureRequest, tmp_path: Path, provider: FakeProvider
) -> Callable[..., AbstractAsyncContextManager[Shop]]:
    """Open a shop whose embeddings come from ``provider``; it gives up quickly."""
    return partial(
        open_shop,
        tmp_path / "shop",
        qdrant_url=request.param,
        provider_base_url=provider.url,
        provider_max_retries=0,
        provider_timeout_s=2.0,
        profile_model="counter",
        embedding_dim=64,
    )


@pytest.fixture
async def chat() -> AsyncIterator[ChatProvider]:
    """A provider of embeddings and chats whose answers and faults the test decides."""
    async with ChatProvider() as running:
        yield running


@pytest.fixture
def open_over_chat(
    tmp_path: Path, chat: ChatProvider
) -> Callable[..., AbstractAsyncContextManager[Shop]]:
    """Open a shop whose profiles a model makes; it asks about each event, and gives up quickly."""
    settings = {
        "qdrant_url": "edge",
        "provider_base_url": chat.url,
        "provider_max_retries": 0,
        "provider_timeout_s": 2.0,
        "embedding_dim": 64,
        "profile_model": PROFILE_MODEL,
        "summary_model": SUMMARY_MODEL,
        "profile_events": 1,
        "profile_interval_s": 0.0,
        "profile_min_interval_s": 0.0,
    }
    return lambda **more: open_shop(tmp_path / "shop", **{**settings, **more})
