"""Recall at 10 of the embedded store's search against exact search, on the sample catalogue.

Queries are what users' queries are: one item (similar items), and mixtures of a few items (tastes).
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
from qdrant_client import models

from indexer.domain.items import Item
from indexer.domain.vectors import Vector, unit
from indexer.runtime import Runtime, open_runtime
from indexer.settings import load_settings
from indexer.stores.schema import ITEMS
from recsvc.sample import ITEMS as SAMPLE

_MIXED = (1, 3, 10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=300, help="of each kind (default 300)")
    parser.add_argument("--embedder", choices=["auto", "wordllama", "hashed"], default="auto")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recsvc-recall-") as folder:
        recall = asyncio.run(_measure(Path(folder), args.queries, args.embedder))
    return 0 if recall >= 0.99 else 1


async def _measure(folder: Path, queries: int, embedder: str) -> float:
    settings = load_settings(data_dir=folder, offline_embedder=embedder)
    async with open_runtime(settings) as runtime:
        ids = await _load(runtime)
        vectors = await runtime.items.vectors("default", ids)
        total = 0.0
        for mixed in _MIXED:
            asked = _queries(list(vectors.values()), mixed, queries)
            recall, fast_ms, exact_ms = await _compare(runtime, asked)
            total += recall / len(_MIXED)
            print(
                f"queries of {mixed:>2} items: recall@10 {recall:.4f}, "
                f"p50 {fast_ms:.2f} ms (exact {exact_ms:.2f} ms)"
            )
        print(f"{runtime.models.embedder.name}, {len(vectors)} items: recall@10 {total:.4f}")
    return total


async def _load(runtime: Runtime) -> list[str]:
    rows = [orjson.loads(line) for line in gzip.decompress(SAMPLE.read_bytes()).splitlines()]
    items = [Item("default", row["item_id"], row["features"]) for row in rows]
    for start in range(0, len(items), 500):
        result = await runtime.catalogue.put("default", items[start : start + 500])
        if result.pending:
            sys.exit(f"not embedded: {result.pending[:3]}")
    return [item.item_id for item in items]


def _queries(vectors: Sequence[Vector], mixed: int, count: int) -> list[list[float]]:
    rng = np.random.default_rng(mixed)
    stacked = np.stack(vectors)
    picks = [rng.choice(len(stacked), mixed, replace=False) for _ in range(count)]
    return [unit(stacked[pick].sum(0), stacked.shape[1], "query").tolist() for pick in picks]


async def _compare(runtime: Runtime, queries: Sequence[list[float]]) -> tuple[float, float, float]:
    found, fast_ms = await _search(runtime, queries, None)
    exact, exact_ms = await _search(runtime, queries, models.SearchParams(exact=True))
    hits = [len(a & b) / len(b) for a, b in zip(found, exact, strict=True)]
    return float(np.mean(hits)), fast_ms, exact_ms


async def _search(
    runtime: Runtime, queries: Sequence[list[float]], params: models.SearchParams | None
) -> tuple[list[set[str]], float]:
    found, took = [], []
    for query in queries:
        start = time.perf_counter()
        hits = await runtime.store.query_points(
            ITEMS, query, using="content", search_params=params, limit=10, with_payload=False
        )
        took.append(time.perf_counter() - start)
        found.append({hit.id for hit in hits})
    return found, float(np.median(took)) * 1e3


if __name__ == "__main__":
    sys.exit(main())
