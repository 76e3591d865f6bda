"""What sends webhooks, over a store, a log and endpoints of the tests' own, which fail as told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from indexer.changes.memory import MemoryChanges
from indexer.domain.events import Event
from indexer.domain.position import partition_of
from indexer.domain.state import UserState
from indexer.errors import StoreUnavailable
from indexer.ports import DeadLetter, EventFailed, EventRecord, UserChange
from indexer.stores.webhooks import Document
from indexer.telemetry import Telemetry
from recsvc.recommend import Options
from recsvc.webhooks.backlog import Backlog
from recsvc.webhooks.client import Answer, Message
from recsvc.webhooks.dispatch import Dispatcher
from recsvc.webhooks.feeder import Feeder
from recsvc.webhooks.lane import Lane
from recsvc.webhooks.lanes import Lanes
from recsvc.webhooks.messages import Messages
from recsvc.webhooks.model import Delivery, Secret, Tally, Webhook
from recsvc.webhooks.notices import Notices
from recsvc.webhooks.places import Places
from recsvc.webhooks.registry import Registry
from recsvc.webhooks.sender import Sender, ToldUsers
from recsvc.webhooks.signing import new_secret

LOG = "a log"


class Points:
    """Documents in memory. ``failing``: how many of the next calls fail, by name and kind.

    ``before``: called with name and kind before a call is done.
    """

    def __init__(self) -> None:
        self.there: dict[tuple[str, str], Document] = {}
        self.failing: Counter[str] = Counter()
        self.before: Callable[[str, str], None] = lambda _name, _kind: None

    async def _called(self, name: str, kind: str) -> None:
        self.before(name, kind)
        await asyncio.sleep(0)
        if self.failing[f"{name} {kind}"]:
            self.failing[f"{name} {kind}"] -= 1
            raise StoreUnavailable("away")

    async def put(self, documents: Sequence[Document]) -> None:
        if documents:
            await self._called("put", documents[0].kind)
        self.there.update(((one.kind, one.key), one) for one in documents)

    async def get(self, kind: str, keys: Sequence[str]) -> list[Document]:
        await self._called("get", kind)
        return [self.there[kind, key] for key in keys if (kind, key) in self.there]

    async def find(
        self, kind: str, labels: Mapping[str, str] | None = None, limit: int | None = None
    ) -> list[Document]:
        await self._called("find", kind)
        return self._having(kind, labels or {})[:limit]

    async def count(self, kind: str, labels: Mapping[str, str]) -> int:
        return len(self._having(kind, labels))

    async def delete(self, documents: Iterable[Document]) -> None:
        documents = list(documents)
        if documents:
            await self._called("delete", documents[0].kind)
        for one in documents:
            self.there.pop((one.kind, one.key), None)

    async def delete_deliveries(self, webhook_id: str) -> None:
        await self.delete(self._having("delivery", {"webhook_id": webhook_id}))

    async def erase_user(self, tenant: str, user_id: str) -> None:
        await self.delete(self._having("delivery", {"tenant": tenant, "user_id": user_id}))

    def deliveries(self, **labels: str) -> list[Delivery]:
        """What is stored, looked at without asking."""
        return [Delivery(**one.body) for one in self._having("delivery", labels)]

    def _having(self, kind: str, labels: Mapping[str, str]) -> list[Document]:
        return [
            one
            for one in self.there.values()
            if one.kind == kind and labels.items() <= dict(one.labels).items()
        ]


class Log:
    """Partitions of events and dead letters. ``broken``: partitions that cannot be read."""

    partitions = 2

    def __init__(self) -> None:
        self.records: list[EventRecord] = []
        self.letters: list[DeadLetter] = []
        self.broken: set[int] = set()

    async def read(self, partition: int, after: int, limit: int) -> list[EventRecord]:
        if partition in self.broken:
            raise ValueError("no event")
        here = [one for one in self.records if one.partition == partition and one.offset > after]
        return sorted(here, key=lambda one: one.offset)[:limit]

    async def dead_letters_after(
        self, partition: int, after: int, *, limit: int, tenant: str | None = None
    ) -> list[DeadLetter]:
        await asyncio.sleep(0)
        found = [
            one
            for one in self.letters
            if one.position.get(partition, 0) > after and tenant in (None, one.tenant)
        ]
        return sorted(found, key=lambda one: one.position[partition])[:limit]

    async def ends(self, _channel: str) -> dict[int, int]:
        return dict.fromkeys(range(self.partitions), 0)


class Feed:
    """What is owned and applied, as the test says; an ``epoch`` is of all partitions."""

    def __init__(self, owned: Iterable[int]) -> None:
        self.applied = dict.fromkeys(owned, 0)
        self.epochs: Counter[int] = Counter(self.applied.keys())

    @property
    def owned(self) -> frozenset[int]:
        return frozenset(self.applied)

    def positions(self, _channel: str) -> dict[int, int]:
        return dict(self.applied)

    def epoch(self, partition: int) -> int:
        return self.epochs[partition]


class Recommends:
    """Lists that name the version that they are of. ``fails``: how many cannot be made."""

    def __init__(self, place: Sending) -> None:
        self._place = place
        self.fails = 0

    async def for_user(self, tenant: str, user_id: str, _options: Options) -> dict[str, Any]:
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("away")
        state = self._place.states_of[tenant, user_id]
        position = f"{self._place.home(user_id)}:{state.offset}"
        return {
            "user_version": state.version,
            "position": position,
            "strategy": "personal",
            "items": [],
        }


class Sending:
    """All that sends, in one process. ``after``: the one before it, whose store and log it has."""

    def __init__(
        self,
        after: Sending | None = None,
        *,
        owned: Iterable[int] = (0, 1),
        retry_s: float = 60.0,
    ) -> None:
        self.points = after.points if after is not None else Points()
        self.log = after.log if after is not None else Log()
        self.feed = Feed(owned)
        self.states_of: dict[tuple[str, str], UserState] = {}
        if after is not None:
            self.states_of.update(after.states_of)
            self.feed.applied.update(after.feed.applied)
        self.changes, self.telemetry = MemoryChanges(), Telemetry()
        self.posted: list[tuple[str, Message]] = []
        self.answers: list[Answer] = []
        self.answer = Answer(1.0, status=204)
        self.held: asyncio.Event | None = None
        self.lists = Recommends(self)
        self._assemble(retry_s)

    def _assemble(self, retry_s: float) -> None:
        points: Any = self.points
        whole: Any = self
        self.registry = registry = Registry(points)
        self.places = places = Places(points, LOG)
        told, turn = ToldUsers(0.0), asyncio.Lock()
        notices = Notices(registry, self.log.partitions)
        messages = Messages(self.lists, whole)
        sender = Sender(
            registry,
            points,
            messages,
            whole,
            told,
            self.telemetry,
            self._tally,
            turn,
            retry_s=retry_s,
        )

        def make_lane(webhook: Webhook) -> Lane:
            return Lane(webhook, 4, sender.send)

        self.lanes = Lanes(make_lane, lambda _: None)
        backlog = Backlog(points, registry, self.lanes, turn, notices.is_erased)
        log: Any = self.log
        feed: Any = self.feed
        feeder = Feeder(
            log,
            feed,
            whole,
            points,
            registry,
            places,
            told,
            self.telemetry,
            self.lanes,
            turn,
            notices.is_erased,
        )
        runtime: Any = SimpleNamespace(
            feed=feed, ownership=feed, telemetry=self.telemetry, changes=self.changes
        )
        self.dispatcher = Dispatcher(
            runtime, registry, places, feeder, backlog, notices, told, self.lanes
        )

    def _tally(self, delivery: Delivery) -> Tally:
        return self.dispatcher.tally(delivery)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send for the length of the block; then leave in good order."""
        task = asyncio.create_task(self.dispatcher.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    # user states and endpoints, as the parts ask for them

    async def get(self, tenant: str, user_id: str) -> UserState | None:
        return self.states_of.get((tenant, user_id))

    async def get_many(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], UserState]:
        return {key: self.states_of[key] for key in keys if key in self.states_of}

    async def post(self, url: str, message: Message, _keys: list[str]) -> Answer:
        self.posted.append((url, message))
        if self.held is not None:
            await self.held.wait()
        return self.answers.pop(0) if self.answers else self.answer

    # what happens

    async def webhook(self, webhook_id: str = "w1", **more: Any) -> Webhook:
        """Store a webhook of tenant t that is told of everything from the beginning."""
        now = time.time()
        made = Webhook(
            webhook_id,
            "t",
            "http://one/",
            ("recommendations.updated", "event.failed"),
            None,
            5,
            (Secret(new_secret()),),
            created_at=now,
            started_at=now,
            log=LOG,
            start={},
        )
        made = replace(made, **more)
        await self.registry.put(made)
        return made

    def home(self, user_id: str) -> int:
        """The partition of a user of tenant t."""
        return partition_of("t", user_id, self.log.partitions)

    def user(self, partition: int) -> str:
        """A user of tenant t whose partition that is."""
        return next(f"u{n}" for n in range(100) if self.home(f"u{n}") == partition)

    async def fold(self, user_id: str, offset: int, *, tell: bool = True) -> None:
        """Have an event of a user be logged, folded, applied, and told of."""
        partition = self.home(user_id)
        event = Event("t", user_id, f"e{offset}", "view", time.time(), "i1")
        self.log.records.append(EventRecord(offset, time.time(), event, partition))
        state = self.states_of.get(("t", user_id)) or UserState("t", user_id)
        after = replace(state, offset=offset, version=state.version + 1)
        self.states_of["t", user_id] = after
        if tell:
            await self.changes.publish([UserChange("t", user_id, after.version)])
        if partition in self.feed.applied:
            self.feed.applied[partition] = offset

    async def fail(self, user_id: str, offset: int, *, tell: bool = True) -> EventFailed:
        """Have an event go to the dead letters."""
        partition, event_id = self.home(user_id), f"e{offset}"
        failed = EventFailed("t", user_id, event_id, "poison")
        event = {"user_id": user_id, "event_id": event_id}
        letter = DeadLetter(event_id, {partition: offset}, "t", event, "poison", time.time())
        self.log.letters.append(letter)
        if tell:
            await self.changes.publish([failed])
        if partition in self.feed.applied:
            self.feed.applied[partition] = offset
        return failed

    def told(self, text: str) -> int:
        """How often something was sent that has such words in it."""
        return sum(text.encode() in message.body for _, message in self.posted)


async def until(found: Callable[[], Any], patience_s: float = 5.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience_s
    while not found():
        assert time.monotonic() < deadline, "what was waited for did not come"
        await asyncio.sleep(0.01)
