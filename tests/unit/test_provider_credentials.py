"""Readings of a key that overlap with requests. The test answers the requests itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest

from indexer.provider.credentials import Credentials, Key

pytestmark = pytest.mark.anyio

Flow = AsyncGenerator[httpx.Request, httpx.Response]


class Keys:
    """A source of these keys; while ``gate`` is closed a reading is ``held``."""

    def __init__(self, *keys: Key) -> None:
        self._keys = list(keys)
        self.reads = 0
        self.held = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Key:
        self.reads += 1
        if not self.gate.is_set():
            self.held.set()
            await self.gate.wait()
        return self._keys.pop(0)


def _credentials(source: Keys) -> Credentials:
    return Credentials(source, lambda reason: None, lambda outcome: None)


async def _begin(credentials: Credentials) -> tuple[Flow, str]:
    flow = credentials.async_auth_flow(httpx.Request("POST", "http://provider/v1"))
    return flow, (await anext(flow)).headers["Authorization"]


async def _refuse(flow: Flow) -> str | None:
    """Answer 401; return what is sent next, if anything."""
    try:
        return (await flow.asend(httpx.Response(401))).headers["Authorization"]
    except StopAsyncIteration:
        return None


async def test_a_request_that_began_during_a_reading_does_not_cause_another():
    keys = Keys(Key("old"), Key("new"))
    credentials = _credentials(keys)
    early, _ = await _begin(credentials)
    keys.gate.clear()
    first = asyncio.create_task(_refuse(early))
    await keys.held.wait()
    late, sent = await _begin(credentials)
    assert sent == "Bearer old"
    second = asyncio.create_task(_refuse(late))
    await asyncio.sleep(0)
    keys.gate.set()
    assert await asyncio.gather(first, second) == ["Bearer new"] * 2
    assert keys.reads == 2


async def test_a_reading_that_is_broken_off_is_made_up_for_by_who_waits():
    keys = Keys(Key("old"), Key("new"))
    credentials = _credentials(keys)
    (one, _), (other, _) = await _begin(credentials), await _begin(credentials)
    keys.gate.clear()
    first = asyncio.create_task(_refuse(one))
    await keys.held.wait()
    second = asyncio.create_task(_refuse(other))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    keys.gate.set()
    assert await second == "Bearer new"
