"""A small shop over the application in process: a catalogue, a client, and short calls."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from indexer.runtime import Runtime, open_runtime
from indexer.settings import load_settings
from recsvc.app import create_app
from recsvc.security import Keyring

DIM = 256
PATIENCE_S = 15.0
PROBLEM = "application/problem+json"

_WORDS = {
    "garden": ("watering can", "spade", "rake", "flower pot", "hedge trimmer"),
    "kitchen": ("saucepan", "kettle", "whisk", "frying pan", "chef knife"),
    "novels": ("space opera", "murder mystery", "romance saga", "ghost story", "western epic"),
    "sport": ("football", "tennis racket", "running shoes", "yoga mat", "dumbbell"),
}
_TAGS = {
    "garden": ["outdoor", "plants"],
    "kitchen": ["cooking", "steel"],
    "novels": ["paperback", "reading"],
    "sport": ["fitness", "team"],
}
_numbers = itertools.count()


def catalogue() -> list[dict[str, Any]]:
    """Sixty items, fifteen of each category; price 5 to 75, every third out of stock."""
    return [
        {
            "item_id": f"{category}-{n:02d}",
            "features": {
                "title": f"{words[n % len(words)]} number {n}",
                "category": category,
                "price": 5 * (n + 1) if n % 2 else 5.0 * (n + 1),
                "tags": [*_TAGS[category], *(["gift"] if n % 5 == 0 else [])],
                "in_stock": n % 3 != 0,
            },
        }
        for category, words in _WORDS.items()
        for n in range(15)
    ]


CATEGORIES = tuple(_WORDS)
ITEMS = {item["item_id"]: item["features"] for item in catalogue()}


def fresh(kind: str = "user") -> str:
    """An id that no other test has used."""
    return f"{kind}-{next(_numbers)}"


def event(user_id: str, item_id: str, event_type: str = "click", **more: Any) -> dict[str, Any]:
    """One event on an item."""
    return {"user_id": user_id, "event_type": event_type, "item_id": item_id, **more}


class Shop:
    """The application and what tests ask of it."""

    def __init__(self, client: httpx.AsyncClient, runtime: Runtime, app: FastAPI) -> None:
        self.client, self.runtime, self.app = client, runtime, app

    async def send(self, *events: dict[str, Any]) -> dict[str, Any]:
        """Send events and wait until they are folded."""
        answer = await self.client.post(
            "/v1/events", json=list(events), params={"wait": "applied", "timeout_s": 10}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def recommend(self, user_id: str, **params: Any) -> dict[str, Any]:
        """Ask for a user's recommendations, which must succeed."""
        answer = await self.client.get(f"/v1/users/{user_id}/recommendations", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def session(self, **body: Any) -> dict[str, Any]:
        """Ask for a session's recommendations, which must succeed."""
        answer = await self.client.post("/v1/recommendations", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def user(self, user_id: str, **params: Any) -> dict[str, Any]:
        """Look at a user, who must be known."""
        answer = await self.client.get(f"/v1/users/{user_id}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def put(self, *items: dict[str, Any]) -> dict[str, Any]:
        """Store items."""
        answer = await self.client.post("/v1/items", json=list(items))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def counted(self) -> None:
        """Wait until what events taught about items is counted."""

        async def done() -> bool:
            return await self.runtime.feed.lag("pairs") == 0

        await until(done)

    async def stored_events(self) -> int:
        """Count the events that the log holds."""
        answer = await self.client.get("/v1/stats")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["totals"]["events"])

    async def profile(self, user_id: str) -> dict[str, Any]:
        """Wait for a user's profile."""

        async def found() -> Any:
            return (await self.user(user_id))["profile"]

        profile: dict[str, Any] = await until(found)
        return profile


def ids(answer: dict[str, Any]) -> list[str]:
    """The item ids of an answer, in order."""
    return [item["item_id"] for item in answer["items"]]


def categories(answer: dict[str, Any]) -> list[str]:
    """The categories of an answer's items, in order."""
    return [item["features"]["category"] for item in answer["items"]]


def refused(answer: httpx.Response, status: int = 422) -> dict[str, Any]:
    """Check that an answer is problem details of that status, and return them."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"]
    assert problem["title"]
    assert problem["detail"]
    if status == 422:
        assert problem["errors"], problem
        assert all(set(error) == {"loc", "msg"} for error in problem["errors"])
    return problem


def locations(problem: dict[str, Any]) -> list[list[Any]]:
    """Where the refused fields are."""
    return [error["loc"] for error in problem["errors"]]


async def until(ask: Callable[[], Awaitable[Any]], patience_s: float = PATIENCE_S) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = await ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, "what was waited for did not come"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def open_shop(
    folder: Path, *, keys: Path | None = None, items: bool = True, **settings: Any
) -> AsyncIterator[Shop]:
    """Open the application over ``folder``, with the catalogue unless ``items`` is False."""
    given = {"offline_embedder": "hashed", "embedding_dim": DIM, **settings}
    async with open_runtime(load_settings(data_dir=folder, _env_file=None, **given)) as runtime:
        app = create_app(runtime, Keyring(keys))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            yield await _filled(Shop(client, runtime, app), items=items)


async def _filled(shop: Shop, *, items: bool) -> Shop:
    await until(lambda: _follows(shop))
    if items:
        result = await shop.put(*catalogue())
        assert result["stored"] == len(ITEMS), result
    return shop


async def _follows(shop: Shop) -> bool:
    return len(shop.runtime.feed.owned) == shop.runtime.log.partitions


def chunks(body: bytes, size: int) -> Iterator[bytes]:
    """Cut a body into pieces."""
    for start in range(0, len(body), size):
        yield body[start : start + size]
