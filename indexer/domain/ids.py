"""Identities: which strings are ids, and the point ids derived from them.

A point id is a UUIDv5 of kind, tenant and id, so two tenants can use the same id and nothing
has to be looked up to find a point.
"""

from __future__ import annotations

import random
import re
import time
import uuid
from functools import lru_cache
from typing import Final, NewType

__all__ = [
    "DEFAULT_TENANT",
    "ID_PATTERN",
    "ItemId",
    "Tenant",
    "UserId",
    "is_id",
    "item_point",
    "new_event_id",
    "point_id",
    "user_point",
]

Tenant = NewType("Tenant", str)
UserId = NewType("UserId", str)
ItemId = NewType("ItemId", str)

DEFAULT_TENANT: Final = Tenant("default")
ID_PATTERN: Final = r"^[A-Za-z0-9_.:@-]{1,128}$"

_ID = re.compile(r"[A-Za-z0-9_.:@-]{1,128}")
_random = random.Random()  # unique, not secret: seeded by the system once a process
_NAMESPACE = uuid.UUID("6b0f6a3e-6f5c-5c0e-9f62-7a6d2b8f1c11")


def is_id(text: str) -> bool:
    """Whether ``text`` may be the id of a user, an item or an event."""
    return _ID.fullmatch(text) is not None


def point_id(kind: str, tenant: str, key: str) -> str:
    """Derive the point id of ``key`` in the collection ``kind``, as a canonical UUID string."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}\0{tenant}\0{key}"))


@lru_cache(maxsize=131_072)
def item_point(tenant: str, item_id: str) -> str:
    """Derive an item's point id; cached, as every exclusion list needs hundreds of them."""
    return point_id("item", tenant, item_id)


def user_point(tenant: str, user_id: str) -> str:
    """Derive a user's point id."""
    return point_id("user", tenant, user_id)


def new_event_id() -> str:
    """Make an event id that sorts by time: 48 bits of milliseconds, then 80 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{_random.getrandbits(80):020x}"
