"""A user who is listened to: what listeners want and have, and in whose lists an item is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import orjson
from cachetools import LRUCache

from recsvc.listener import Listener, Push
from recsvc.live import UpToDate, update

__all__ = ["ShownItems", "ToldLists", "Topic", "Urgency", "UserKey", "Wish", "lay_out"]

_REMEMBERED_MAX: Final = 20_000
"""Lists of which is remembered what they were."""

UserKey = tuple[str, str]
"""Tenant and user id."""


class Urgency(IntEnum):
    """How soon a list is to be made again; less is sooner."""

    SOON = 0
    LATER = 1
    NEVER = 2


@dataclass(slots=True)
class Wish:
    """What a listener wants of a user. ``known``: the sequence that it has; ``shown``: a hash of
    the list that it has, where it is known; ``asked``: whether it is to be told, too, that there is
    nothing newer."""

    limit: int
    features: bool = False
    known: int | None = None
    shown: int | None = None
    asked: bool = False


@dataclass(slots=True, eq=False)
class Topic:
    """A user who is listened to. ``told``: the newest version that was computed; ``wanted``: the
    one that the next list must have at least; ``items``: those of the newest lists. ``waiting``:
    how soon it is to be computed, as of the ``turn`` that counts; ``again``: the same of once more;
    ``later_at``: when it may be `LATER`, at the earliest."""

    key: UserKey
    wishes: dict[Listener, Wish] = field(default_factory=dict)
    told: int | None = None
    wanted: int = 0
    stale: int = 0
    failed: int = 0
    ready_at: float = 0.0
    later_at: float = 0.0
    turn: int = 0
    waiting: Urgency = Urgency.NEVER
    computing: bool = False
    again: Urgency = Urgency.NEVER
    items: frozenset[str] = frozenset()


class ShownItems:
    """In which topics' newest lists an item is."""

    def __init__(self) -> None:
        self._topics: dict[tuple[str, str], set[Topic]] = {}

    def put(self, topic: Topic, items: frozenset[str]) -> None:
        """Take in what a topic's listeners are shown now; nothing forgets the topic."""
        tenant = topic.key[0]
        for item_id in topic.items - items:
            there = self._topics[tenant, item_id]
            there.discard(topic)
            if not there:
                del self._topics[tenant, item_id]
        for item_id in items - topic.items:
            self._topics.setdefault((tenant, item_id), set()).add(topic)
        topic.items = items

    def of(self, tenant: str, item_ids: Iterable[str]) -> Iterator[Topic]:
        """Give the topics that show one of the items, each once."""
        given: set[Topic] = set()
        for item_id in item_ids:
            for topic in self._topics.get((tenant, item_id), ()):
                if topic not in given:
                    given.add(topic)
                    yield topic


class ToldLists:
    """Which lists were told under which version, also to who has left since: a new profile or the
    catalogue can change a list within its version, so that who comes back with that may lack it.
    """

    def __init__(self) -> None:
        self._told: LRUCache[tuple[UserKey, int, bool], tuple[int, int, bool]] = LRUCache(
            _REMEMBERED_MAX
        )

    def same(self, user: UserKey, limit: int, features: bool, version: int, shown: int) -> bool:
        """Note a list by its hash; whether it is known to be the only one of its version."""
        key = (user, limit, features)
        before = self._told.get(key)
        known = before is not None and before[0] == version
        one = before is None or before[0] != version or before[1:] == (shown, True)
        self._told[key] = (version, shown, one)
        return known and one


def lay_out(topic: Topic, limit: int, answer: Mapping[str, Any], lists: ToldLists) -> None:
    """Lay out a list for all who want so many items; what is written is written once."""
    pushes: dict[bool, tuple[Push, int, bool]] = {}
    for listener, wish in topic.wishes.items():
        if wish.limit == limit:
            if wish.features not in pushes:
                push, shown = _written(answer, features=wish.features)
                same = lists.same(topic.key, limit, wish.features, push.sequence, shown)
                pushes[wish.features] = push, shown, same
            _put(listener, topic.key[1], wish, *pushes[wish.features])


def _written(answer: Mapping[str, Any], *, features: bool) -> tuple[Push, int]:
    """Return what tells an answer, and a hash of what somebody would see another list by."""
    fields = ("item_id", "features") if features else ("item_id",)
    seen = [[item[name] for name in fields] for item in answer["items"]]
    told = update(answer, features=features)
    return Push(told.sequence, told.text()), hash(orjson.dumps(seen))


def _put(listener: Listener, user_id: str, wish: Wish, push: Push, shown: int, same: bool) -> None:
    """Lay out a list for a listener that lacks it; tell one that asked if it does not.

    ``same``: whether who is at its sequence has this very list.
    """
    asked, wish.asked = wish.asked, False
    has_it = same if wish.shown is None else wish.shown == shown
    lacks = wish.known != push.sequence or not has_it
    wish.known, wish.shown = push.sequence, shown
    if lacks:
        listener.put(user_id, push)
    elif asked:
        current = UpToDate(user_id=user_id, sequence=push.sequence)
        listener.put(user_id, Push(push.sequence, current.text()))
