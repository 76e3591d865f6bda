"""Reads tastes: from a user's state and profile, with the vectors of what they are made of."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cachetools import LRUCache

from indexer.domain.events import item_ref, ref_item, ref_text, text_ref
from indexer.domain.interests import Interest, find_interests
from indexer.domain.profile import Profile
from indexer.domain.state import Entry, UserState
from indexer.domain.trail import newest_first
from indexer.domain.vectors import Vector
from indexer.runtime import Runtime
from recsvc.blend import BlendRules, blend
from recsvc.ranking import situation
from recsvc.taste import Direction, Taste

__all__ = ["Tastes"]

_CACHED = 2_048
_ENTRIES, _LEAVING = 30, 10
_DISLIKED: Final = 10
_STALE_S: Final = 86_400.0

_Found = tuple[list[Interest], dict[str, Vector]]


class Tastes:
    """Makes a `Taste` of a user; interests are found once a version of the user.

    ``single_vector``: all that is liked is one direction instead of several interests.
    """

    def __init__(self, runtime: Runtime, *, single_vector: bool = False) -> None:
        self._runtime, self._single_vector = runtime, single_vector
        settings = runtime.settings
        self._rules = BlendRules(
            settings.profile_weight,
            settings.short_weight,
            settings.half_life_long_s,
            settings.half_life_short_s,
            settings.half_life_profile_s,
        )
        self._visit_s = settings.visit_s
        self._found: LRUCache[tuple[str, str], tuple[tuple[int, int, int], _Found]]
        self._found = LRUCache(_CACHED)

    async def of(self, state: UserState, profile: Profile | None, at: float) -> Taste:
        """Return the taste of a user as of ``at``, in unix seconds."""
        interests, disliked = await self._interests(state)
        whole = blend(state, profile, self._rules, at)
        overall = whole.vector if whole is not None else None
        directions = [
            Direction("content", one.vector, one.share, one.key, interest=one) for one in interests
        ]
        if self._single_vector:
            directions = []
        if not directions and overall is not None:
            # What was liked is older than all that is remembered singly.
            key = ("overall", state.user_id, state.version, state.offset)
            directions.append(Direction("content", overall, 1.0, key))
        if profile is not None and profile.vector is not None and (directions or state.trail):
            made = ("profile", state.user_id, profile.updated_at)
            directions.append(Direction("profile", profile.vector, 1.0, made))
        return Taste(
            tenant=state.tenant,
            steps=list(newest_first(state.trail)),
            directions=directions,
            disliked=disliked,
            overall=overall,
            at=at,
            situation=self.situation(state, at),
        )

    async def interests(self, state: UserState) -> list[Interest]:
        """Return a user's interests, the largest share first."""
        return (await self._interests(state))[0]

    def situation(self, state: UserState, at: float) -> int:
        """Return which situation a list as of ``at`` is for."""
        last = max((state.window[-1].timestamp if state.window else 0.0, _last_step(state)))
        return situation(at - last, self._visit_s, len(state.trail))

    async def clock(self, state: UserState) -> float:
        """Return what time it is for a user.

        It is now, unless nobody has done anything for a day: then the log is a history that is
        looked at, and the user is met where their history ends.
        """
        now = time.time()
        newest_s = (await self._runtime.neighbours.crowd(state.tenant)).newest_s
        if now - newest_s < _STALE_S or not state.window:
            return now
        return max(state.window[-1].timestamp, _last_step(state))

    async def vectors(self, tenant: str, refs: Iterable[str]) -> dict[str, Vector]:
        """Return the unit vectors of those of ``refs`` that have one."""
        refs = list(refs)
        items = await self._runtime.items.vectors(
            tenant, [item_id for ref in refs if (item_id := ref_item(ref)) is not None]
        )
        texts = await self._runtime.embeddings.known(
            [text for ref in refs if (text := ref_text(ref)) is not None]
        )
        vectors = {item_ref(item_id): vector for item_id, vector in items.items()}
        vectors.update((text_ref(text), vector) for text, vector in texts.items())
        return vectors

    async def _interests(self, state: UserState) -> _Found:
        key = (state.tenant, state.user_id)
        now = (state.version, state.offset, self._runtime.items.version)
        version, found = self._found.get(key, (None, ([], {})))
        if version != now:
            entries = _newest(state)
            vectors = await self.vectors(state.tenant, dict.fromkeys(e.ref for e in entries))
            interests = find_interests(entries, vectors, self._rules.half_life_long_s)
            found = (interests, _disliked(state, vectors))
            self._found[key] = (now, found)
        return found


def _newest(state: UserState) -> Sequence[Entry]:
    """Return the newest events, 20 to 30 of them.

    Old ones leave by tens: if one left with each that comes, two interests would change each time,
    and both would have to be searched for again.
    """
    most = _ENTRIES - _LEAVING + state.event_count % _LEAVING
    return state.window[-most:]


def _disliked(state: UserState, vectors: Mapping[str, Vector]) -> dict[str, Vector]:
    """Return the vectors of the newest things that are disliked on the whole."""
    balance: dict[str, float] = {}
    for entry in state.window:
        balance[entry.ref] = balance.get(entry.ref, 0.0) + entry.weight
    refs = [ref for ref, weight in balance.items() if weight < 0.0 and ref in vectors]
    return {ref: vectors[ref] for ref in refs[-_DISLIKED:]}


def _last_step(state: UserState) -> float:
    steps: Sequence[float] = [step.timestamp for step in state.trail[-1:]]
    return steps[0] if steps else 0.0
