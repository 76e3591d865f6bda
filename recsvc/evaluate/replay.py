"""Plays events to a real recommender and asks it for lists: in this process, or over HTTP.

In this process it is the same log, fold, store and ranking as in the service, driven one step at a
time, so that two runs give the same figures. Profiles, which a service counts by the clock, are
counted before each list.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from indexer.domain.events import Event
from indexer.domain.ids import DEFAULT_TENANT
from indexer.domain.items import Item
from indexer.errors import StoreUnavailable
from indexer.ports import ItemRecord
from indexer.runtime import Runtime, open_runtime
from indexer.settings import Settings, load_settings
from indexer.streams.codec import event_fields
from recsvc.evaluate.metrics import LIST_MAX
from recsvc.recommend import Options, Recommender

__all__ = ["Route", "in_process", "over_http"]

_CHUNK: Final = 500
_SEEN_MAX: Final = 5_000


class Route(Protocol):
    """A way to a recommender."""

    async def load(self, items: Sequence[Item]) -> None:
        """Fill the catalogue."""
        ...

    async def send(self, events: Sequence[Event]) -> None:
        """Have events folded."""
        ...

    async def ask(self, user_id: str, at: float) -> list[str]:
        """Return the ids of the best `LIST_MAX` items for a user as of ``at``, best first."""
        ...

    async def content(self, item_ids: Sequence[str], /) -> NDArray[np.float32] | None:
        """Return the items' vectors ``(n, d)``, where they are to be had."""
        ...


class _InProcess:
    def __init__(self, runtime: Runtime, recommender: Recommender, *, profiles: bool) -> None:
        self._runtime, self._recommender = runtime, recommender
        self._profiles = profiles

    async def load(self, items: Sequence[Item]) -> None:
        records = [ItemRecord(0, item.tenant, item.item_id, item) for item in items]
        for start in range(0, len(records), _CHUNK):
            await self._runtime.log.append_items(records[start : start + _CHUNK])
            await self._runtime.item_worker.catch_up()

    async def send(self, events: Sequence[Event]) -> None:
        for start in range(0, len(events), _CHUNK):
            await self._runtime.log.append(events[start : start + _CHUNK])
            await self._runtime.worker.catch_up()

    async def ask(self, user_id: str, at: float) -> list[str]:
        if self._profiles:
            await self._runtime.refresher.refresh((DEFAULT_TENANT, user_id))
        options = Options(limit=LIST_MAX, at=at)
        answer = await self._recommender.for_user(DEFAULT_TENANT, user_id, options)
        return [item["item_id"] for item in answer["items"]]

    async def content(self, item_ids: Sequence[str], /) -> NDArray[np.float32] | None:
        vectors = await self._runtime.items.vectors(DEFAULT_TENANT, item_ids)
        rows = np.zeros((len(item_ids), self._runtime.items.dim), np.float32)
        for place, item_id in enumerate(item_ids):
            if item_id in vectors:
                rows[place] = vectors[item_id]
        return rows


@asynccontextmanager
async def in_process(
    without: frozenset[str] = frozenset(), *, single_vector: bool = False, **given: Any
) -> AsyncIterator[Route]:
    """Open a recommender in a folder of its own; ``given`` are settings.

    ``without``: components of the ranking to leave out. ``single_vector``: all that a user likes
    is one average, instead of several interests.
    """
    with tempfile.TemporaryDirectory(prefix="recsvc-evaluate-") as folder:
        async with open_runtime(_settings(Path(folder), given), background=False) as runtime:
            recommender = Recommender(runtime, None, without=without, single_vector=single_vector)
            runtime.applier.learner = recommender.learner()
            yield _InProcess(runtime, recommender, profiles="profile" not in without)


def _settings(folder: Path, given: dict[str, Any]) -> Settings:
    fixed = {"data_dir": folder, "qdrant_url": "edge", "seen_max": _SEEN_MAX}
    return load_settings(**{**fixed, "profile_model": "counter", **given})


class _OverHttp:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def load(self, items: Sequence[Item]) -> None:
        for start in range(0, len(items), _CHUNK):
            rows = [_item_fields(item) for item in items[start : start + _CHUNK]]
            await self._call("POST", "/v1/items", content=orjson.dumps(rows))

    async def send(self, events: Sequence[Event]) -> None:
        for start in range(0, len(events), _CHUNK):
            rows = [
                {k: v for k, v in event_fields(event).items() if v is not None}
                for event in events[start : start + _CHUNK]
            ]
            await self._call(
                "POST", "/v1/events?wait=applied&timeout_s=30", content=orjson.dumps(rows)
            )

    async def ask(self, user_id: str, at: float) -> list[str]:
        path = f"/v1/users/{user_id}/recommendations?limit={LIST_MAX}&at={at!r}"
        answer = await self._call("GET", path)
        return [item["item_id"] for item in answer["items"]]

    async def content(self, _: Sequence[str], /) -> NDArray[np.float32] | None:
        return None

    async def _call(self, method: str, path: str, **sent: Any) -> Any:
        try:
            response = await self._client.request(method, path, **sent)
        except httpx.TransportError as exc:
            raise StoreUnavailable(f"the service does not answer: {exc!r}") from exc
        if not response.is_success:
            raise StoreUnavailable(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return response.json()


@asynccontextmanager
async def over_http(url: str, api_key: str | None) -> AsyncIterator[Route]:
    """Ask a running service, which should be empty: what it holds counts, too."""
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=60.0, trust_env=False
    ) as client:
        yield _OverHttp(client)


def _item_fields(item: Item) -> dict[str, Any]:
    fields = {
        "item_id": item.item_id,
        "features": item.features,
        "text": item.text,
        "available_from": item.available_from,
        "available_until": item.available_until,
    }
    return {name: value for name, value in fields.items() if value is not None}
