"""What of one tenant may be under way at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakValueDictionary

from indexer.errors import Overloaded

__all__ = ["UNDER_WAY_MAX", "TenantTurns"]

UNDER_WAY_MAX: Final = 4
"""Webhooks of one tenant that are made, changed or tested at once: each may look a name up."""


class TenantTurns:
    """Keeps one tenant from having what all share, and from changing a thing twice at once."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextmanager
    def asking(self, tenant: str) -> Iterator[None]:
        """Count the block as under way.

        Raises:
            Overloaded: as many are already.
        """
        if self._under_way[tenant] >= UNDER_WAY_MAX:
            raise Overloaded(
                f"{UNDER_WAY_MAX} webhooks are being made, changed or tested, which is all a "
                "tenant can have under way; try again"
            )
        self._under_way[tenant] += 1
        try:
            yield
        finally:
            self._under_way[tenant] -= 1
            if not self._under_way[tenant]:
                del self._under_way[tenant]

    def lock(self, tenant: str) -> asyncio.Lock:
        """Return what is to be held while webhooks of a tenant are read and written."""
        lock = self._locks.get(tenant)
        if lock is None:
            lock = self._locks[tenant] = asyncio.Lock()
        return lock
