"""Shops to test against: one a set-up that is shared, and new ones for tests that change much.

A set-up is a store and a log: everything embedded; Redis Streams, cache and notices, over local
mode; Kafka, over a Qdrant server (a stand-in, or what ``RECSVC_TEST_QDRANT_URL`` names). A new shop
joins a group of Kafka consumers in seconds, so that only the shared one is over Kafka.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chat_provider import PROFILE_MODEL, SUMMARY_MODEL, ChatProvider
from fake_provider import FakeProvider
from shop import Shop, open_shop

SERVER_URL = os.environ.get("RECSVC_TEST_QDRANT_URL", "")
_FOREIGN = ("RECSVC_", "HOLYSHEEP_", "OPENAI_")


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_settings() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(_FOREIGN)]:
            patch.delenv(name)
        yield


def _settings(setup: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the settings of a set-up, in which nothing is yet."""
    name = f"shop-{uuid.uuid4().hex[:10]}"
    if setup == "edge":
        return {"qdrant_url": "edge"}
    shared = {"event_log_name": name, "event_log_partitions": 3, "event_log_session_s": 6.0}
    if setup == "redis":
        url = request.getfixturevalue("valkey_url")
        return {"qdrant_url": "memory", "event_log_url": url, "cache_url": url, **shared}
    qdrant = SERVER_URL or request.getfixturevalue("qdrant_url")
    log = request.getfixturevalue("kafka_url")
    return {"qdrant_url": qdrant, "qdrant_prefix": f"{name}-", "event_log_url": log, **shared}


@pytest.fixture(scope="session", params=["edge", "redis", "kafka"])
async def shop(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _no_foreign_settings: None,
    anyio_backend: str,
) -> AsyncIterator[Shop]:
    """A shop over each set-up; tests take users of their own and leave its items alone."""
    folder = tmp_path_factory.mktemp(request.param)
    async with open_shop(folder, **_settings(request.param, request)) as opened:
        yield opened


@pytest.fixture(params=["edge", "redis"])
async def new_shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop that no other test has touched."""
    async with open_shop(tmp_path / "shop", **_settings(request.param, request)) as opened:
        yield opened


@pytest.fixture(params=["edge", "redis"])
def open_with(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[..., AbstractAsyncContextManager[Shop]]:
    """Open a shop with settings of the test's."""
    return partial(open_shop, tmp_path / "shop", **_settings(request.param, request))


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """An embedding provider whose faults the test decides."""
    async with FakeProvider() as running:
        yield running


@pytest.fixture(params=["edge", "redis"])
def open_over_provider(
    request: pytest.FixtureRequest, tmp_path: Path, provider: FakeProvider
) -> Callable[..., AbstractAsyncContextManager[Shop]]:
    """Open a shop whose embeddings come from ``provider``; it gives up quickly."""
    return partial(
        open_shop,
        tmp_path / "shop",
        **_settings(request.param, request),
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
