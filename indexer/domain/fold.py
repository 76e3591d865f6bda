"""The fold: a pure function of (state, events, vectors).

Events may come in any order and any number of times. What decides is in the data: a log offset
at or below the state's is skipped, an event id the state still remembers (the newest 50, and the
newest 500 that callers chose) counts once, a retracted id never counts again, and decayed sums do
not depend on the order of what is added. Only the trail follows the order of the log (trail.py).
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from indexer.domain.events import RETRACT, Event, ref_item, signed_weight
from indexer.domain.state import Entry, UserState
from indexer.domain.taste import DecayedSum, decay
from indexer.domain.trail import advance, without
from indexer.domain.vectors import Vector

__all__ = ["Arrival", "FoldRules", "fold", "resolve"]


@dataclass(frozen=True, slots=True)
class FoldRules:
    """The constants of the fold; half-lives in seconds, the rest are upper bounds."""

    weights: Mapping[str, float]
    half_life_long_s: float
    half_life_short_s: float
    window_max: int = 50
    seen_max: int = 500
    waiting_max: int = 200
    retracted_max: int = 200
    ids_max: int = 500


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event and its offset in the log.

    ``original``: for a `retract`, the offset and event it undoes, where the log still has them.
    """

    offset: int
    event: Event
    original: tuple[int, Event] | None = None


def fold(
    state: UserState,
    arrivals: Sequence[Arrival],
    vectors: Mapping[str, Vector],
    rules: FoldRules,
) -> UserState:
    """Fold ``arrivals``, in offset order, into ``state``.

    ``vectors``: unit vectors by ref; an event whose ref is absent waits in the state.
    """
    draft = _Draft(state, rules)
    for arrival in arrivals:
        if arrival.offset <= draft.offset:
            continue
        draft.offset = arrival.offset
        draft.version += 1
        if arrival.event.event_type == RETRACT:
            draft.retract(arrival, vectors)
        else:
            draft.add(arrival.event, vectors)
    return draft.finish()


def resolve(state: UserState, vectors: Mapping[str, Vector], rules: FoldRules) -> UserState:
    """Fold the waiting events of ``state`` whose vectors are in ``vectors`` by now."""
    ready = [entry for entry in state.waiting.values() if entry.ref in vectors]
    if not ready:
        return state
    draft = _Draft(state, rules)
    draft.version += 1
    for entry in ready:
        del draft.waiting[entry.event_id]
        draft.accumulate(entry, vectors[entry.ref])
    return draft.finish()


class _Draft:
    """A state being changed."""

    def __init__(self, state: UserState, rules: FoldRules) -> None:
        self.state, self.rules = state, rules
        self.version, self.offset = state.version, state.offset
        self.event_count, self.positives = state.event_count, state.positives
        self.reference_s, self.long, self.short = state.reference_s, state.long, state.short
        self.counts = dict(state.counts)
        self.window = list(state.window)
        self.waiting = dict(state.waiting)
        self.seen = dict(state.seen)
        self.retracted = list(state.retracted)
        self.trail = state.trail
        self.ids = state.ids

    def add(self, event: Event, vectors: Mapping[str, Vector]) -> None:
        if event.event_id in self.retracted or self._find(event.event_id) is not None:
            return
        if event.fingerprint:
            hashed = _hash(event.event_id)
            if hashed in self.ids:
                return
            self.ids = (*self.ids, hashed)
        entry = _entry(event, self.rules.weights)
        self.event_count += 1
        self.counts[event.event_type] = self.counts.get(event.event_type, 0) + 1
        if event.item_id is not None:
            before = self.seen.get(event.item_id, event.timestamp)
            self.seen[event.item_id] = max(before, event.timestamp)
        if entry is None:
            return
        self.trail = advance(self.trail, event, self.rules.weights)
        self.window.append(entry)
        if entry.ref in vectors:
            self.accumulate(entry, vectors[entry.ref])
        else:
            self.waiting[entry.event_id] = entry

    def retract(self, arrival: Arrival, vectors: Mapping[str, Vector]) -> None:
        target = arrival.event.retracts
        if target is None or target in self.retracted:
            return
        self.retracted.append(target)
        entry = self._find(target)
        if entry is None and arrival.original is not None:
            offset, event = arrival.original
            entry = _entry(event, self.rules.weights) if offset <= self.state.offset else None
        if entry is None:
            return
        self.event_count -= 1
        self.counts[entry.event_type] = self.counts.get(entry.event_type, 1) - 1
        self.window = [kept for kept in self.window if kept.event_id != target]
        self._unsee(entry)
        if self.waiting.pop(target, None) is None and entry.ref in vectors:
            self.accumulate(entry, vectors[entry.ref], undo=True)
            self._step_back(entry)

    def accumulate(self, entry: Entry, vector: Vector, *, undo: bool = False) -> None:
        if entry.weight == 0.0:
            return
        rules = self.rules
        age_s = entry.timestamp - self.reference_s
        if age_s > 0.0:
            self.long = self.long.at(age_s, rules.half_life_long_s)
            self.short = self.short.at(age_s, rules.half_life_short_s)
            self.reference_s, age_s = entry.timestamp, 0.0
        self.long = _plus(self.long, vector, entry, -age_s, rules.half_life_long_s, undo)
        self.short = _plus(self.short, vector, entry, -age_s, rules.half_life_short_s, undo)
        if entry.weight > 0.0:
            self.positives += -1 if undo else 1

    def _step_back(self, undone: Entry) -> None:
        """Refer the sums to the newest event left, so that an old taste does not pass as fresh."""
        left = [k.timestamp for k in self.window if k.weight and k.event_id not in self.waiting]
        if undone.timestamp < self.reference_s or not left:
            return
        newest = max(left)
        age_s = newest - self.reference_s
        self.long = self.long.at(age_s, self.rules.half_life_long_s)
        self.short = self.short.at(age_s, self.rules.half_life_short_s)
        self.reference_s = newest

    def finish(self) -> UserState:
        rules = self.rules
        self.window.sort()
        return replace(
            self.state,
            version=self.version,
            offset=self.offset,
            event_count=self.event_count,
            positives=self.positives,
            reference_s=self.reference_s,
            long=self.long,
            short=self.short,
            counts={name: n for name, n in self.counts.items() if n > 0},
            window=tuple(self.window[-rules.window_max :]),
            waiting=_newest(self.waiting, rules.waiting_max),
            seen=_newest_seen(self.seen, rules.seen_max),
            retracted=tuple(self.retracted[-rules.retracted_max :]),
            trail=self.trail,
            ids=self.ids[-rules.ids_max :],
        )

    def _find(self, event_id: str) -> Entry | None:
        remembered: Iterable[Entry] = reversed(self.window)
        for entry in remembered:
            if entry.event_id == event_id:
                return entry
        return self.waiting.get(event_id)

    def _unsee(self, entry: Entry) -> None:
        item_id = ref_item(entry.ref)
        if item_id is None:
            return
        left = [kept.timestamp for kept in self.window if kept.ref == entry.ref]
        if left:
            self.seen[item_id] = max(left)
        else:
            self.seen.pop(item_id, None)
            self.trail = without(self.trail, item_id)


def _hash(event_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest(), "little")


def _entry(event: Event, weights: Mapping[str, float]) -> Entry | None:
    ref = event.ref
    if ref is None:
        return None
    weight = signed_weight(event, weights)
    return Entry(event.timestamp, event.event_id, event.event_type, weight, ref, event.value)


def _plus(
    total: DecayedSum, vector: Vector, entry: Entry, age_s: float, half_life_s: float, undo: bool
) -> DecayedSum:
    return total.plus(vector, entry.weight * decay(age_s, half_life_s), undo=undo)


def _newest(waiting: Mapping[str, Entry], most: int) -> Mapping[str, Entry]:
    if len(waiting) <= most:
        return waiting
    return {entry.event_id: entry for entry in heapq.nlargest(most, waiting.values())}


def _newest_seen(seen: Mapping[str, float], most: int) -> Mapping[str, float]:
    if len(seen) <= most:
        return seen
    newest = heapq.nlargest(most, ((at, item_id) for item_id, at in seen.items()))
    return {item_id: at for at, item_id in newest}
