"""User states as points of the `users` collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from cachetools import LRUCache
from qdrant_client import models

from indexer.domain.ids import user_point
from indexer.domain.state import Entry, UserState
from indexer.domain.taste import DecayedSum
from indexer.domain.trail import Step
from indexer.domain.vectors import Vector, checked
from indexer.ports import VectorStore
from indexer.stores.points import any_of, equals, point, scoped, upsert_paced, vector_of
from indexer.stores.schema import USERS

__all__ = ["UserKey", "UserStates"]

UserKey = tuple[str, str]
"""Tenant and user id."""

_SCROLL = 256
_NOTHING = 1e-9


class UserStates:
    """Reads and writes user states; the newest ``cache_max`` stay in memory.

    The memory is right as long as this object is the only writer, which it is: a user's events
    are folded in one place.
    """

    def __init__(self, store: VectorStore, dim: int, cache_max: int) -> None:
        self._store, self._dim = store, dim
        self._cache: LRUCache[UserKey, UserState] = LRUCache(cache_max)
        self._writes = 0  # a read that a write has overtaken is not kept

    async def get(self, tenant: str, user_id: str) -> UserState | None:
        """Return a user's state, or None for a user never seen."""
        known = self._cache.get((tenant, user_id))
        if known is not None:
            return known
        return (await self.get_many([(tenant, user_id)])).get((tenant, user_id))

    async def get_many(self, keys: Iterable[UserKey]) -> dict[UserKey, UserState]:
        """Return the states of the users that have one."""
        states: dict[UserKey, UserState] = {}
        missing = []
        for key in keys:
            known = self._cache.get(key)
            if known is None:
                missing.append(user_point(*key))
            else:
                states[key] = known
        if missing:
            writes = self._writes
            for record in await self._store.retrieve(USERS, missing, with_vectors=True):
                state = _decode(record)
                states[state.tenant, state.user_id] = state
                if writes == self._writes:
                    self._cache[state.tenant, state.user_id] = state
        return states

    async def put_many(self, states: Sequence[UserState]) -> None:
        """Write states; each is whole or not there."""
        await upsert_paced(self._store, USERS, [self._encode(state) for state in states])
        self._writes += 1
        for state in states:
            self._cache[state.tenant, state.user_id] = state

    async def delete(self, tenant: str, user_id: str) -> None:
        """Forget a user."""
        await self._store.delete(USERS, [user_point(tenant, user_id)])
        self._writes += 1
        self._cache.pop((tenant, user_id), None)

    async def waiting_on(self, tenant: str, refs: Sequence[str]) -> list[UserKey]:
        """List the users of a tenant with an event that waits for one of ``refs``."""
        return [key for key, _ in await self._scroll(scoped(tenant, [any_of("waiting", refs)]))]

    async def waiting(self) -> list[tuple[UserKey, list[str]]]:
        """List all users with waiting events, and what they wait for."""
        return await self._scroll(models.Filter(must=[equals("parked", True)]))

    async def count(self, tenant: str) -> int:
        """Count a tenant's users."""
        return await self._store.count(USERS, scoped(tenant))

    async def _scroll(self, which: models.Filter) -> list[tuple[UserKey, list[str]]]:
        found: list[tuple[UserKey, list[str]]] = []
        offset = None
        while True:
            records, offset = await self._store.scroll(
                USERS,
                which,
                limit=_SCROLL,
                offset=offset,
                with_payload=["tenant", "user_id", "waiting"],
            )
            for record in records:
                payload = record.payload or {}
                key = (payload["tenant"], payload["user_id"])
                found.append((key, payload["waiting"]))
            if offset is None:
                return found

    def _encode(self, state: UserState) -> models.PointStruct:
        vectors: dict[str, Vector] = {}
        for name, total in (("long", state.long), ("short", state.short)):
            if total.vector is not None and abs(total.vector).max() > _NOTHING:
                vectors[name] = checked(total.vector, self._dim, f"user {state.user_id!r}, {name}")
        payload = {
            "tenant": state.tenant,
            "user_id": state.user_id,
            "version": state.version,
            "offset": state.offset,
            "waiting": sorted({entry.ref for entry in state.waiting.values()}),
            # One string: the engine takes a nested list of 50 events ten times slower.
            "state": orjson.dumps(_fields(state)).decode(),
        }
        if state.waiting:
            payload["parked"] = True
        return point(user_point(state.tenant, state.user_id), vectors, payload)


def _fields(state: UserState) -> dict[str, Any]:
    return {
        "event_count": state.event_count,
        "positives": state.positives,
        "reference_s": state.reference_s,
        "long_mass": state.long.mass,
        "short_mass": state.short.mass,
        "counts": state.counts,
        "window": [tuple(entry) for entry in state.window],
        "waiting": [tuple(entry) for entry in state.waiting.values()],
        "seen": state.seen,
        "retracted": state.retracted,
        "trail": [tuple(step) for step in state.trail],
    }


def _decode(record: models.Record) -> UserState:
    payload = record.payload or {}
    fields = orjson.loads(payload["state"])
    waiting = [Entry(*entry) for entry in fields["waiting"]]
    return UserState(
        tenant=payload["tenant"],
        user_id=payload["user_id"],
        version=payload["version"],
        offset=payload["offset"],
        event_count=fields["event_count"],
        positives=fields["positives"],
        reference_s=fields["reference_s"],
        long=DecayedSum(vector_of(record, "long"), fields["long_mass"]),
        short=DecayedSum(vector_of(record, "short"), fields["short_mass"]),
        counts=fields["counts"],
        window=tuple(Entry(*entry) for entry in fields["window"]),
        waiting={entry.event_id: entry for entry in waiting},
        seen=fields["seen"],
        retracted=tuple(fields["retracted"]),
        trail=tuple(Step(*step) for step in fields["trail"]),
    )
