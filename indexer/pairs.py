"""From events to what goes together: finds the trail that each event saw, and counts.

Where several processes fold, each item is counted in one of them: what an event adds travels
through the log, by item, and is counted by whoever has the item's partition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from cachetools import LRUCache

from indexer.domain.events import Event, signed_weight
from indexer.domain.neighbours import NeighbourRules, Occurrence, occurrences
from indexer.domain.position import position_of
from indexer.domain.state import UserState
from indexer.domain.trail import TRAIL_MAX, Step, step_of, trail_of
from indexer.keep_up import KeepUp
from indexer.ports import EventLog, EventRecord, Feed, PairRecord, SharedLog
from indexer.stores.neighbours import Neighbours
from indexer.stores.users import UserKey
from indexer.telemetry import Telemetry

__all__ = ["PairCounter", "PairSender", "PairWorker", "Pairs"]

_PAGE = 4 * TRAIL_MAX
_HISTORIES = 1_024
_BATCH = 1_000
_RETRY_MIN_S, _RETRY_MAX_S = 0.1, 5.0

Seen = Sequence[tuple[EventRecord, UserState]]
"""Events in log order, each with its user's state before it."""


class Pairs(Protocol):
    """What is done with the pairs of events, before the users' states are written."""

    async def count(self, seen: Seen) -> None:
        """Count events; doing it twice changes nothing more."""
        ...

    async def flush(self) -> None:
        """Write what was counted."""
        ...


class PairCounter:
    """A `Pairs` that counts into the neighbourhoods of this process."""

    def __init__(
        self,
        log: EventLog,
        neighbours: Neighbours,
        weights: Mapping[str, float],
        rules: NeighbourRules,
    ) -> None:
        self._log, self._neighbours = log, neighbours
        self._weights, self._rules = weights, rules
        self._histories: LRUCache[UserKey, tuple[int, list[Event]]] = LRUCache(_HISTORIES)

    async def count(self, seen: Seen) -> None:
        """See `Pairs.count`.

        A state that holds the event already is that of a fold which a crash has separated from
        its counts; the trail of then is read from the log.
        """
        by_tenant: dict[str, list[Occurrence]] = {}
        for record, state in seen:
            trail, retracted = state.trail, record.event.event_id in state.retracted
            if record.offset <= state.offset:
                history = await self._history_before(record)
                trail = trail_of(history, self._weights)
                retracted = any(one.retracts == record.event.event_id for one in history)
                self._remember(record, history)
            elif self._histories:  # which an event that is not delivered again leaves behind
                self._histories.pop((record.event.tenant, record.event.user_id), None)
            if retracted or not _counts(record, self._weights):  # retracted before it came
                continue
            added = _occurrences(record, trail, self._weights, self._rules)
            by_tenant.setdefault(record.event.tenant, []).extend(added)
        for tenant, occurred in by_tenant.items():
            await self._neighbours.count(tenant, occurred)

    async def flush(self) -> None:
        """Write what was counted."""
        await self._neighbours.flush()

    async def _history_before(self, record: EventRecord) -> list[Event]:
        """Return the user's events before one that is delivered again, as many as make a trail.

        They are read once a user: what is delivered again comes in order, and whole.
        """
        event = record.event
        offset, known = self._histories.get((event.tenant, event.user_id), (record.offset, []))
        if offset < record.offset:
            return known
        before, history = record.offset, list[Event]()
        while True:
            page = await self._log.user_events_before(
                event.tenant, event.user_id, before=before, limit=_PAGE
            )
            history = [one.event for one in page] + history
            if len(page) < _PAGE or len(trail_of(history, self._weights)) >= TRAIL_MAX:
                return history
            before = page[0].offset

    def _remember(self, record: EventRecord, history: list[Event]) -> None:
        event = record.event
        newest = [*history[-2 * _PAGE :], event]
        self._histories[event.tenant, event.user_id] = (record.offset, newest)


class PairSender:
    """A `Pairs` that sends them on, to whoever counts the items.

    A state that holds the event already is of a fold that sent its pairs before it was written.
    """

    def __init__(self, log: SharedLog, weights: Mapping[str, float], rules: NeighbourRules) -> None:
        self._log, self._weights, self._rules = log, weights, rules

    async def count(self, seen: Seen) -> None:
        """See `Pairs.count`."""
        pairs: list[tuple[str, Occurrence]] = []
        for record, state in seen:
            known = record.offset <= state.offset or record.event.event_id in state.retracted
            if not known and _counts(record, self._weights):
                added = _occurrences(record, state.trail, self._weights, self._rules)
                pairs += [(record.event.tenant, one) for one in added]
        if pairs:
            await self._log.append_pairs(pairs)

    async def flush(self) -> None:
        """Nothing is kept back."""


class PairWorker:
    """Counts what others and this process send about the items of this process."""

    def __init__(
        self,
        feed: Feed,
        neighbours: Neighbours,
        telemetry: Telemetry,
        turn: asyncio.Lock,
        *,
        commit: bool,
    ) -> None:
        self._feed, self._neighbours, self._commit = feed, neighbours, commit
        self._turn = turn  # held while counts change
        self._keep_up = KeepUp(
            feed,
            "pairs",
            self.catch_up,
            telemetry,
            name="pairs",
            least_s=_RETRY_MIN_S,
            most_s=_RETRY_MAX_S,
        )

    async def run(self) -> None:
        """Count until cancelled."""
        await self._keep_up.run()

    async def catch_up(self) -> None:
        """Count all that was sent, and write it."""
        while await self._count():
            pass

    async def _count(self) -> bool:
        async with self._turn:
            records: list[PairRecord] = await self._feed.read("pairs", _BATCH)
            if not records:
                return False
            by_tenant: dict[str, list[Occurrence]] = {}
            for record in records:
                by_tenant.setdefault(record.tenant, []).append(record.occurrence)
            for tenant, occurred in by_tenant.items():
                await self._neighbours.count(tenant, occurred)
            await self._neighbours.flush()
            self._feed.applied("pairs", position_of((r.partition, r.offset) for r in records))
        if self._commit:
            await self._feed.commit()
        return True


def _counts(record: EventRecord, weights: Mapping[str, float]) -> bool:
    step = step_of(record.event, weights)
    return step is not None and signed_weight(record.event, weights) > 0.0


def _occurrences(
    record: EventRecord, trail: Sequence[Step], weights: Mapping[str, float], rules: NeighbourRules
) -> list[Occurrence]:
    step = step_of(record.event, weights)
    assert step is not None
    place = (record.partition, record.offset)
    return occurrences(trail, step, signed_weight(record.event, weights), place, rules)
