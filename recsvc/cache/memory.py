"""Cached answers in this process: the least recently used users go first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from cachetools import TLRUCache

from recsvc.cache import Version

__all__ = ["MemoryCache"]

_USERS_MAX = 10_000
_ANSWERS_PER_USER_MAX = 32


@dataclass(frozen=True, slots=True)
class _Kept:
    """A user's answers, all of one version, until the first of them is too old."""

    version: Version
    until: float
    answers: dict[Hashable, dict[str, Any]] = field(default_factory=dict)


class MemoryCache:
    """An `AnswerCache` in this process; a user's next version replaces all answers of the last."""

    def __init__(self, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s, self._clock = ttl_s, clock
        self._users: TLRUCache[tuple[str, str], _Kept]
        self._users = TLRUCache(_USERS_MAX, lambda _, kept, __: kept.until, clock)

    async def get(
        self, tenant: str, user_id: str, version: Version, params: Hashable
    ) -> dict[str, Any] | None:
        """See `AnswerCache.get`; waits for nothing."""
        kept = self._users.get((tenant, user_id))
        return kept.answers.get(params) if kept is not None and kept.version == version else None

    def put(
        self,
        tenant: str,
        user_id: str,
        version: Version,
        params: Hashable,
        answer: dict[str, Any],
        *,
        age_s: float = 0.0,
    ) -> None:
        """See `AnswerCache.put`; ``age_s``: how long ago the answer was made."""
        until = self._clock() + self._ttl_s - age_s
        kept = self._users.get((tenant, user_id))
        if kept is None or kept.version != version or len(kept.answers) >= _ANSWERS_PER_USER_MAX:
            kept = _Kept(version, until)
        elif until < kept.until:
            kept = _Kept(version, until, kept.answers)
        else:
            kept.answers[params] = answer
            return
        kept.answers[params] = answer
        self._users[tenant, user_id] = kept

    def drop_user(self, tenant: str, user_id: str) -> None:
        """See `AnswerCache.drop_user`."""
        self._users.pop((tenant, user_id), None)

    async def run(self) -> None:
        """Wait until cancelled: there is nothing to do."""
        await asyncio.Event().wait()

    async def ping(self) -> None:
        """Nothing can be away."""

    async def close(self) -> None:
        """Nothing is open."""
