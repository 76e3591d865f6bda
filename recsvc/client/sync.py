"""The client for code that blocks."""

from __future__ import annotations

import time
from collections.abc import Iterable
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

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """Calls to one service; may be shared by threads.

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
        self._http = httpx.Client(**self._connection.options())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a call after it raises."""
        self._http.close()

    def send(
        self,
        events: Event | Fields | Iterable[Event | Fields],
        *,
        wait: bool = False,
        timeout_s: float = 2.0,
    ) -> Sent:
        """Send one event, or 1 to 1000; with ``wait`` return once they are visible to queries."""
        return self._do(calls.send(events, wait=wait, timeout_s=timeout_s))

    def recommend(self, user_id: str, **params: Unpack[UserParams]) -> Recommendations:
        """Recommend to a user."""
        return self._do(calls.recommend(user_id, params))

    def recommend_session(self, **params: Unpack[SessionParams]) -> SessionRecommendations:
        """Recommend to a visitor by items, a text or weights."""
        return self._do(calls.recommend_session(params))

    def similar(self, item_id: str, **params: Unpack[ListParams]) -> SimilarItems:
        """Return the nearest items."""
        return self._do(calls.similar(item_id, params))

    def put_item(self, item_id: str, **item: Unpack[ItemFields]) -> ItemsResult:
        """Create or replace an item."""
        return self._do(calls.put_item(item_id, item))

    def put_items(self, items: Iterable[NewItem | Fields]) -> ItemsResult:
        """Create or replace any number of items, some at a time; refused ones are listed."""
        total = ItemsResult()
        for call in calls.put_items(items):
            total = merged(total, self._do(call))
        return total

    def get_item(self, item_id: str) -> Item:
        """Return an item as stored."""
        return self._do(calls.get_item(item_id))

    def delete_item(self, item_id: str) -> None:
        """Delete an item."""
        self._do(calls.delete_item(item_id))

    def user(self, user_id: str, *, vectors: bool = False) -> User:
        """Return what is known of a user."""
        return self._do(calls.user(user_id, vectors=vectors))

    def erase_user(self, user_id: str) -> Erased:
        """Erase everything held of a user."""
        return self._do(calls.erase_user(user_id))

    def stats(self) -> Stats:
        """Return the service's numbers."""
        return self._do(calls.stats())

    def _do(self, call: Call[T]) -> T:
        steps, outcome = exchange(call, self._connection.patience), cast(Outcome, None)
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return cast(T, done.value)
            outcome = self._take(call, step)

    def _take(self, call: Call[T], step: Step) -> Outcome:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            response = self._http.request(**arguments(call, step))
        except httpx.HTTPError as exc:
            return exc
        return Reply(response.status_code, response.headers, response.content)
