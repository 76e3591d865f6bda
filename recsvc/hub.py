"""The hub: who listens to which user, and one computation of what all who do are sent.

A user who is listened to has a topic. A change of the user, of the profile, or of an item that is
shown has its list computed, once for each `limit` that is wanted, at most every 50 ms, and laid out
for each listener, of whom a slow one finds the newest only. A changed item may be in the lists of
everybody, and profiles are made many at once: what these bring about is spread over two seconds,
and done after all else. Everything of a topic happens one after another, so that no older list can
follow a newer one. Nothing here waits for a client.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from random import random
from typing import Final

from indexer.errors import Overloaded, unforeseen
from indexer.ports import Change, Changes, ItemsChange, ProfileChange, UserChange
from indexer.runtime import Runtime
from indexer.telemetry import Telemetry
from recsvc.listener import Listener
from recsvc.live import LIMIT_DEFAULT
from recsvc.recommend import Options, Recommender, Recommends
from recsvc.topics import ShownItems, ToldLists, Topic, Urgency, UserKey, Wish, lay_out

__all__ = [
    "LISTENERS_MAX",
    "LISTENERS_PER_KEY_MAX",
    "SUBSCRIPTIONS_MAX",
    "USERS_PER_LISTENER_MAX",
    "Hub",
    "open_hub",
]

_log = logging.getLogger(__name__)

LISTENERS_MAX: Final = 10_000
LISTENERS_PER_KEY_MAX: Final = 1_000
USERS_PER_LISTENER_MAX: Final = 100
SUBSCRIPTIONS_MAX: Final = 100_000

_COMPUTED_AT_ONCE: Final = 8
_INTERVAL_S: Final = 0.05
_ITEMS_INTERVAL_S: Final = 2.0
_LOOK_AGAIN_S: Final = 5.0
_RETRY_S, _RETRY_MAX_S = 0.2, 5.0
_STALE_TRIES: Final = 5
"""How often a list that is older than the notice about it is asked for again before it is told."""


class Hub:
    """Tells listeners what changed users are recommended.

    ``interval_s``: how often a user's list is computed at most; ``items_interval_s``: how often
    because of changed items. ``version_of``: asks the store for a user's version (0: none); given
    where notices may be lost between processes, it is asked for every user who is listened to each
    ``look_again_s``.
    """

    def __init__(
        self,
        recommender: Recommends,
        changes: Changes,
        telemetry: Telemetry,
        *,
        interval_s: float = _INTERVAL_S,
        items_interval_s: float = _ITEMS_INTERVAL_S,
        version_of: Callable[[str, str], Awaitable[int]] | None = None,
        look_again_s: float = _LOOK_AGAIN_S,
    ) -> None:
        self._recommender, self._telemetry = recommender, telemetry
        self._interval_s, self._items_interval_s = interval_s, items_interval_s
        self._look_again_s = look_again_s
        self._version_of = version_of
        self._topics: dict[UserKey, Topic] = {}
        self._shown, self._lists = ShownItems(), ToldLists()
        self._listeners: Counter[tuple[str, str]] = Counter()
        self._open: set[Listener] = set()
        self._subscriptions = 0
        # The most urgent first, and of those in order; each topic once of each urgency.
        self._ready: asyncio.PriorityQueue[tuple[Urgency, int, int, Topic]]
        self._ready, self._order = asyncio.PriorityQueue(), count()
        self.closed = False
        changes.subscribe(self._changed)

    @property
    def listeners(self) -> int:
        """How many clients listen."""
        return len(self._open)

    @property
    def users(self) -> int:
        """How many users are listened to."""
        return len(self._topics)

    @contextmanager
    def listening(self, tenant: str, key: str) -> Iterator[Listener]:
        """Have a client listen for the length of the block; see `join`."""
        listener = self.join(tenant, key)
        try:
            yield listener
        finally:
            self.leave(listener)

    def join(self, tenant: str, key: str) -> Listener:
        """Take in a client that came with a tenant's API key of that name; `leave` ends it.

        Raises:
            Overloaded: there are too many, of this key or at all, or the hub has closed.
        """
        if self.closed:
            raise Overloaded("the service is stopping")
        if self._listeners[tenant, key] >= LISTENERS_PER_KEY_MAX:
            raise Overloaded(f"key {key!r} has {LISTENERS_PER_KEY_MAX} live connections")
        if len(self._open) >= LISTENERS_MAX:
            raise Overloaded(f"there are {LISTENERS_MAX} live connections")
        listener = Listener(self, tenant, key)
        self._open.add(listener)
        self._listeners[tenant, key] += 1
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a client and all that it listened to; doing it twice changes nothing more."""
        if listener not in self._open:
            return
        for user_id in list(listener.users):
            listener.unsubscribe(user_id)
        self._open.discard(listener)
        self._listeners[listener.tenant, listener.key] -= 1
        self._listeners += Counter()  # drops the zeros

    async def run(self) -> None:
        """Compute and tell until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_COMPUTED_AT_ONCE):
                tasks.create_task(self._work())
            if self._version_of is not None:
                tasks.create_task(self._look(self._version_of))

    def close(self) -> None:
        """Take nobody in any more, and have `Listener.next` say that it is over."""
        self.closed = True
        for listener in self._open:
            listener.wake()

    def subscribe(
        self, listener: Listener, user_id: str, limit: int | None, features: bool | None = None
    ) -> None:
        """See `Listener.subscribe`."""
        key = (listener.tenant, user_id)
        if user_id in listener.users:
            wish = self._topics[key].wishes[listener]
            wish.limit = wish.limit if limit is None else limit
            wish.features = wish.features if features is None else features
            return
        if len(listener.users) >= USERS_PER_LISTENER_MAX:
            raise Overloaded(f"a connection can listen to {USERS_PER_LISTENER_MAX} users")
        if self._subscriptions >= SUBSCRIPTIONS_MAX:
            raise Overloaded(f"there are {SUBSCRIPTIONS_MAX} subscriptions")
        topic = self._topics.setdefault(key, Topic(key))
        topic.wishes[listener] = Wish(limit or LIMIT_DEFAULT, bool(features))
        listener.users.add(user_id)
        self._subscriptions += 1

    def ask(self, listener: Listener, user_id: str, sequence: int | None, *, asks: bool) -> None:
        """See `Listener.resume`."""
        topic = self._topics[listener.tenant, user_id]
        wish = topic.wishes[listener]
        wish.known, wish.shown, wish.asked = sequence, None, asks
        self._schedule(topic)

    def unsubscribe(self, listener: Listener, user_id: str) -> None:
        """See `Listener.unsubscribe`."""
        if user_id not in listener.users:
            return
        listener.users.discard(user_id)
        self._subscriptions -= 1
        topic = self._topics[listener.tenant, user_id]
        del topic.wishes[listener]
        if not topic.wishes:
            del self._topics[topic.key]
            self._shown.put(topic, frozenset())

    def _changed(self, change: Change) -> None:
        if self.closed:
            return
        if isinstance(change, ItemsChange):
            changed = {*change.item_ids, *change.ready}
            for shows_it in self._shown.of(change.tenant, changed):
                self._schedule(shows_it, Urgency.LATER)
        elif isinstance(change, UserChange | ProfileChange):
            topic = self._topics.get((change.tenant, change.user_id))
            if topic is None:
                return
            if isinstance(change, ProfileChange):  # many are made at once
                self._schedule(topic, Urgency.LATER, random() * self._items_interval_s)
            else:
                self._user_changed(topic, change)

    def _user_changed(self, topic: Topic, change: UserChange) -> None:
        if change.version == 0:  # what comes may have a version that was told before
            topic.wanted, topic.told = 0, None
            for wish in topic.wishes.values():
                wish.known = None
        else:
            topic.wanted = max(topic.wanted, change.version)
        self._schedule(topic)

    def _schedule(
        self, topic: Topic, urgency: Urgency = Urgency.SOON, pause_s: float = 0.0
    ) -> None:
        """Have a topic computed as soon as may be; what is under way is done once more."""
        if topic.computing:
            topic.again = min(topic.again, urgency)
        elif urgency < topic.waiting:
            topic.waiting = urgency
            topic.turn += 1  # an entry of less urgency counts no more
            entry = (urgency, next(self._order), topic.turn, topic)
            loop = asyncio.get_running_loop()
            may_be = topic.ready_at if urgency is Urgency.SOON else topic.later_at
            at = max(may_be, topic.ready_at, loop.time() + pause_s)
            if at <= loop.time():
                self._ready.put_nowait(entry)
            else:
                loop.call_at(at, self._ready.put_nowait, entry)

    async def _work(self) -> None:
        while True:
            urgency, _, turn, topic = await self._ready.get()
            if turn != topic.turn:
                continue
            topic.waiting = topic.again = Urgency.NEVER
            now = asyncio.get_running_loop().time()
            topic.ready_at = now + self._interval_s
            if urgency is Urgency.LATER:
                topic.later_at = now + self._items_interval_s
            topic.computing = True
            try:
                pause_s = await self._attempt(topic)
            finally:
                topic.computing = False
            again = topic.again if pause_s is None else min(topic.again, urgency)
            if topic.wishes and again is not Urgency.NEVER:
                self._schedule(topic, again, pause_s or 0.0)

    async def _attempt(self, topic: Topic) -> float | None:
        """Compute and tell; return after which pause it is to be done again, if so."""
        try:
            current = await self._tell(topic)
        except Exception as exc:  # noqa: BLE001 - counted, and tried again
            self._telemetry.count("failures", "push")
            _log.warning("a list was not pushed: %s", exc, exc_info=unforeseen(exc))
            topic.failed += 1
            return float(min(_RETRY_MAX_S, _RETRY_S * 2 ** min(topic.failed, 10)))
        topic.failed = 0
        return None if current else 0.0

    async def _tell(self, topic: Topic) -> bool:
        """Lay out lists for all who listen; False where the store is behind the notice."""
        wanted, shown = topic.wanted, set[str]()
        for limit in sorted({wish.limit for wish in topic.wishes.values()}):
            answer = await self._recommender.for_user(*topic.key, Options(limit=limit))
            version = int(answer["user_version"])
            if version < min(wanted, topic.wanted) and topic.stale < _STALE_TRIES:
                topic.stale += 1
                return False
            lay_out(topic, limit, answer, self._lists)
            shown.update(item["item_id"] for item in answer["items"])
            topic.told = version
        if topic.wishes:  # else it was given up meanwhile
            self._shown.put(topic, frozenset(shown))
        topic.stale = 0
        if topic.wanted <= wanted:
            topic.wanted = 0
        return True

    async def _look(self, version_of: Callable[[str, str], Awaitable[int]]) -> None:
        """Find the changes whose notices were lost, one user after another."""
        while True:
            await asyncio.sleep(self._look_again_s)
            for topic in list(self._topics.values()):
                try:
                    version = await version_of(*topic.key)
                except Exception as exc:  # noqa: BLE001 - counted, and looked at again
                    self._telemetry.count("failures", "push")
                    _log.warning("a version was not read: %s", exc, exc_info=unforeseen(exc))
                    break  # of the others it would not be, either
                if topic.told is None:
                    topic.told = version
                elif topic.told != version:
                    self._schedule(topic)


def open_hub(runtime: Runtime, recommender: Recommender) -> Hub:
    """Make the hub of a process; nothing is told until it runs."""

    async def version_of(tenant: str, user_id: str) -> int:
        state = await runtime.states.get(tenant, user_id)
        return state.version if state is not None else 0

    return Hub(
        recommender,
        runtime.changes,
        runtime.telemetry,
        version_of=version_of if runtime.shared is not None else None,
    )
