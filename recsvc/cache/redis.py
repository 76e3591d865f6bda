"""Cached answers that processes share, in Redis, behind those of this process."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from indexer.changes.link import Link, stop_if_cancelled
from indexer.errors import ChangesError
from indexer.telemetry import Telemetry
from recsvc.cache import Version
from recsvc.cache.memory import MemoryCache

__all__ = ["ANSWER_BYTES_MAX", "QUEUED_MAX", "WAIT_S", "RedisCache", "answer_key"]

WAIT_S: Final = 0.04
"""How long an answer in Redis is waited for, in seconds; then it is made instead."""

ANSWER_BYTES_MAX: Final = 64 * 1024
"""A longer answer is kept in this process only."""

QUEUED_MAX: Final = 512
"""Answers that wait to be written; beyond it, the oldest are not."""

_LATE_S: Final = 0.005
"""Who wakes this much too late was kept by this process, which says nothing of the server."""

_ASKED_MAX: Final = 256
_READ_MAX, _WRITTEN_MAX = 64, 16
_QUIET_S: Final = 5.0
"""How often the server is looked at while nobody asks."""


def answer_key(name: str, tenant: str, user_id: str, version: Version, params: Hashable) -> str:
    """Return the key of an answer: a digest of all that tells it from another."""
    told = repr((tenant, user_id, version, params)).encode(errors="surrogatepass")
    return f"{name}:answer:{blake2b(told, digest_size=20).hexdigest()}"


class RedisCache:
    """An `AnswerCache` that processes share.

    Only `run`, in a task of its own, speaks to Redis, over one connection: it reads what all
    requests ask for by then, then writes some of what waits. Requests wait for it, `WAIT_S` at
    the most; once one has waited in vain, all pass Redis by until it answers a ping in that time
    again. So a server that hangs costs a few requests 40 ms, and the others what they miss. Redis
    is passed by as well before `run` has begun.
    """

    def __init__(
        self, url: str, name: str, memory: MemoryCache, ttl_s: float, telemetry: Telemetry
    ) -> None:
        self._link = Link(
            url,
            telemetry,
            where="cache",
            loss="answers are cached in this process only",
        )
        self._name, self._memory, self._ttl_s = name, memory, ttl_s
        self._ready = False
        self._wake = asyncio.Event()
        self._asked: OrderedDict[str, asyncio.Future[bytes | None]] = OrderedDict()
        self._reading: dict[str, asyncio.Future[bytes | None]] = {}
        self._unwritten: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()

    async def get(
        self, tenant: str, user_id: str, version: Version, params: Hashable
    ) -> dict[str, Any] | None:
        """See `AnswerCache.get`; waits `WAIT_S` at the most."""
        found = await self._memory.get(tenant, user_id, version, params)
        if found is not None or not self._ready:
            return found
        body = await self._ask(answer_key(self._name, tenant, user_id, version, params))
        if body is None:
            return None
        try:
            made_at, answer = _decode(body)
        except ValueError:
            self._link.failed()
            return None
        age_s = max(0.0, time.time() - made_at)
        if age_s >= self._ttl_s:
            return None
        self._memory.put(tenant, user_id, version, params, answer, age_s=age_s)
        return answer

    def put(
        self, tenant: str, user_id: str, version: Version, params: Hashable, answer: dict[str, Any]
    ) -> None:
        """See `AnswerCache.put`; Redis does not get what is put while it is away."""
        self._memory.put(tenant, user_id, version, params, answer)
        if not self._ready:
            return
        key = answer_key(self._name, tenant, user_id, version, params)
        self._unwritten[key] = (time.time(), answer)
        if len(self._unwritten) > QUEUED_MAX:
            self._unwritten.popitem(last=False)
            self._link.failed()
        self._wake.set()

    def drop_user(self, tenant: str, user_id: str) -> None:
        """See `AnswerCache.drop_user`."""
        self._memory.drop_user(tenant, user_id)

    async def run(self) -> None:
        """See `AnswerCache.run`; what goes wrong is counted, and an outage logged once."""
        await self._link.hold(self._session)

    async def ping(self) -> None:
        """See `AnswerCache.ping`."""
        await self._link.ping()

    async def close(self) -> None:
        """Drop what waits, and disconnect."""
        self._leave_alone()
        await self._link.close()

    async def _ask(self, key: str) -> bytes | None:
        asked = self._reading.get(key) or self._asked.get(key)
        if asked is None:
            if len(self._asked) >= _ASKED_MAX:
                return None
            asked = self._asked[key] = asyncio.get_running_loop().create_future()
            self._wake.set()
        began = time.monotonic()
        done, _ = await asyncio.wait([asked], timeout=WAIT_S)
        if done:
            return asked.result()
        if time.monotonic() - began < WAIT_S + _LATE_S:
            self._leave_alone()
        return None

    def _leave_alone(self) -> None:
        """Have requests pass Redis by, also those that wait for it now."""
        self._ready = False
        _let_go(self._asked)
        _let_go(self._reading)
        self._asked.clear()
        self._unwritten.clear()

    async def _session(self) -> None:
        await self._link.ping()  # which may have to connect
        await self._link.ping(within_s=WAIT_S)
        stop_if_cancelled()
        self._ready = True
        try:
            while True:
                await self._serve()
                if not self._ready:
                    raise ChangesError(f"{self._link.name}: no answer within {WAIT_S * 1e3:.0f} ms")
        finally:
            self._leave_alone()

    async def _serve(self) -> None:
        """Wait for work and do a share of it; where there is none, see whether Redis is there."""
        try:
            async with asyncio.timeout(_QUIET_S):
                await self._wake.wait()
        except TimeoutError:
            await self._link.ping(within_s=WAIT_S)
        stop_if_cancelled()
        self._wake.clear()
        while self._ready and (self._asked or self._unwritten):
            if self._asked:
                await self._read()
            if self._unwritten:
                await self._write()
            stop_if_cancelled()

    async def _read(self) -> None:
        for _ in range(min(_READ_MAX, len(self._asked))):
            key, asked = self._asked.popitem(last=False)
            self._reading[key] = asked
        try:
            with self._link.asking():
                bodies = await self._link.client.mget(list(self._reading))
                for asked, body in zip(self._reading.values(), bodies, strict=True):
                    if not asked.done():
                        asked.set_result(body if isinstance(body, bytes) else None)
        finally:
            _let_go(self._reading)
            self._reading.clear()

    async def _write(self) -> None:
        """Write the oldest answers; one that Redis refuses, as when it is full, is counted."""
        pipeline = self._link.client.pipeline(transaction=False)
        for _ in range(min(_WRITTEN_MAX, len(self._unwritten))):
            key, (made_at, answer) = self._unwritten.popitem(last=False)
            body = self._encode(made_at, answer)
            if body is not None:
                pipeline.set(key, body, px=max(1, int(self._ttl_s * 1e3)))
        with self._link.asking():
            outcomes = await pipeline.execute(raise_on_error=False)
        if refused := sum(outcome is not True for outcome in outcomes):
            self._link.failed(refused)

    def _encode(self, made_at: float, answer: dict[str, Any]) -> bytes | None:
        try:
            body = orjson.dumps([made_at, answer])
        except TypeError:
            self._link.failed()
            return None
        return body if len(body) <= ANSWER_BYTES_MAX else None


def _let_go(asked: Mapping[str, asyncio.Future[bytes | None]]) -> None:
    for one in asked.values():
        if not one.done():
            one.set_result(None)


def _decode(body: bytes) -> tuple[float, dict[str, Any]]:
    """Undo what was written; raises ValueError where somebody else wrote it."""
    if len(body) <= ANSWER_BYTES_MAX:
        match orjson.loads(body):
            case [float(made_at), dict() as answer]:
                return made_at, answer
    raise ValueError("no answer of ours")
