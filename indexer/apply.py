"""One micro-batch of events: from the log into user states, neighbourhoods and notices."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from indexer.domain.events import (
    ERASE,
    RETRACT,
    Event,
    item_ref,
    ref_item,
    ref_text,
    text_ref,
)
from indexer.domain.fold import Arrival, FoldRules, fold, resolve
from indexer.domain.items import Item
from indexer.domain.state import UserState
from indexer.domain.vectors import Vector
from indexer.embedding import Embeddings
from indexer.erase import Eraser
from indexer.errors import LogError, StoreError
from indexer.pairs import Pairs
from indexer.ports import (
    Changes,
    EventFailed,
    EventLog,
    EventRecord,
    ItemRecord,
    Learner,
    UserChange,
)
from indexer.progress import Outcome, Outcomes
from indexer.stores.items import ItemPoints
from indexer.stores.users import UserKey, UserStates
from indexer.telemetry import Telemetry

__all__ = ["LEARNED_FROM", "Applier"]

_log = logging.getLogger(__name__)

_FOLDED_AT_ONCE = 16

LEARNED_FROM: Final = 0
"""The partition whose events are learned from: what is learned has one writer, its owner."""


class Applier:
    """Applies events to the store; the only writer of the states of the users it is given.

    ``learner``, where there is one, looks at the events of one partition before they are folded.
    """

    def __init__(
        self,
        log: EventLog,
        states: UserStates,
        items: ItemPoints,
        embeddings: Embeddings,
        pairs: Pairs,
        eraser: Eraser,
        changes: Changes,
        outcomes: Outcomes,
        telemetry: Telemetry,
        rules: FoldRules,
    ) -> None:
        self._log, self._states, self._items = log, states, items
        self._embeddings, self._pairs, self._eraser = embeddings, pairs, eraser
        self._changes = changes
        self._outcomes, self._telemetry, self._rules = outcomes, telemetry, rules
        self.learner: Learner | None = None
        self.creates_items = True  # not where all that the log has of items is read anyway

    async def apply(self, records: Sequence[EventRecord]) -> set[tuple[str, str]]:
        """Fold ``records``, in log order; doing it twice changes nothing more.

        Returns the (tenant, text) of searches that wait for their text's vector.
        """
        start = time.perf_counter()
        by_user: dict[UserKey, list[EventRecord]] = defaultdict(list)
        for record in records:
            by_user[record.event.tenant, record.event.user_id].append(record)
        before = await self._states.get_many(by_user)
        vectors = await self._vectors(record.event for record in records)
        await self._create_items(records, vectors)
        after, seen, erased = await self._fold(by_user, before, vectors)
        with self._telemetry.timed("pairs"):
            await self._pairs.count(seen)
        for key in erased:
            await self._eraser.erase(*key)
        await self._store(after)
        self._note(records, before)
        self._settle(records, {(s.tenant, s.user_id): s for s in after})
        self._telemetry.observe("pipeline", time.perf_counter() - start)
        return _unknown_texts(records, vectors)

    async def resolve(self, tenant: str, refs: Sequence[str]) -> None:
        """Fold the events that waited for ``refs``, where those have vectors by now."""
        keys = await self._states.waiting_on(tenant, refs)
        states = list((await self._states.get_many(keys)).values())
        vectors = await self._vectors_of(
            tenant, {e.ref for s in states for e in s.waiting.values()}
        )
        known = vectors[tenant]
        resolved = [(state, resolve(state, known, self._rules)) for state in states]
        changed = [(old, new) for old, new in resolved if new is not old]
        await self._store([new for _, new in changed])
        for old, new in changed:
            for event_id in old.waiting.keys() - new.waiting.keys():
                outcome = Outcome(new.version, embedded=True)
                self._outcomes.settle((new.tenant, new.user_id, event_id), outcome)

    async def write_counts(self) -> None:
        """Have the lists of others reflect what was counted; a checkpoint does it at the latest."""
        await self._pairs.flush()

    async def known(self, tenant: str, refs: Sequence[str]) -> list[str]:
        """Return those of ``refs`` that have a vector by now."""
        return list((await self._vectors_of(tenant, set(refs)))[tenant])

    async def _vectors(self, events: Iterable[Event]) -> dict[str, dict[str, Vector]]:
        refs: dict[str, set[str]] = defaultdict(set)
        for event in events:
            if (ref := event.ref) is not None:
                refs[event.tenant].add(ref)
        found: dict[str, dict[str, Vector]] = defaultdict(dict)
        for tenant, wanted in refs.items():
            found.update(await self._vectors_of(tenant, wanted))
        return found

    async def _vectors_of(self, tenant: str, refs: set[str]) -> dict[str, dict[str, Vector]]:
        item_ids = [item_id for ref in refs if (item_id := ref_item(ref)) is not None]
        texts = [text for ref in refs if (text := ref_text(ref)) is not None]
        items = await self._items.vectors(tenant, item_ids) if item_ids else {}
        known = await self._embeddings.known(texts) if texts else {}
        by_ref = {item_ref(item_id): vector for item_id, vector in items.items()}
        by_ref.update((text_ref(text), vector) for text, vector in known.items())
        return {tenant: by_ref}

    async def _create_items(
        self, records: Sequence[EventRecord], vectors: Mapping[str, Mapping[str, Vector]]
    ) -> None:
        """Record the unknown items that come with their features; the item worker does the rest."""
        unknown: dict[tuple[str, str], ItemRecord] = {}
        for event in (record.event for record in records):
            tenant, item_id, features = event.tenant, event.item_id, event.item_features
            if item_id is None or features is None:
                continue
            if item_ref(item_id) not in vectors.get(tenant, {}):  # the first to tell creates it
                created = ItemRecord(0, tenant, item_id, Item(tenant, item_id, features))
                unknown.setdefault((tenant, item_id), created)
        if unknown and self.creates_items:
            await self._log.append_items(list(unknown.values()), only_unknown=True)

    async def _fold(
        self,
        by_user: Mapping[UserKey, Sequence[EventRecord]],
        before: Mapping[UserKey, UserState],
        vectors: Mapping[str, Mapping[str, Vector]],
    ) -> tuple[list[UserState], list[tuple[EventRecord, UserState]], set[UserKey]]:
        """Return the changed states; the records that count, in log order, each with the state it
        met; and the users who are erased before those states are written."""
        folded: list[UserState] = []
        seen: list[tuple[EventRecord, UserState]] = []
        erased: set[UserKey] = set()
        with self._telemetry.timed("fold"):
            for n, (key, records) in enumerate(by_user.items(), start=1):
                state = after = before.get(key) or UserState(*key)
                known = vectors.get(key[0], {})
                if any(record.event.event_type == RETRACT for record in records):
                    known = await self._with_retracted(state, records, known)
                for record in records:
                    if record.event.event_type == ERASE:
                        if record.offset > after.offset:
                            after = UserState(*key, offset=record.offset)
                            erased.add(key)
                        continue
                    await self._learn(after, record)
                    met, after = after, await self._fold_one(after, record, known)
                    if after.event_count > met.event_count or record.offset <= met.offset:
                        seen.append((record, met))  # else it was known, and counts nothing
                if after.offset != state.offset and after.version:
                    folded.append(after)
                if n % _FOLDED_AT_ONCE == 0:
                    await asyncio.sleep(0)
        seen.sort(key=lambda pair: pair[0].offset)
        return folded, seen, erased

    async def _learn(self, state: UserState, record: EventRecord) -> None:
        known = record.offset <= state.offset
        if self.learner is None or known or record.partition != LEARNED_FROM:
            return
        try:
            with self._telemetry.timed("learn"):
                await self.learner.learn(state, record)
        except Exception as exc:  # noqa: BLE001 - counted; what is not learned now is later
            self._telemetry.count("failures", "learn")
            _log.warning("nothing is learned of the event at %d: %s", record.offset, exc)

    async def _fold_one(
        self, state: UserState, record: EventRecord, vectors: Mapping[str, Vector]
    ) -> UserState:
        """Fold one event; what cannot be folded goes to the dead letters."""
        try:
            return fold(state, [await self._arrival(state, record)], vectors, self._rules)
        except (LogError, StoreError):
            raise
        except Exception as exc:  # noqa: BLE001 - the fold is pure: the event is to blame
            reason = f"{type(exc).__name__}: {exc}"
            await self._log.add_dead_letter(record, reason)
            self._telemetry.count("events", "dead_letter")
            _log.error("event at %d goes to the dead letters: %s", record.offset, reason)
            event = record.event
            key = (event.tenant, event.user_id, event.event_id)
            self._outcomes.settle(key, Outcome(state.version, error=reason))
            await self._changes.publish([EventFailed(*key, reason)])
            return replace(state, offset=record.offset) if state.version else state

    async def _arrival(self, state: UserState, record: EventRecord) -> Arrival:
        event = record.event
        if event.event_type != RETRACT or event.retracts is None:
            return Arrival(record.offset, event)
        if event.retracts in state.waiting or any(
            entry.event_id == event.retracts for entry in state.window
        ):
            return Arrival(record.offset, event)  # all that is to be undone is remembered
        original = await self._log.find(event.tenant, event.user_id, event.retracts)
        if original is None or original.offset > state.offset:
            return Arrival(record.offset, event)
        return Arrival(record.offset, event, (original.offset, original.event))

    async def _with_retracted(
        self, state: UserState, records: Sequence[EventRecord], known: Mapping[str, Vector]
    ) -> dict[str, Vector]:
        """Add the vectors of the events that ``records`` take back."""
        refs = {entry.ref for entry in state.window}
        for record in records:
            original = (await self._arrival(state, record)).original
            if original is not None and original[1].ref is not None:
                refs.add(original[1].ref)
        found = await self._vectors_of(state.tenant, refs)
        return {**found[state.tenant], **known}

    async def _store(self, states: Sequence[UserState]) -> None:
        if not states:
            return
        with self._telemetry.timed("upsert"):
            await self._states.put_many(states)
        with self._telemetry.timed("invalidate"):
            await self._changes.publish(UserChange(s.tenant, s.user_id, s.version) for s in states)

    def _note(self, records: Sequence[EventRecord], before: Mapping[UserKey, UserState]) -> None:
        """Note how long each event took to become visible."""
        now = time.time()
        for record in records:
            state = before.get((record.event.tenant, record.event.user_id))
            if state is None or record.offset > state.offset:
                self._telemetry.observe("freshness", max(0.0, now - record.accepted_at))
        self._telemetry.count("events", "folded", n=len(records))

    def _settle(self, records: Sequence[EventRecord], after: Mapping[UserKey, UserState]) -> None:
        if not self._outcomes:
            return
        for record in records:
            event = record.event
            state = after.get((event.tenant, event.user_id))
            if state is not None and event.event_id not in state.waiting:
                key = (event.tenant, event.user_id, event.event_id)
                self._outcomes.settle(key, Outcome(state.version))


def _unknown_texts(
    records: Sequence[EventRecord], vectors: Mapping[str, Mapping[str, Vector]]
) -> set[tuple[str, str]]:
    refs = {(record.event.tenant, record.event.ref) for record in records}
    return {
        (tenant, text)
        for tenant, ref in refs
        if ref is not None
        and (text := ref_text(ref)) is not None
        and ref not in vectors.get(tenant, {})
    }
