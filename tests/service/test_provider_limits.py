"""How much is asked of a provider at once, and how little while it is down."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from openai_server import Fault
from provider_client import Client, is_vector_of, open_client
from shop import until

from indexer.errors import ProviderError

pytestmark = pytest.mark.anyio


async def _knock(client: Client, seconds: float) -> list[ProviderError]:
    """Ask again and again for a time; every call must fail."""
    failures = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        failures.append(await client.failure())
        await asyncio.sleep(0.01)
    return failures


async def _works(client: Client) -> bool:
    [found] = await client.embed("back again")
    return is_vector_of("back again", found)


async def test_no_more_calls_are_under_way_than_the_limit(tmp_path: Path) -> None:
    async with open_client(tmp_path, provider_concurrency=8) as client:
        client.server.always = Fault(delay_s=0.03)
        found = await client.together(60)
        assert all(is_vector_of(str(n), vector) for n, vector in enumerate(found))
        assert 2 <= client.server.busy_most <= 8


async def test_embedding_and_chat_share_the_limit(tmp_path: Path) -> None:
    async with open_client(tmp_path, provider_concurrency=4) as client:
        client.server.always = Fault(delay_s=0.03)
        await asyncio.gather(client.together(15), *(client.chat(f"{n}") for n in range(15)))
        assert client.server.busy_most <= 4


async def test_too_many_halves_the_limit_and_successes_bring_it_back(tmp_path: Path) -> None:
    async with open_client(tmp_path, provider_concurrency=8) as client:
        client.server.script.extend([Fault(429)] * 3)
        await client.together(3)  # one burst of refusals is one message
        assert 4 <= client.state()["concurrency"] <= 5
        client.server.always = Fault(delay_s=0.03)
        client.server.busy_most = 0
        await client.together(4)
        assert client.server.busy_most <= 5
        await client.together(40)
        assert client.state()["concurrency"] == 8
        assert client.server.busy_most <= 8


async def test_the_limit_never_falls_below_one(tmp_path: Path) -> None:
    async with open_client(tmp_path, provider_concurrency=2, provider_max_retries=0) as client:
        client.server.always = Fault(429)
        await _knock(client, 1.2)
        assert client.state()["concurrency"] == 1
        client.server.always = None
        assert is_vector_of("a text", await client.one())


async def test_the_requests_of_a_minute_are_spread_over_it(tmp_path: Path) -> None:
    async with open_client(tmp_path, provider_requests_per_minute=120) as client:
        found = await client.together(22)  # twenty may come at once, as ten seconds' worth
        assert not [each for each in found if isinstance(each, ProviderError)]
        took_s = client.server.seen[-1].at - client.server.seen[0].at
        assert took_s >= 0.6  # the first may arrive late


async def test_a_provider_that_fails_is_asked_about_once_a_second_and_used_again_when_well(
    tmp_path: Path,
) -> None:
    async with open_client(tmp_path, provider_max_retries=0) as client:
        client.server.always = Fault(500)
        start = time.monotonic()
        failures = await _knock(client, 2.2)
        sent, took_s = len(client.server.seen), time.monotonic() - start
        assert len(failures) > sent
        assert 5 <= sent <= 5 + took_s + 1
        assert failures[-1].fault == "breaker_open"
        client.server.always = None
        await until(lambda: _works(client))
        assert client.state()["breakers"]["embeddings"] == "closed"
        assert not isinstance(await client.one(), ProviderError)


async def test_many_callers_send_no_more_to_a_provider_that_is_down_than_one(
    tmp_path: Path,
) -> None:
    async with open_client(tmp_path) as client:
        client.server.always = Fault(500)
        await client.together(100)
        first = len(client.server.seen)
        assert first <= 3 * 10
        start = time.monotonic()
        while time.monotonic() - start < 2.0:
            await client.together(20)
        assert len(client.server.seen) - first <= 2 * 2.0 + 2


async def test_a_provider_that_hangs_is_found_out_too(tmp_path: Path) -> None:
    given = {"provider_timeout_s": 0.1, "provider_max_retries": 0}
    async with open_client(tmp_path, **given) as client:
        client.server.always = Fault(hang=True)
        await _knock(client, 1.0)
        assert client.state()["breakers"]["embeddings"] == "open"
        client.server.always = None
        await until(lambda: _works(client))


async def test_embeddings_go_on_while_chat_is_down(tmp_path: Path) -> None:
    async with open_client(tmp_path, provider_max_retries=0) as client:
        client.server.answer = lambda seen: Fault(500) if "chat" in seen.path else None
        for _ in range(7):
            with pytest.raises(ProviderError):
                await client.chat()
        assert client.models.profile is not None
        assert not client.models.profile.well
        assert is_vector_of("a text", await client.one())


async def test_a_provider_that_is_not_there_at_all_is_unavailable(tmp_path: Path) -> None:
    gone = "http://127.0.0.1:9/v1"
    async with open_client(tmp_path, provider_base_url=gone, provider_max_retries=1) as client:
        found = await client.failure()
        assert found.fault == "connection"
        assert "127.0.0.1:9" not in str(found)
