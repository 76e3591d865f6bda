"""Cached answers in this process: the least recently used users go first."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from cachetools import TTLCache

__all__ = ["AnswerCache"]

_USERS_MAX = 10_000
_ANSWERS_PER_USER_MAX = 32


class AnswerCache:
    """A user's answers, all of one version; the next version replaces them.

    ``version`` is whatever an answer depends on beside its parameters, so an answer made of an
    older state cannot be found.
    """

    def __init__(self, ttl_s: float) -> None:
        self._users: TTLCache[tuple[str, str], tuple[Hashable, dict[Hashable, dict[str, Any]]]]
        self._users = TTLCache(_USERS_MAX, ttl_s)

    def get(
        self, tenant: str, user_id: str, version: Hashable, params: Hashable
    ) -> dict[str, Any] | None:
        """Return a cached answer, or None."""
        cached = self._users.get((tenant, user_id))
        return cached[1].get(params) if cached is not None and cached[0] == version else None

    def put(
        self, tenant: str, user_id: str, version: Hashable, params: Hashable, answer: dict[str, Any]
    ) -> None:
        """Keep an answer."""
        cached = self._users.get((tenant, user_id))
        if cached is None or cached[0] != version or len(cached[1]) >= _ANSWERS_PER_USER_MAX:
            self._users[tenant, user_id] = (version, {params: answer})
        else:
            cached[1][params] = answer

    def drop_user(self, tenant: str, user_id: str) -> None:
        """Forget a user's answers."""
        self._users.pop((tenant, user_id), None)
