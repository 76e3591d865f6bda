"""How long a call and each of its requests may take; a deadline is a promise."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from openai_server import Fault
from provider_client import is_vector_of, open_client

from indexer.errors import ProviderError, ProviderUnavailable

pytestmark = pytest.mark.anyio

_SLACK_S = 1.0
_DEADLINE_S = 0.6
_KEPT_S = 1.1 * _DEADLINE_S + _SLACK_S

_SLOW = {
    "hang": Fault(hang=True),
    "drip": Fault(drip_s=0.02),
    "error that drips": Fault(500, drip_s=0.1, message="x" * 1_000),
    "failing": Fault(500),
    "busy": Fault(429),
    "busy, and says when": Fault(429, headers={"retry-after": "1"}),
}


@pytest.mark.parametrize("fault", _SLOW.values(), ids=_SLOW)
@pytest.mark.parametrize("timeout_s", [0.2, 30.0])
async def test_no_call_outlives_its_deadline(
    tmp_path: Path, fault: Fault, timeout_s: float
) -> None:
    given = {"provider_deadline_s": _DEADLINE_S, "provider_timeout_s": timeout_s}
    async with open_client(tmp_path, provider_max_retries=10, **given) as client:
        client.server.always = fault
        start = time.monotonic()
        assert isinstance(await client.failure(), ProviderUnavailable)
        assert time.monotonic() - start <= _KEPT_S


async def test_waiting_for_a_place_counts_against_the_deadline(tmp_path: Path) -> None:
    given = {"provider_deadline_s": _DEADLINE_S, "provider_timeout_s": 30.0}
    async with open_client(tmp_path, provider_concurrency=1, **given) as client:
        client.server.always = Fault(hang=True)
        start = time.monotonic()
        found = await client.together(20)
        assert time.monotonic() - start <= _KEPT_S
        assert all(isinstance(each, ProviderUnavailable) for each in found)
        client.server.always = None
        assert is_vector_of("afterwards", await client.one("afterwards"))


async def test_what_the_rate_leaves_no_room_for_before_the_deadline_fails_at_once(
    tmp_path: Path,
) -> None:
    given = {"provider_deadline_s": _DEADLINE_S, "provider_requests_per_minute": 6}
    async with open_client(tmp_path, **given) as client:
        start = time.monotonic()
        found = await client.together(5)
        assert time.monotonic() - start <= _KEPT_S
        faults = [each.fault for each in found if isinstance(each, ProviderError)]
        assert set(faults) == {"rate_limit"}
        assert len(client.server.seen) == len(found) - len(faults) >= 1


async def test_a_request_that_hangs_ends_at_its_timeout_and_is_sent_again(tmp_path: Path) -> None:
    async with open_client(tmp_path, provider_timeout_s=0.3) as client:
        client.server.script.append(Fault(hang=True))
        assert is_vector_of("a text", await client.one())
        assert client.server.gaps()[0] >= 0.3
        assert client.outcomes() == {"timeout": 1, "ok": 1}


async def test_a_reply_that_drips_ends_at_the_timeout_though_bytes_still_come(
    tmp_path: Path,
) -> None:
    async with open_client(tmp_path, provider_timeout_s=0.3) as client:
        client.server.script.append(Fault(drip_s=0.02))
        assert is_vector_of("a text", await client.one())
        assert client.outcomes() == {"timeout": 1, "ok": 1}


async def test_a_chat_call_keeps_its_deadline_too(tmp_path: Path) -> None:
    given = {"provider_deadline_s": _DEADLINE_S, "provider_timeout_s": 0.3}
    async with open_client(tmp_path, **given) as client:
        client.server.always = Fault(hang=True)
        start = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            await client.chat()
        assert time.monotonic() - start <= _KEPT_S


async def test_a_call_that_is_cancelled_leaves_its_place_to_others(tmp_path: Path) -> None:
    async with open_client(tmp_path, provider_concurrency=1) as client:
        client.server.script.append(Fault(hang=True))
        task = asyncio.create_task(client.embed("given up"))
        await client.server.asked.wait()
        waiting = asyncio.create_task(client.embed("waits"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        [found] = await waiting
        assert is_vector_of("waits", found)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
async def test_the_proxies_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with open_client(tmp_path, provider_max_retries=0) as client:
        assert is_vector_of("a text", await client.one())
