"""Keeps profiles up to date, off the path of the events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from cachetools import TTLCache

from indexer.domain.events import ref_item
from indexer.domain.items import facets
from indexer.domain.profile import Evidence, Profile, profile_vector, term_text
from indexer.domain.state import UserState
from indexer.errors import unforeseen
from indexer.ports import Profiler
from indexer.stores.items import FEATURE_PREFIX, ItemPoints
from indexer.stores.points import equals
from indexer.stores.profiles import Profiles
from indexer.stores.terms import Terms
from indexer.stores.users import UserKey, UserStates
from indexer.telemetry import Telemetry

__all__ = ["ProfileRefresher"]

_log = logging.getLogger(__name__)

_SETTLE_S = 1.0
_RETRY_S = 10.0
_REST_FACTOR = 9.0
_DUE_MAX = 100_000
_SHARES_CACHED, _SHARES_TTL_S = 10_000, 300.0


class ProfileRefresher:
    """Refreshes the profiles of users whose state has changed.

    A user becomes due with an event and is refreshed a second later, once, however many events
    came meanwhile. Between two users it rests nine times as long as the first one took, so that
    profiles never take more than a tenth of the process.
    """

    def __init__(
        self,
        states: UserStates,
        profiles: Profiles,
        items: ItemPoints,
        terms: Terms,
        profiler: Profiler,
        telemetry: Telemetry,
        text_features: frozenset[str],
        turn: asyncio.Lock,
    ) -> None:
        self._turn = turn
        self._states, self._profiles, self._items, self._terms = states, profiles, items, terms
        self._profiler, self._telemetry = profiler, telemetry
        self._text_features = text_features
        self._due: dict[UserKey, float] = {}
        self._wake = asyncio.Event()
        self._shares: TTLCache[tuple[str, str], float] = TTLCache(_SHARES_CACHED, _SHARES_TTL_S)

    def due(self, key: UserKey) -> None:
        """Have a user's profile refreshed soon; beyond 100,000 waiting users, at the next event."""
        if key not in self._due and len(self._due) < _DUE_MAX:
            self._due[key] = time.monotonic() + _SETTLE_S
            self._wake.set()

    def drop(self, key: UserKey) -> None:
        """Forget that a user is due."""
        self._due.pop(key, None)

    async def run(self) -> None:
        """Refresh due users until cancelled."""
        while True:
            await self._wake.wait()
            while self._due:
                key, at = next(iter(self._due.items()))
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                if self._due.pop(key, None) is None:
                    continue
                start = time.perf_counter()
                await self._try(key)
                await asyncio.sleep(_REST_FACTOR * (time.perf_counter() - start))
            self._wake.clear()

    async def _try(self, key: UserKey) -> None:
        try:
            with self._telemetry.timed("profile"):
                await self._refresh(key)
        except Exception as exc:  # noqa: BLE001 - counted; one profile must not end all others
            self._telemetry.count("failures", "profile")
            _log.warning("a profile waits: %s", exc, exc_info=unforeseen(exc))
            self._due[key] = time.monotonic() + _RETRY_S

    async def _refresh(self, key: UserKey) -> None:
        tenant, user_id = key
        state = await self._states.get(tenant, user_id)
        if state is None:
            return
        evidence = await self._evidence(state)
        terms = {term for one in evidence for term in one.facets}
        weights = await self._profiler.weigh(evidence, await self._shares_of(tenant, sorted(terms)))
        texts = {term: term_text(term) for term in weights}
        vectors = await self._terms.vectors(tenant, list(texts.values()))
        known = {term: vectors[text] for term, text in texts.items()}
        profile = Profile(
            weights=weights,
            summary=_summary(weights),
            model=self._profiler.model,
            user_version=state.version,
            updated_at=time.time(),
            vector=profile_vector(weights, known),
        )
        async with self._turn:
            if await self._states.get(tenant, user_id) is not None:  # else it was erased meanwhile
                await self._profiles.put(tenant, user_id, profile)

    async def _evidence(self, state: UserState) -> list[Evidence]:
        entries = [(entry, ref_item(entry.ref)) for entry in state.window]
        item_ids = sorted({item_id for _, item_id in entries if item_id is not None})
        features = await self._items.features(state.tenant, item_ids)
        return [
            Evidence(entry, tuple(facets(features[item_id], self._text_features)))
            for entry, item_id in entries
            if item_id in features
        ]

    async def _shares_of(self, tenant: str, terms: Sequence[str]) -> dict[str, float]:
        """How much of the catalogue has each term; 0 for features that are not indexed."""
        shares: dict[str, float] = {}
        total: int | None = None
        for term in terms:
            share = self._shares.get((tenant, term))
            name, _, value = term.partition("=")
            if share is None and self._items.filter_kinds.get(name) == "keyword":
                total = await self._items.count(tenant) if total is None else total
                having = await self._items.count(tenant, [equals(FEATURE_PREFIX + name, value)])
                share = self._shares[tenant, term] = having / max(total, 1)
            shares[term] = share or 0.0
        return shares


def _summary(weights: Mapping[str, float]) -> str:
    liked = [term.partition("=")[2] for term, weight in weights.items() if weight > 0][:5]
    avoided = [term.partition("=")[2] for term, weight in weights.items() if weight < 0][:3]
    parts = [
        f"likes {', '.join(liked)}" if liked else "",
        avoided and f"avoids {', '.join(avoided)}",
    ]
    return "; ".join(str(part) for part in parts if part)
