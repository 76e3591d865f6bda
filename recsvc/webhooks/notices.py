"""What notices tell of that concerns webhooks, until it is dealt with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from indexer.domain.position import partition_of
from indexer.ports import Change, EventFailed, UserChange
from indexer.stores.users import UserKey
from recsvc.webhooks.registry import Registry

__all__ = ["NOTICES_MAX", "Noticed", "Notices"]

NOTICES_MAX: Final = 20_000
"""Notices of a kind that are kept; of what is beyond them, the log tells."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was told, each of it when.

    ``changed``: users. ``failures``: by tenant, user and event. ``lost``: tenant and partition of
    failures that there was no room for.
    """

    changed: dict[UserKey, float] = field(default_factory=dict)
    failures: dict[tuple[str, str, str], EventFailed] = field(default_factory=dict)
    lost: dict[tuple[str, int], float] = field(default_factory=dict)


class Notices:
    """Keeps what is told of users whose partitions are ours.

    What `noticed` returns is to be dealt with, and then given to `settle`, as a whole or in parts:
    what came meanwhile stays. ``erased``: users, when it was told; the same holds for them.
    """

    def __init__(self, registry: Registry, partitions: int) -> None:
        self._registry, self._partitions = registry, partitions
        self._kept = Noticed()
        self.erased: dict[UserKey, float] = {}

    def take(self, change: Change, is_ours: Callable[[int], bool]) -> bool:
        """Keep a notice; False where it concerns no webhook, or is not ours to send."""
        if not isinstance(change, (UserChange, EventFailed)):
            return False
        if change.tenant not in self._registry:
            return False
        key = (change.tenant, change.user_id)
        partition = partition_of(*key, self._partitions)
        if not is_ours(partition):
            return False
        if isinstance(change, EventFailed):
            self._fail(change, partition)
        elif change.version == 0:
            self._erase(key)
        elif len(self._kept.changed) < NOTICES_MAX:
            self._kept.changed[key] = time.time()
        return True

    def noticed(self) -> Noticed:
        """Return what was told so far."""
        kept = self._kept
        return Noticed(dict(kept.changed), dict(kept.failures), dict(kept.lost))

    def settle(self, done: Noticed) -> None:
        """Forget what was dealt with, but not what was told anew meanwhile."""
        _settle(self._kept.changed, done.changed)
        _settle(self._kept.failures, done.failures)
        _settle(self._kept.lost, done.lost)

    def settle_erased(self, done: Mapping[UserKey, float]) -> None:
        """Forget users who are erased, but not those who were once more meanwhile."""
        _settle(self.erased, done)

    def clear(self) -> None:
        """Forget everything, as there is nobody to be told."""
        self._kept = Noticed()
        self.erased.clear()

    def is_erased(self, key: UserKey) -> bool:
        """Whether what began about a user before must not be sent."""
        return key in self.erased

    def _fail(self, failed: EventFailed, partition: int) -> None:
        failures = self._kept.failures
        if len(failures) < NOTICES_MAX:
            failures[failed.tenant, failed.user_id, failed.event_id] = failed
        else:
            self._kept.lost[failed.tenant, partition] = time.time()

    def _erase(self, key: UserKey) -> None:
        self._kept.changed.pop(key, None)
        for about in [one for one in self._kept.failures if one[:2] == key]:
            del self._kept.failures[about]
        self.erased[key] = time.time()


def _settle(kept: dict[K, V], done: Mapping[K, V]) -> None:
    for key, value in done.items():
        if kept.get(key) is value:
            del kept[key]
