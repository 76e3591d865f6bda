"""The client for code on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from types import TracebackType
from typing import Self, TypeVar, Unpack, cast

import httpx

from recsvc.client import calls
from recsvc.client.answers import (
    Erased,
    Item,
    ItemsResult,
    Recommendations,
    Sent,
    SessionRecommendations,
    SimilarItems,
    Stats,
    Update,
    User,
    merged,
)
from recsvc.client.calls import (
    Call,
    Event,
    Fields,
    ItemFields,
    ListParams,
    NewItem,
    SessionParams,
    UserParams,
)
from recsvc.client.connection import Connection, arguments
from recsvc.client.exchange import Outcome, Pause, Reply, Step, exchange
from recsvc.client.stream import updates

__all__ = ["AsyncClient"]

T = TypeVar("T")


class AsyncClient:
    """Calls to one service; may be shared by tasks.

    A call is tried again after connection errors and statuses that ask for it, with exponential
    backoff, until ``deadline_s``; each try takes at most ``timeout_s``. Errors are those of
    `recsvc.client.errors`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_s: float = 5.0,
        deadline_s: float = 15.0,
        trust_env: bool = False,
    ) -> None:
        self._connection = Connection(url, api_key, timeout_s, deadline_s, trust_env)
        self._http = httpx.AsyncClient(**self._connection.options())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; a call after it raises."""
        await self._http.aclose()

    async def send(
        self,
        events: Event | Fields | Iterable[Event | Fields],
        *,
        wait: bool = False,
        timeout_s: float = 2.0,
    ) -> Sent:
        """Send one event, or 1 to 1000; with ``wait`` return once they are visible to queries."""
        return await self._do(calls.send(events, wait=wait, timeout_s=timeout_s))

    async def recommend(self, user_id: str, **params: Unpack[UserParams]) -> Recommendations:
        """Recommend to a user."""
        return await self._do(calls.recommend(user_id, params))

    async def recommend_session(self, **params: Unpack[SessionParams]) -> SessionRecommendations:
        """Recommend to a visitor by items, a text or weights."""
        return await self._do(calls.recommend_session(params))

    async def similar(self, item_id: str, **params: Unpack[ListParams]) -> SimilarItems:
        """Return the nearest items."""
        return await self._do(calls.similar(item_id, params))

    async def put_item(self, item_id: str, **item: Unpack[ItemFields]) -> ItemsResult:
        """Create or replace an item."""
        return await self._do(calls.put_item(item_id, item))

    async def put_items(self, items: Iterable[NewItem | Fields]) -> ItemsResult:
        """Create or replace any number of items, some at a time; refused ones are listed."""
        total = ItemsResult()
        for call in calls.put_items(items):
            total = merged(total, await self._do(call))
        return total

    async def get_item(self, item_id: str) -> Item:
        """Return an item as stored."""
        return await self._do(calls.get_item(item_id))

    async def delete_item(self, item_id: str) -> None:
        """Delete an item."""
        await self._do(calls.delete_item(item_id))

    async def user(self, user_id: str, *, vectors: bool = False) -> User:
        """Return what is known of a user."""
        return await self._do(calls.user(user_id, vectors=vectors))

    async def erase_user(self, user_id: str) -> Erased:
        """Erase everything held of a user."""
        return await self._do(calls.erase_user(user_id))

    async def stats(self) -> Stats:
        """Return the service's numbers."""
        return await self._do(calls.stats())

    def stream(
        self, user_id: str, *, limit: int = 10, sequence: int = 0, give_up_s: float = 300.0
    ) -> AsyncGenerator[Update, None]:
        """Give a user's recommendations as they are, and after each change.

        ``sequence``: that of an update that is known already. Lost connections are made again; it
        ends with `NotReached` once the service has been away for ``give_up_s``. Close it
        (`contextlib.aclosing`) to end it at once.
        """
        return updates(self._connection.place, user_id, limit, sequence, give_up_s)

    async def _do(self, call: Call[T]) -> T:
        steps, outcome = exchange(call, self._connection.patience), cast(Outcome, None)
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return cast(T, done.value)
            outcome = await self._take(call, step)

    async def _take(self, call: Call[T], step: Step) -> Outcome:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            response = await self._http.request(**arguments(call, step))
        except httpx.HTTPError as exc:
            return exc
        return Reply(response.status_code, response.headers, response.content)
