"""What llmock, which judges clients by all that they send, says of ours: not one warning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from provider_client import Client, open_client
from served import served

from indexer.errors import InputRefused, ProviderError

pytestmark = pytest.mark.anyio

_DIM = 1536  # what llmock sends, whatever is asked
_RPM = 60
Ask = Callable[[Client, str], Awaitable[bool]]


async def _embed(client: Client, text: str) -> bool:
    [found] = await client.embed(text)
    return not isinstance(found, ProviderError)


async def _chat(client: Client, text: str) -> bool:
    try:
        return bool((await client.chat(text)).text)
    except ProviderError:
        return False


_ASKS: dict[str, Ask] = {"embeddings": _embed, "chat": _chat}


@pytest.fixture(params=_ASKS)
def ask(request: pytest.FixtureRequest) -> Ask:
    """One call to the provider; gives whether it succeeded."""
    return _ASKS[request.param]


@pytest.fixture(scope="module")
def llmock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of llmock without limits."""
    with served("llmock", "serve", log=tmp_path_factory.mktemp("llmock") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def strict_llmock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of llmock with a quota a minute and a short context window."""
    log = tmp_path_factory.mktemp("llmock") / "log"
    limits = ("--rpm", str(_RPM), "--context-window", "40")
    with served("llmock", "serve", *limits, log=log) as url:
        yield url


@asynccontextmanager
async def _judged(
    folder: Path, url: str, *behaviors: dict[str, Any], **settings: Any
) -> AsyncIterator[Client]:
    """Open a client over llmock with a scenario; at the end its verdict must be spotless."""
    given = {"provider_timeout_s": 2.0, "embedding_dim": _DIM, **settings}
    async with httpx.AsyncClient(base_url=f"{url}/_llmock", trust_env=False) as judge:
        (await judge.post("/reset")).raise_for_status()
        if behaviors:
            scenario = {"behaviors": list(behaviors)}
            (await judge.post("/scenario", json=scenario)).raise_for_status()
        async with open_client(folder, provider_base_url=f"{url}/v1", **given) as client:
            yield client
        verdict = (await judge.get("/verdict")).raise_for_status().json()
        assert verdict["calls"] > 0
        assert not verdict["findings"], verdict["findings"]
        assert verdict["passed"]
        assert (verdict["errors"], verdict["warnings"]) == (0, 0)


def _fail(status: int, **more: Any) -> dict[str, Any]:
    return {"type": "fail", "status": status, **more}


@pytest.mark.parametrize(
    "behavior",
    [
        _fail(429, times=2, retry_after=0.3),
        _fail(429),  # llmock asks for a second where nothing is said
        _fail(500, times=2),
        _fail(503, times=3, retry_after=0.3),
        _fail(529, retry_after=0.1),
        {"type": "delay", "seconds": 0.5},
    ],
    ids=["429", "429 by default", "500", "503", "529", "delay"],
)
async def test_what_passes_is_waited_out(
    tmp_path: Path, llmock_url: str, ask: Ask, behavior: dict[str, Any]
) -> None:
    async with _judged(tmp_path, llmock_url, behavior, provider_timeout_s=0.3) as client:
        assert await ask(client, "a text")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_does_not_pass_is_left_at_that(
    tmp_path: Path, llmock_url: str, ask: Ask, status: int
) -> None:
    async with _judged(tmp_path, llmock_url, _fail(status, times=None)) as client:
        assert not await ask(client, "a text")


async def test_an_outage_is_met_with_few_requests_and_no_call_without_a_second_try(
    tmp_path: Path, llmock_url: str, ask: Ask
) -> None:
    outage = _fail(503, times=None, retry_after=0.3)
    async with _judged(tmp_path, llmock_url, outage) as client:
        done = await asyncio.gather(*(ask(client, f"text {n}") for n in range(20)))
        assert not any(done)


async def test_a_rough_patch_costs_no_call(tmp_path: Path, llmock_url: str, ask: Ask) -> None:
    patch = [_fail(status, retry_after=0.3) for status in (429, 500, 429, 503)]
    async with _judged(tmp_path, llmock_url, *patch) as client:
        done = await asyncio.gather(*(ask(client, f"text {n}") for n in range(20)))
        assert all(done)


async def test_a_quota_a_minute_is_kept_to_and_every_call_comes_through(
    tmp_path: Path, strict_llmock_url: str, ask: Ask
) -> None:
    async with _judged(tmp_path, strict_llmock_url) as client:
        done = await asyncio.gather(*(ask(client, f"text {n}") for n in range(_RPM + 1)))
        assert all(done)


async def test_a_text_beyond_the_context_window_is_embedded_by_its_beginning(
    tmp_path: Path, strict_llmock_url: str
) -> None:
    async with _judged(tmp_path, strict_llmock_url) as client:
        found = await client.embed("short", "words of a long text " * 20)
        assert not [each for each in found if isinstance(each, ProviderError)]


async def test_a_prompt_beyond_the_context_window_is_told_to_be_too_long(
    tmp_path: Path, strict_llmock_url: str
) -> None:
    async with _judged(tmp_path, strict_llmock_url) as client:
        with pytest.raises(InputRefused) as caught:
            await client.chat("words of a long prompt " * 100)
        assert caught.value.too_long
