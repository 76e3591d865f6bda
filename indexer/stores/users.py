"""User states as points of the `users` collection."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import orjson
from cachetools import LRUCache
from qdrant_client import models

from indexer.domain.ids import user_point
from indexer.domain.state import Entry, UserState
from indexer.domain.taste import DecayedSum
from indexer.domain.trail import Step
from indexer.domain.vectors import Vector, checked
from indexer.ports import PointId, VectorStore
from indexer.stores.points import any_of, equals, point, scoped, upsert_paced, vector_of
from indexer.stores.schema import USERS

__all__ = ["UserKey", "UserStates"]

UserKey = tuple[str, str]
"""Tenant and user id."""

_SCROLL = 256
_NOTHING = 1e-9


class UserStates:
    """Reads and writes user states; the newest ``cache_max`` stay in memory.

    ``owns``: whether this process is the only writer of a user, whose state in memory is then
    right. Of others, the stored version is looked at whenever a state is asked for. ``guarded``:
    one that has lost a partition may still write.
    """

    def __init__(
        self,
        store: VectorStore,
        dim: int,
        cache_max: int,
        owns: Callable[[UserKey], bool] = lambda _: True,
        *,
        guarded: bool = False,
    ) -> None:
        self._store, self._dim, self._owns, self._guarded = store, dim, owns, guarded
        self._cache: LRUCache[UserKey, UserState] = LRUCache(cache_max)
        self._writes = self._forgotten = 0  # a read that a write has overtaken is not kept

    async def get(self, tenant: str, user_id: str) -> UserState | None:
        """Return a user's state, or None for a user never seen."""
        key = (tenant, user_id)
        known = self._cache.get(key)
        if known is not None and (self._owns(key) or await self._is_newest(known)):
            return known
        return (await self._read([key])).get(key)

    async def get_many(self, keys: Iterable[UserKey]) -> dict[UserKey, UserState]:
        """Return the states of the users that have one; for users that are owned."""
        states: dict[UserKey, UserState] = {}
        missing = []
        for key in keys:
            known = self._cache.get(key)
            if known is None:
                missing.append(key)
            else:
                states[key] = known
        return {**states, **await self._read(missing)}

    async def put_many(self, states: Sequence[UserState]) -> None:
        """Write states; each is whole or not there. None takes the place of a newer one."""
        if self._guarded:
            states = [state for state in states if self._owns((state.tenant, state.user_id))]
        points, forgotten = [self._encode(state) for state in states], self._forgotten
        by = "offset" if self._guarded else None
        await upsert_paced(self._store, USERS, points, versioned_by=by)
        self._writes += 1
        for state in states if forgotten == self._forgotten else ():
            self._cache[state.tenant, state.user_id] = state

    def forget(self) -> None:
        """Drop what is in memory, as others may have written meanwhile."""
        self._cache.clear()
        self._writes += 1
        self._forgotten += 1

    async def delete(self, tenant: str, user_id: str) -> None:
        """Forget a user."""
        await self._store.delete(USERS, [user_point(tenant, user_id)])
        self._writes += 1
        self._cache.pop((tenant, user_id), None)

    async def page(
        self, tenant: str, limit: int, offset: PointId | None = None
    ) -> tuple[list[UserState], PointId | None]:
        """Return a page of a tenant's states, without vectors, and where the next begins.

        The order is stable, and not one of time.
        """
        records, following = await self._store.scroll(
            USERS, scoped(tenant), limit=limit, offset=offset
        )
        return [_decode(record) for record in records], following

    async def waiting_on(self, tenant: str, refs: Sequence[str]) -> list[UserKey]:
        """List our users of a tenant with an event that waits for one of ``refs``."""
        return [key for key, _ in await self._scroll(scoped(tenant, [any_of("waiting", refs)]))]

    async def waiting(self) -> list[tuple[UserKey, list[str]]]:
        """List all our users with waiting events, and what they wait for."""
        return await self._scroll(models.Filter(must=[equals("parked", True)]))

    async def count(self, tenant: str) -> int:
        """Count a tenant's users."""
        return await self._store.count(USERS, scoped(tenant))

    async def _is_newest(self, known: UserState) -> bool:
        stored = await self._store.retrieve(
            USERS, [user_point(known.tenant, known.user_id)], with_payload=["version", "offset"]
        )
        payload = (stored[0].payload or {}) if stored else {}
        return (payload.get("version"), payload.get("offset")) == (known.version, known.offset)

    async def _read(self, keys: Sequence[UserKey]) -> dict[UserKey, UserState]:
        states: dict[UserKey, UserState] = {}
        if not keys:
            return states
        writes, points = self._writes, [user_point(*key) for key in keys]
        for record in await self._store.retrieve(USERS, points, with_vectors=True):
            state = _decode(record)
            states[state.tenant, state.user_id] = state
            if writes == self._writes:
                self._cache[state.tenant, state.user_id] = state
        for key in keys:
            if key not in states:
                self._cache.pop(key, None)
        return states

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
                if self._owns(key):
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
        "ids": base64.b64encode(np.array(state.ids, np.uint64).tobytes()).decode(),
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
        ids=tuple(np.frombuffer(base64.b64decode(fields["ids"]), np.uint64).tolist()),
    )
