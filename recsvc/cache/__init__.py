"""The cache of answers."""

from __future__ import annotations

from collections.abc import Hashable
from hashlib import blake2b
from importlib.metadata import version
from typing import Any, Final, Protocol

from indexer.settings import Settings
from indexer.telemetry import Telemetry

__all__ = ["AnswerCache", "Version", "open_cache"]

_MADE_WITH: Final = (
    "calibration",
    "embedding_dim",
    "embedding_model",
    "exploration",
    "half_life_hot_s",
    "half_life_long_s",
    "half_life_popularity_s",
    "half_life_profile_s",
    "half_life_short_s",
    "half_life_trend_s",
    "profile_weight",
    "qdrant_prefix",
    "short_weight",
    "visit_s",
)
"""Settings that decide what is in a list."""

Version = tuple[int | float | str | None, ...]
"""All that an answer depends on beside its parameters; it means the same in every process."""


class AnswerCache(Protocol):
    """Keeps answers by what they were made of, so that an older one cannot be found.

    ``params``: a frozen dataclass, and all in it as well; what `repr` shows of it, and nothing
    else, tells one from another.

    An answer found is its keeper's: change a copy.
    """

    async def get(
        self, tenant: str, user_id: str, version: Version, params: Hashable
    ) -> dict[str, Any] | None:
        """Return a cached answer, or None; never fails, and waits for a bounded time only."""
        ...

    def put(
        self, tenant: str, user_id: str, version: Version, params: Hashable, answer: dict[str, Any]
    ) -> None:
        """Keep an answer, if that is possible at the moment."""
        ...

    def drop_user(self, tenant: str, user_id: str) -> None:
        """Give back the memory of a user's answers.

        This is not what keeps an erased user's answers from being found. Their version has the
        offset of the last event folded in it, and offsets rise: with whatever history the user
        begins again, no version from before the erasure comes again. What another process or
        Redis still has of it is never asked for, and is gone when its time is up.
        """
        ...

    async def run(self) -> None:
        """Do what must not hold up an answer, until cancelled."""
        ...

    async def ping(self) -> None:
        """Raise ChangesError where what several processes share does not answer."""
        ...

    async def close(self) -> None: ...


def open_cache(settings: Settings, telemetry: Telemetry) -> AnswerCache | None:
    """Open the cache that ``RECSVC_CACHE_URL`` names, or None. Nothing connects yet.

    Another release's answers may be of another shape, and other settings make other lists: each
    has its own.
    """
    if not settings.cache_enabled:
        return None
    from recsvc.cache.memory import MemoryCache

    memory = MemoryCache(settings.cache_ttl_s)
    if settings.cache_url == "memory":
        return memory
    from recsvc.cache.redis import RedisCache

    made_with = repr([(name, getattr(settings, name)) for name in _MADE_WITH])
    digest = blake2b(made_with.encode(), digest_size=8).hexdigest()
    name = f"{settings.event_log_name}:{version('recsvc')}:{digest}"
    return RedisCache(settings.cache_url, name, memory, settings.cache_ttl_s, telemetry)
