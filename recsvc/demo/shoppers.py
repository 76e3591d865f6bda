"""Simulated shoppers: readers of the sample who go on where half of their ratings end.

What a shopper comes for is the next book that the reader really rated, with the events that lead to
it and the real rating at the end; in between they take up what they are recommended, by how well it
suits what they rated well.
"""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import httpx

from recsvc.demo.readers import Reader

__all__ = ["Shopper", "Shoppers"]

Event = dict[str, Any]
Items = Mapping[str, Mapping[str, Any]]
"""The features of each item of the catalogue, by its id."""
Look = Callable[[str], Awaitable[list[str]]]
"""Gives the item ids that a user is recommended, the best first; none where that is refused."""

_SHOWN: Final = 10
_BROWSES: Final = 0.4
"""How often a visit takes up the list instead of the next real rating."""
_SEARCHES: Final = 0.3
_GOOD: Final = 4
"""A book rated as well as this is bought."""
_SUITS: Final = 0.5
"""Share of a book's genres in what a shopper likes, from which they buy it."""
_CURIOUS: Final = 0.2
"""What draws a shopper to a book of none of the genres that they like."""
_LIKED: Final = 5
"""How many genres a shopper likes."""
_LATE_S: Final = 1.0
_PAUSE_S: Final = 1.0


class Shopper:
    """One reader in the shop: events of their own, one after another, until they have no more."""

    def __init__(self, reader: Reader, items: Items, chance: random.Random) -> None:
        half = len(reader.ratings) // 2
        self.user_id = reader.user_id
        self.past = list(reader.ratings[:half])
        self.is_in = False
        self._coming = deque(reader.ratings[half:])
        self._items, self._chance = items, chance
        self._ahead: deque[Event] = deque()
        good = [rating for rating in self.past if rating["value"] >= _GOOD]
        self._likes = Counter(g for rating in good for g in self._genres(rating["item_id"]))

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do."""
        return not self._ahead and not self._coming

    async def next(self, look: Look) -> Event:
        """Return the event that is to be sent next; for some, the shopper looks at their list."""
        if not self._ahead:
            self._ahead.extend(await self._plan(look))
        return self._ahead[0]

    def sent(self) -> None:
        """Go on from the event that `next` returned."""
        self._ahead.popleft()

    async def _plan(self, look: Look) -> list[Event]:
        if self._chance.random() < _BROWSES and (shown := await look(self.user_id)):
            return self._take_up(shown)
        return self._visit(self._coming.popleft())

    def _take_up(self, shown: Sequence[str]) -> list[Event]:
        """Choose among the ids of a list by what suits and by place, of which 0 is the best."""
        weights = [(_CURIOUS + self._suits(one)) / (n + 1) for n, one in enumerate(shown)]
        [item_id] = self._chance.choices(shown, weights)
        types = ["view", "click"]
        if self._suits(item_id) >= _SUITS:
            types += ["add_to_cart", "purchase"]
        return [self._event(one, item_id=item_id) for one in types]

    def _visit(self, rating: Event) -> list[Event]:
        item_id, value = rating["item_id"], rating["value"]
        about = [self._event(one, item_id=item_id) for one in ("view", "click")]
        if self._chance.random() < _SEARCHES:
            about.insert(0, self._event("search", query=_query(self._items[item_id])))
        if value >= _GOOD:
            about += [self._event(one, item_id=item_id) for one in ("add_to_cart", "purchase")]
        return [*about, self._event("rate", item_id=item_id, value=value)]

    def _event(self, event_type: str, **fields: Any) -> Event:
        event_id = f"demo-{uuid.uuid4().hex}"
        return {"event_id": event_id, "user_id": self.user_id, "event_type": event_type, **fields}

    def _suits(self, item_id: str) -> float:
        """Return the share of an item's genres that the shopper likes."""
        genres = self._genres(item_id)
        liked = {genre for genre, _ in self._likes.most_common(_LIKED)}
        return len(liked & set(genres)) / len(genres) if genres else 0.0

    def _genres(self, item_id: str) -> list[str]:
        return list(self._items.get(item_id, {}).get("genres", ()))


class Shoppers:
    """``count`` shoppers at a time who send ``rate`` events a second together.

    The readers take turns: who has no more to do makes room for the next, and after the last the
    first comes again. A refused event is passed over; one that the service could not take is sent
    again, after a pause. ``sent`` counts events, ``refused`` and ``unanswered`` requests.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        readers: Sequence[Reader],
        items: Items,
        *,
        count: int,
        rate: float,
        seed: int | None = None,
    ) -> None:
        self._client, self._items, self._rate = client, items, rate
        self._chance = random.Random(seed)
        self._waiting = deque(readers)
        self._in = [self._enter() for _ in range(min(count, len(readers)))]
        self.sent = self.refused = self.unanswered = 0

    async def run(self) -> None:
        """Shop until cancelled."""
        clock = asyncio.get_running_loop()
        due = clock.time()
        while self._in:
            await asyncio.sleep(due - clock.time())
            if not await self._turn(self._chance.randrange(len(self._in))):
                await asyncio.sleep(_PAUSE_S)
            gap = self._chance.uniform(0.5, 1.5) / self._rate
            due = max(due, clock.time() - _LATE_S) + gap

    async def _turn(self, place: int) -> bool:
        """Have one shopper do one thing; tell whether the service could answer."""
        shopper = self._in[place]
        try:
            if not shopper.is_in:
                shopper.is_in = could = await self._send(*shopper.past)
                return could
            could = await self._send(await shopper.next(self._shown))
        except httpx.TransportError:
            self.unanswered += 1
            return False
        if could:
            shopper.sent()
        if shopper.is_done:
            self._in[place] = self._enter()
        return could

    async def _send(self, *events: Event) -> bool:
        """Send events; tell whether they need not be sent again."""
        answer = await self._client.post("/v1/events", json=events)
        if answer.is_success:
            self.sent += len(events)
        else:
            self.refused += 1
        return not answer.is_server_error

    async def _shown(self, user_id: str) -> list[str]:
        path = f"/v1/users/{user_id}/recommendations"
        answer = await self._client.get(path, params={"limit": _SHOWN})
        if answer.is_success:
            return [item["item_id"] for item in answer.json()["items"]]
        self.refused += 1
        return []

    def _enter(self) -> Shopper:
        reader = self._waiting.popleft()
        self._waiting.append(reader)
        return Shopper(reader, self._items, self._chance)


def _query(features: Mapping[str, Any]) -> str:
    """Return what one would type to find a book: its title without the series, or whose it is."""
    title = re.sub(r"\s*\(.*", "", str(features.get("title", "")))
    authors = features.get("authors") or [""]
    return (title or str(authors[0]) or "a book").lower()
