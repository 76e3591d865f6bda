"""Writes profiles, but never of a user who was erased meanwhile."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import Final

from cachetools import LRUCache

from indexer.domain.profile import Memory, Profile, profile_vector, term_text
from indexer.domain.state import UserState
from indexer.embedding import Embeddings
from indexer.errors import ProviderError, ProviderUnavailable
from indexer.ports import Changes, ProfileChange
from indexer.profiling.parse import Draft
from indexer.stores.profiles import Profiles
from indexer.stores.users import UserKey, UserStates

__all__ = ["ProfileWriter"]

_ERASED_MAX: Final = 100_000


class ProfileWriter:
    """Makes a draft a profile, stores it and says so.

    ``begun`` is when its making began (monotonic).
    """

    def __init__(
        self,
        states: UserStates,
        profiles: Profiles,
        embeddings: Embeddings,
        changes: Changes,
        turn: asyncio.Lock,
    ) -> None:
        self._states, self._profiles = states, profiles
        self._embeddings, self._changes, self._turn = embeddings, changes, turn
        self._erased_at: LRUCache[UserKey, float] = LRUCache(_ERASED_MAX)

    def erased(self, key: UserKey) -> None:
        """Note that a user was erased: nothing that was begun before is written."""
        self._erased_at[key] = time.monotonic()

    async def gone(self, key: UserKey, begun: float) -> bool:
        """Whether a user was erased since ``begun``, also if back since."""
        return self._erased_at.get(key, -math.inf) >= begun or await self._states.get(*key) is None

    async def put(
        self, state: UserState, draft: Draft, model: str, cost_usd: float | None, begun: float
    ) -> bool:
        """Write what was made from ``state``; False where terms are still to be embedded."""
        profile = Profile(
            weights=draft.weights,
            summary=draft.summary,
            model=model,
            user_version=state.version,
            updated_at=time.time(),
            cost_usd=cost_usd,
            event_count=state.event_count,
            evidence=draft.evidence,
        )
        return await self.complete((state.tenant, state.user_id), profile, begun)

    async def complete(self, key: UserKey, profile: Profile, begun: float) -> bool:
        """Embed a profile's terms and write it; False where some are still to be embedded."""
        texts = {term: term_text(term) for term in profile.weights}
        found = await self._embeddings.each(list(texts.values()))
        known = {
            term: vector
            for term, text in texts.items()
            if not isinstance(vector := found[text], ProviderError)
        }
        whole = replace(
            profile,
            vector=profile_vector(profile.weights, known),
            updated_at=time.time(),  # by which others see that it is another
        )
        async with self._turn:
            if not await self.gone(key, begun):
                await self._profiles.put(*key, whole)
                await self._changes.publish([ProfileChange(*key)])
        return not any(isinstance(one, ProviderUnavailable) for one in found.values())

    async def put_memory(self, key: UserKey, memory: Memory, begun: float) -> None:
        """Write the summary of a user's older events."""
        async with self._turn:
            if not await self.gone(key, begun):
                await self._profiles.put_memory(*key, memory)
