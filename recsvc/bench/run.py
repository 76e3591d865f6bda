"""Plays the benchmark: a service and a stand-in provider, and users who never pause."""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from indexer.errors import StoreUnavailable
from recsvc.bench.catalogue import click, new_item
from recsvc.bench.client import Connection
from recsvc.bench.outage import Outage
from recsvc.bench.process import anonymous_mb, free_port, service
from recsvc.bench.report import Latency, Report
from recsvc.bench.standin import StandIn

__all__ = ["play"]

_ITEMS_FOR_SEARCH: Final = 20_000
_APPLIED: Final = "/v1/events?wait=applied&timeout_s=30"
_NEW_ITEM_SHARE: Final = 0.02
_UNSEEN_FROM: Final = 1_000_000
_REFUSED_SHARE, _BROKEN_SHARE = 0.2, 0.02
_TRAILING_S: Final = 16.0
"""Until the profiles that the last events made due have been asked for."""
_PACED_EVENTS, _PAUSE_S = 3_000, 0.2
_FRESH_EVENTS, _BATCHES, _BATCH = 300, 20, 100
_SEARCH_CONNECTIONS, _SEARCHES = 16, 6_000


async def play(*, events: int, users: int, items: int, outage_s: float, quiet: bool) -> Report:
    """Run all phases and return the figures.

    Raises:
        StoreUnavailable: the service does not start.
    """
    report = Report(_machine(), events, users, items)
    standin = StandIn(free_port())
    with tempfile.TemporaryDirectory(prefix="recsvc-bench-") as folder:
        async with standin.serving() as provider, service(Path(folder), provider) as (port, pid):
            player = _Player(port, items, report, quiet)
            await player.load(items)
            standin.calls.clear()
            await player.freshness()
            report.events_per_s, report.success_rate = await player.events(
                "full pipeline", events, users
            )
            await player.events("full pipeline, users pause", _PACED_EVENTS, users, _PAUSE_S)
            await player.batches()
            await asyncio.sleep(_TRAILING_S)
            played = (_FRESH_EVENTS + events + _PACED_EVENTS + _BATCHES * _BATCH) / 1000
            report.embedding_calls_per_1000 = round(standin.calls["embeddings"] / played, 1)
            report.chat_calls_per_1000 = round(standin.calls["chat"] / played, 1)
            stats = await player.get_json("/v1/stats")
            report.steps = stats["steps"]
            report.cost_per_1000_usd = stats["costs"]["per_1000_events_usd"]
            standin.refused, standin.broken = _REFUSED_SHARE, _BROKEN_SHARE
            report.faulty_events_per_s, report.faulty_success_rate = await player.events(
                "full pipeline, provider fails", events, users
            )
            standin.refused = standin.broken = 0.0
            await Outage(port, standin, report, quiet).play(outage_s)
            await player.load_while_searching(_ITEMS_FOR_SEARCH)
            await player.searches(users)
            report.memory_mb = anonymous_mb(pid)
    return report


class _Player:
    def __init__(self, port: int, items: int, report: Report, quiet: bool) -> None:
        self._port, self._items, self._report, self._quiet = port, items, report, quiet
        self._random = random.Random(0)
        self._unseen = _UNSEEN_FROM

    async def load(self, count: int, start: int = 0) -> None:
        self._say(f"loading {count - start} items ...")
        async with self._connection() as connection:
            for first in range(start, count, 200):
                rows = [new_item(n) for n in range(first, min(first + 200, count))]
                result = await connection.post_ok("/v1/items", rows)
                if result["pending"] or result["rejected"]:
                    raise StoreUnavailable(f"items were not indexed: {str(result)[:300]}")

    async def freshness(self) -> None:
        """Time from sending an event to holding the list that reflects it, one at a time."""
        self._say("freshness with one client ...")
        samples = []
        async with self._connection() as connection:
            for _ in range(_FRESH_EVENTS):
                start = time.perf_counter()
                sent = await connection.post_ok("/v1/events", click("solo", self._known()))
                path = f"/v1/users/solo/recommendations?after={sent['position']}"
                status, _ = await connection.get(path)
                if status == 200:
                    samples.append(time.perf_counter() - start)
        self._report.latencies["freshness, 1 client"] = Latency.of(samples)

    async def events(
        self, figure: str, count: int, users: int, pause_s: float = 0.0
    ) -> tuple[float, float]:
        """Have users send events one after the other; return events/s and the success rate."""
        self._say(f"{count} events by {users} concurrent users, {pause_s} s apart ...")
        numbers = itertools.count()
        self._unseen += count
        samples: list[float] = []
        succeeded = 0

        async def user(name: str) -> None:
            nonlocal succeeded
            async with self._connection() as connection:
                while (n := next(numbers)) < count:
                    start = time.perf_counter()
                    event = self._any_event(name, n)
                    status, body = await connection.post(
                        "/v1/events?wait=applied&timeout_s=30", event
                    )
                    samples.append(time.perf_counter() - start)
                    if status == 200 and orjson.loads(body)["results"][0]["success"]:
                        succeeded += 1
                    if pause_s:
                        await asyncio.sleep(self._random.uniform(0.0, 2.0 * pause_s))

        start = time.perf_counter()
        await asyncio.gather(*(user(f"user-{n}") for n in range(users)))
        per_s = round(count / (time.perf_counter() - start), 1)
        self._report.latencies[figure] = Latency.of(samples)
        return per_s, succeeded / count

    async def batches(self) -> None:
        self._say(f"batches of {_BATCH} events ...")
        samples = []
        async with self._connection() as connection:
            for _ in range(_BATCHES):
                rows = [click(f"user-{n}", self._known()) for n in range(_BATCH)]
                start = time.perf_counter()
                await connection.post_ok("/v1/events?wait=applied", rows)
                samples.append(time.perf_counter() - start)
        self._report.latencies[f"batch of {_BATCH}"] = Latency.of(samples)

    async def load_while_searching(self, count: int) -> None:
        """Load the large catalogue while one client asks for recommendations all through."""
        samples: list[float] = []
        loading = asyncio.create_task(self.load(count, self._items))
        async with self._connection() as connection:
            while not loading.done():
                start = time.perf_counter()
                status, _ = await connection.get(self._recommendations("user-0"))
                if status == 200:
                    samples.append(time.perf_counter() - start)
                await asyncio.sleep(0.005)
        await loading
        self._items = self._report.items_for_search = count
        self._report.latencies["recommendation during bulk load"] = Latency.of(samples)

    async def searches(self, users: int) -> None:
        """Ask for lists that are in no cache, as fast as they come."""
        self._say(f"fresh recommendations over {self._items} items ...")
        numbers = iter(range(_SEARCHES))
        samples: list[float] = []

        async def ask() -> None:
            async with self._connection() as connection:
                for n in numbers:
                    start = time.perf_counter()
                    status, _ = await connection.get(self._recommendations(f"user-{n % users}"))
                    if status == 200:
                        samples.append(time.perf_counter() - start)

        start = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(_SEARCH_CONNECTIONS)))
        self._report.fresh_per_s = round(len(samples) / (time.perf_counter() - start), 1)
        self._report.latencies["fresh recommendation"] = Latency.of(samples)

    async def get_json(self, path: str) -> Any:
        async with self._connection() as connection:
            _, body = await connection.get(path)
        return orjson.loads(body)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        connection = await Connection.open(self._port)
        try:
            yield connection
        finally:
            connection.close()

    def _recommendations(self, user: str) -> str:
        """A list with parameters that no request had before."""
        weight = f"{0.2 + 0.2 * self._random.random():.12f}"
        return f"/v1/users/{user}/recommendations?profile_weight={weight}"

    def _any_event(self, user: str, n: int) -> dict[str, Any]:
        if self._random.random() >= _NEW_ITEM_SHARE:
            return click(user, self._known())
        item = new_item(self._unseen + n)
        return {**click(user, item["item_id"]), "item_features": item["features"]}

    def _known(self) -> str:
        return f"item-{self._random.randrange(self._items)}"

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr)


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
