"""Latency of a fresh list with everything on against a plain nearest-neighbour search, and the time
that counting what goes together takes an event, in one process, 20,000 items by default.

Shoppers keep to two or three categories each; lists are asked right after an event, so that nothing
of them is cached.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from indexer.domain.events import Event
from indexer.domain.ids import DEFAULT_TENANT, new_event_id
from indexer.domain.items import Item
from indexer.ports import ItemRecord
from indexer.runtime import Runtime, open_runtime
from indexer.settings import load_settings
from indexer.stores.points import scoped
from indexer.stores.schema import ITEMS
from recsvc.bench.catalogue import new_item
from recsvc.recommend import Options, Recommender

_CHUNK = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=30_000, help="before measuring")
    parser.add_argument("--lists", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recsvc-ranking-") as folder:
        asyncio.run(_measure(Path(folder), args.items, args.events, args.lists))


async def _measure(folder: Path, items: int, events: int, lists: int) -> None:
    settings = load_settings(data_dir=folder, profile_model="counter")
    async with open_runtime(settings, background=False) as runtime:
        recommender = Recommender(runtime, None)
        runtime.applier.learner = recommender.learner()
        catalogue = [new_item(n) for n in range(items)]
        await _load(runtime, catalogue)
        shoppers = _Shoppers(catalogue)
        await _send(runtime, [shoppers.event() for _ in range(events)])
        started = time.perf_counter()
        more = [shoppers.event() for _ in range(2_000)]
        writing = _Timed(runtime)
        seconds = await _send(runtime, more)
        print(f"an event, in batches of {_CHUNK}: {seconds / len(more) * 1e3:.2f} ms, of which")
        steps = runtime.telemetry.percentiles()
        pairs_ms = steps["pairs"]["p50"] / settings.batch_size
        writing_ms = writing.seconds / len(more) * 1e3
        print(f"  counting what goes together {pairs_ms:.3f} ms, writing it {writing_ms:.3f} ms")
        await _lists(runtime, recommender, shoppers, lists)
        print(f"({time.perf_counter() - started:.0f} s)")


async def _load(runtime: Runtime, catalogue: list[dict[str, object]]) -> None:
    for start in range(0, len(catalogue), _CHUNK):
        rows = [
            Item(DEFAULT_TENANT, str(one["item_id"]), one["features"])  # type: ignore[arg-type]
            for one in catalogue[start : start + _CHUNK]
        ]
        await runtime.log.append_items([ItemRecord(0, i.tenant, i.item_id, i) for i in rows])
        await runtime.item_worker.catch_up()


async def _send(runtime: Runtime, events: list[Event]) -> float:
    started = time.perf_counter()
    for start in range(0, len(events), _CHUNK):
        await runtime.log.append(events[start : start + _CHUNK])
        await runtime.worker.catch_up()
    return time.perf_counter() - started


class _Timed:
    """A flush that adds up how long it takes."""

    def __init__(self, runtime: Runtime) -> None:
        self._flush, self.seconds = runtime.neighbours.flush, 0.0
        runtime.neighbours.flush = self  # type: ignore[method-assign]

    async def __call__(self) -> None:
        started = time.perf_counter()
        await self._flush()
        self.seconds += time.perf_counter() - started


async def _lists(
    runtime: Runtime, recommender: Recommender, shoppers: _Shoppers, lists: int
) -> None:
    plain, full = [], []
    for n in range(lists):
        event = shoppers.event(n % 50)
        await _send(runtime, [event])
        await runtime.refresher.refresh((DEFAULT_TENANT, event.user_id))
        assert event.item_id is not None
        vectors = await runtime.items.vectors(DEFAULT_TENANT, [event.item_id])
        vector = vectors[event.item_id].tolist()
        started = time.perf_counter()
        await runtime.store.query_points(
            ITEMS, vector, using="content", query_filter=scoped(DEFAULT_TENANT), limit=10
        )
        plain.append(time.perf_counter() - started)
        started = time.perf_counter()
        answer = await recommender.for_user(DEFAULT_TENANT, event.user_id, Options())
        full.append(time.perf_counter() - started)
        assert len(answer["items"]) == 10
    ratio = statistics.median(f / p for f, p in zip(full, plain, strict=True))
    print(
        f"plain search p50 {statistics.median(plain) * 1e3:.2f} ms, "
        f"fresh list p50 {statistics.median(full) * 1e3:.2f} ms: {ratio:.1f} x"
    )


class _Shoppers:
    """Two hundred shoppers, each with two or three categories and a walk among their items."""

    def __init__(self, catalogue: list[dict[str, object]], seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._by_category: dict[str, list[str]] = {}
        for one in catalogue:
            features = one["features"]
            assert isinstance(features, dict)
            self._by_category.setdefault(features["category"], []).append(str(one["item_id"]))
        names = sorted(self._by_category)
        self._tastes = [self._random.sample(names, 2 + n % 2) for n in range(200)]

    def event(self, shopper: int | None = None) -> Event:
        """Return the next event of a shopper, or of any."""
        number = self._random.randrange(len(self._tastes)) if shopper is None else shopper
        items = self._by_category[self._random.choice(self._tastes[number])]
        item_id = items[min(int(self._random.paretovariate(0.6)) - 1, len(items) - 1)]
        return Event(
            DEFAULT_TENANT, f"shopper-{number}", new_event_id(), "click", time.time(), item_id
        )


if __name__ == "__main__":
    main()
