"""A second provider of the same model takes over while the first is away, and hands back."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai_server import Fault, OpenAIServer
from provider_client import DIM, Client, is_vector_of, open_client
from shop import until

from indexer.errors import InputRefused, SchemaMismatch
from indexer.runtime import open_runtime
from indexer.settings import load_settings

pytestmark = pytest.mark.anyio

_TABLE = """
[providers.first]
base_url = "{first}"
max_retries = 0
timeout_s = 0.3

[providers.second]
base_url = "{second}"

[[models.embedding]]
provider = "first"
model = "text-embedding-3-small"
[[models.embedding]]
provider = "second"
model = "text-embedding-3-small"

[[models.profile]]
provider = "first"
model = "deepseek-v3.2"
[[models.profile]]
provider = "second"
model = "gpt-4.1-mini"
"""


@asynccontextmanager
async def _open_pair(folder: Path) -> AsyncIterator[tuple[Client, OpenAIServer, OpenAIServer]]:
    """Open a client that prefers the first of two servers."""
    file = folder / "models.toml"
    async with OpenAIServer(DIM) as first, OpenAIServer(DIM) as second:
        file.write_text(_TABLE.format(first=first.url, second=second.url))
        async with open_client(folder, models_file=file) as client:
            yield client, first, second


def _by_provider(client: Client) -> Counter[tuple[str, str]]:
    counted: Counter[tuple[str, str]] = Counter()
    for (_, provider, _, outcome), n in client.telemetry.by_labels("provider_calls").items():
        counted[provider, outcome] += int(n)
    return counted


async def test_the_first_provider_is_asked_while_it_is_well(tmp_path: Path) -> None:
    async with _open_pair(tmp_path) as (client, _first, second):
        await client.one()
        await client.chat()
        assert not second.seen


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault(500), "status_500"),
        (Fault(429, headers={"retry-after": "3600"}), "status_429"),
        (Fault(401), "status_401"),
        (Fault(404), "status_404"),
        (Fault(402), "status_402"),
        (Fault(hang=True), "timeout"),
        (Fault(raw=b"<html>"), "not_json"),
    ],
    ids=["500", "429", "401", "404", "402", "hang", "not JSON"],
)
async def test_the_second_answers_where_the_first_does_not(
    tmp_path: Path, fault: Fault, name: str
) -> None:
    async with _open_pair(tmp_path) as (client, first, _second):
        first.always = fault
        assert is_vector_of("a text", await client.one())
        assert (await client.chat()).model == "gpt-4.1-mini"
        asked = _by_provider(client)
        assert asked.keys() == {("first", name), ("second", "ok")}
        assert asked["second", "ok"] == 2


async def test_an_input_that_the_first_refuses_is_not_tried_at_the_second(tmp_path: Path) -> None:
    async with _open_pair(tmp_path) as (client, first, second):
        first.always = Fault(400)
        assert isinstance(await client.failure(), InputRefused)
        assert not second.seen


async def test_the_first_is_asked_again_soon_after_it_is_back(tmp_path: Path) -> None:
    async with _open_pair(tmp_path) as (client, first, second):
        first.always = Fault(500)
        for n in range(12):
            assert is_vector_of(f"{n}", await client.one(f"{n}"))
        assert len(first.seen) <= 8
        first.always = None

        async def back() -> bool:
            before = len(second.seen)
            await client.one()
            return len(second.seen) == before

        await until(back)
        assert client.models.endpoints["first"].state()["breakers"]["embeddings"] == "closed"


async def test_the_fault_of_the_first_is_told_where_both_are_away(tmp_path: Path) -> None:
    async with _open_pair(tmp_path) as (client, first, second):
        first.always = Fault(raw=b"[]")
        second.always = Fault(403)
        assert (await client.failure()).fault == "not_json"


async def _start(folder: Path, **settings: Any) -> None:
    given = {"profile_model": "counter", **settings}
    async with open_runtime(load_settings(data_dir=folder, _env_file=None, **given)):
        pass


@pytest.mark.parametrize("dim", [63, 128, 1536])
async def test_a_start_with_another_dimension_than_the_model_has_is_refused(
    tmp_path: Path, dim: int
) -> None:
    async with OpenAIServer(DIM) as server:
        with pytest.raises(SchemaMismatch, match=f"{DIM} dimensions.*RECSVC_EMBEDDING_DIM"):
            await _start(tmp_path, provider_base_url=server.url, embedding_dim=dim)


async def test_a_start_with_a_provider_that_has_another_model_is_refused(tmp_path: Path) -> None:
    async with OpenAIServer(DIM) as server:
        server.always = Fault(alter=lambda body: {**body, "model": "another-model"})
        with pytest.raises(SchemaMismatch, match=r"another-model.*RECSVC_EMBEDDING_MODEL"):
            await _start(tmp_path, provider_base_url=server.url, embedding_dim=DIM)


@pytest.mark.parametrize(
    "fault",
    [Fault(500), Fault(401), Fault(404), Fault(reset=True), Fault(hang=True)],
    ids=["500", "401", "404", "reset", "hang"],
)
async def test_a_provider_that_is_away_at_the_start_does_not_stop_it(
    tmp_path: Path, fault: Fault
) -> None:
    async with OpenAIServer(DIM) as server:
        server.always = fault
        given = {"provider_timeout_s": 0.3, "provider_max_retries": 0}
        await _start(tmp_path, provider_base_url=server.url, embedding_dim=DIM, **given)
        assert server.seen
