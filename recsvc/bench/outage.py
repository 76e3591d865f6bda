"""What the service does while its provider is away: first failing, then silent."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from typing import Any, Final

import orjson

from recsvc.bench.catalogue import click, new_item
from recsvc.bench.client import Connection
from recsvc.bench.report import Latency, Report
from recsvc.bench.standin import StandIn

__all__ = ["Outage"]

_EVENTS_PER_S: Final = 200
_SENDERS: Final = 10
_NEW_EVERY: Final = 50
_NEW_FROM: Final = 9_000_000
_SETTLED_S: Final = 2.0
_PATIENCE_S: Final = 60.0


class Outage:
    """Sends 200 events a second, 2 % of them on unknown items, and asks for lists all through."""

    def __init__(self, port: int, standin: StandIn, report: Report, quiet: bool) -> None:
        self._port, self._standin, self._report, self._quiet = port, standin, report, quiet
        self._items = report.items
        self._sent = itertools.count()
        self._ingestion: list[float] = []
        self._lists: list[float] = []
        self._new: list[str] = []
        self._failed = 0

    async def play(self, seconds: float) -> None:
        """Have the provider away for ``seconds``, then see how long it takes to catch up."""
        if not self._quiet:
            print(f"the provider is away for {seconds:.0f} s ...", file=sys.stderr)
        standin, until = self._standin, time.monotonic() + seconds
        standin.broken = 1.0
        standin.asked_at.clear()
        begun = time.monotonic()
        senders = [self._send(until, n) for n in range(_SENDERS)]
        turn = asyncio.create_task(self._fall_silent(seconds / 2))
        await asyncio.gather(*senders, self._look(until), turn)
        standin.broken, standin.silent = 0.0, False
        # Without the burst of calls that were under way when it went away.
        steady = [at for at in standin.asked_at if at - begun > _SETTLED_S]
        report = self._report
        report.outage_s = seconds
        report.outage_calls_per_s = round(len(steady) / max(seconds - _SETTLED_S, 1.0), 2)
        report.latencies["ingestion, provider away"] = Latency.of(self._ingestion)
        report.latencies["recommendation, provider away"] = Latency.of(self._lists)
        report.outage_recovery_s = round(await self._recovered(), 2)
        report.outage_lost = self._failed + await self._unknown()

    async def _fall_silent(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._standin.silent = True

    async def _send(self, until: float, place: int) -> None:
        connection = await Connection.open(self._port)
        pause_s = _SENDERS / _EVENTS_PER_S
        due = time.monotonic() + pause_s * place / _SENDERS
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            start = time.perf_counter()
            status, _ = await connection.post("/v1/events", self._event(next(self._sent)))
            self._ingestion.append(time.perf_counter() - start)
            self._failed += status != 202
            due += pause_s
        connection.close()

    def _event(self, n: int) -> dict[str, Any]:
        user = f"user-{n % 100}"
        if n % _NEW_EVERY:
            return click(user, f"item-{n % self._items}")
        item = new_item(_NEW_FROM + n)
        self._new.append(item["item_id"])
        return {**click(user, item["item_id"]), "item_features": item["features"]}

    async def _look(self, until: float) -> None:
        connection = await Connection.open(self._port)
        for n in itertools.count():
            if time.monotonic() >= until:
                break
            start = time.perf_counter()
            status, _ = await connection.get(f"/v1/users/user-{n % 100}/recommendations")
            if status == 200:
                self._lists.append(time.perf_counter() - start)
            await asyncio.sleep(0.02)
        connection.close()

    async def _recovered(self) -> float:
        """Wait until no event waits for its item; return the seconds it took."""
        start = time.monotonic()
        while time.monotonic() - start < _PATIENCE_S:
            waiting = [await self._waiting(user) for user in range(100)]
            if not any(waiting):
                break
            await asyncio.sleep(0.05)
        return time.monotonic() - start

    async def _waiting(self, user: int) -> int:
        connection = await Connection.open(self._port)
        _, body = await connection.get(f"/v1/users/user-{user}")
        connection.close()
        return int(orjson.loads(body).get("waiting", 0))

    async def _unknown(self) -> int:
        """Count the new items that are still not indexed."""
        connection = await Connection.open(self._port)
        left = 0
        for item_id in self._new:
            status, body = await connection.get(f"/v1/items/{item_id}")
            left += status != 200 or orjson.loads(body).get("pending") is not None
        connection.close()
        return left
