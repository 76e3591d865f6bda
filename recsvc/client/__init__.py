"""Clients of the service, for code that blocks and for code on an event loop.

Nothing of the service itself is imported: httpx is needed, and websockets for `AsyncClient.stream`.
"""

from __future__ import annotations

from recsvc.client.aio import AsyncClient
from recsvc.client.answers import (
    Erased,
    Interest,
    Item,
    ItemsResult,
    PendingItem,
    Profile,
    Pushed,
    Recommendations,
    Recommended,
    RejectedItem,
    Sent,
    SessionRecommendations,
    SimilarItems,
    Stats,
    SyncResult,
    Update,
    User,
)
from recsvc.client.calls import (
    Event,
    ItemFields,
    ListParams,
    NewItem,
    RankedParams,
    SessionParams,
    UserParams,
)
from recsvc.client.errors import Failed, FieldError, NotReached, RecsvcClientError, Refused
from recsvc.client.sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "Erased",
    "Event",
    "Failed",
    "FieldError",
    "Interest",
    "Item",
    "ItemFields",
    "ItemsResult",
    "ListParams",
    "NewItem",
    "NotReached",
    "PendingItem",
    "Profile",
    "Pushed",
    "RankedParams",
    "Recommendations",
    "Recommended",
    "RecsvcClientError",
    "Refused",
    "RejectedItem",
    "Sent",
    "SessionParams",
    "SessionRecommendations",
    "SimilarItems",
    "Stats",
    "SyncResult",
    "Update",
    "User",
    "UserParams",
]
