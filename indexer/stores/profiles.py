"""Profiles as points of the `profiles` collection, apart from the states that every event moves."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from cachetools import LRUCache
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.domain.profile import Memory, Profile
from indexer.ports import VectorStore
from indexer.stores.points import point, vector_of
from indexer.stores.schema import PROFILES
from indexer.stores.users import UserKey

__all__ = ["Profiles"]


class Profiles:
    """Reads and writes profiles; the newest ``cache_max`` (and absences) stay in memory.

    ``owns``: as of `UserStates`.
    """

    def __init__(
        self,
        store: VectorStore,
        cache_max: int,
        owns: Callable[[UserKey], bool] = lambda _: True,
    ) -> None:
        self._store, self._owns = store, owns
        self._cache: LRUCache[tuple[str, str], Profile | None] = LRUCache(cache_max)
        self._writes = 0  # a read that a write has overtaken is not kept

    async def get(self, tenant: str, user_id: str) -> Profile | None:
        """Return a user's profile, or None where there is none yet."""
        key = (tenant, user_id)
        if key in self._cache:
            known = self._cache[key]
            if self._owns(key) or await self._is_newest(key, known):
                return known
        writes = self._writes
        records = await self._store.retrieve(PROFILES, [_point(*key)], with_vectors=True)
        profile = _decode(records[0]) if records else None
        if writes == self._writes:
            self._cache[key] = profile
        return profile

    async def put(self, tenant: str, user_id: str, profile: Profile) -> None:
        """Write a profile."""
        fields = {
            "weights": profile.weights,
            "summary": profile.summary,
            "model": profile.model,
            "cost_usd": profile.cost_usd,
            "user_version": profile.user_version,
            "updated_at": profile.updated_at,
            "event_count": profile.event_count,
            "evidence": profile.evidence,
        }
        vectors = {} if profile.vector is None else {"profile": profile.vector}
        payload = {
            "tenant": tenant,
            "user_id": user_id,
            "made_at": profile.updated_at,
            "profile": orjson.dumps(fields).decode(),
        }
        await self._store.upsert(PROFILES, [point(_point(tenant, user_id), vectors, payload)])
        self._writes += 1
        self._cache[tenant, user_id] = profile

    async def memory(self, tenant: str, user_id: str) -> Memory:
        """Return the summary of a user's older events, empty where there is none."""
        records = await self._store.retrieve(PROFILES, [_memory_point(tenant, user_id)])
        if not records:
            return Memory()
        fields = orjson.loads((records[0].payload or {})["memory"])
        return Memory(fields["summary"], frozenset(fields["event_ids"]))

    async def put_memory(self, tenant: str, user_id: str, memory: Memory) -> None:
        """Write the summary of a user's older events."""
        fields = {"summary": memory.summary, "event_ids": sorted(memory.event_ids)}
        payload = {"tenant": tenant, "user_id": user_id, "memory": orjson.dumps(fields).decode()}
        await self._store.upsert(PROFILES, [point(_memory_point(tenant, user_id), {}, payload)])

    def forget(self) -> None:
        """Drop what is in memory, as others may have written meanwhile."""
        self._cache.clear()
        self._writes += 1

    async def _is_newest(self, key: UserKey, known: Profile | None) -> bool:
        stored = await self._store.retrieve(PROFILES, [_point(*key)], with_payload=["made_at"])
        made_at = (stored[0].payload or {}).get("made_at") if stored else None
        return made_at == (known.updated_at if known is not None else None)

    async def delete(self, tenant: str, user_id: str) -> None:
        """Forget a profile and the summary."""
        points = [_point(tenant, user_id), _memory_point(tenant, user_id)]
        await self._store.delete(PROFILES, points)
        self._writes += 1
        self._cache.pop((tenant, user_id), None)


def _point(tenant: str, user_id: str) -> str:
    return point_id("profile", tenant, user_id)


def _memory_point(tenant: str, user_id: str) -> str:
    return point_id("memory", tenant, user_id)


def _decode(record: models.Record) -> Profile:
    fields = orjson.loads((record.payload or {})["profile"])
    return Profile(**fields, vector=vector_of(record, "profile"))
