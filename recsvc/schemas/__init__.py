"""What goes over the wire: parameters, bodies, and answers as the OpenAPI document shows them."""

from __future__ import annotations

from recsvc.schemas.costs import CostsOut, CostsParams
from recsvc.schemas.dead_letters import (
    DeadLetters,
    DeadLettersParams,
    LetterRetry,
    LettersRetried,
    LettersRetry,
)
from recsvc.schemas.events import (
    EventsAccepted,
    EventsApplied,
    EventsParams,
    NewestEvents,
    NewestEventsParams,
)
from recsvc.schemas.items import (
    BrowseParams,
    CatalogueFeatures,
    ItemOut,
    ItemPut,
    ItemsPage,
    ItemsResult,
)
from recsvc.schemas.lists import (
    ListParams,
    Recommendations,
    SessionIn,
    SessionRecommendations,
    SimilarItems,
    UserParams,
)
from recsvc.schemas.map import CatalogueMap, MapParams, UserMap
from recsvc.schemas.operations import Stats
from recsvc.schemas.users import Erased, UserOut, UsersPage, UsersParams

__all__ = [
    "BrowseParams",
    "CatalogueFeatures",
    "CatalogueMap",
    "CostsOut",
    "CostsParams",
    "DeadLetters",
    "DeadLettersParams",
    "Erased",
    "EventsAccepted",
    "EventsApplied",
    "EventsParams",
    "ItemOut",
    "ItemPut",
    "ItemsPage",
    "ItemsResult",
    "LetterRetry",
    "LettersRetried",
    "LettersRetry",
    "ListParams",
    "MapParams",
    "NewestEvents",
    "NewestEventsParams",
    "Recommendations",
    "SessionIn",
    "SessionRecommendations",
    "SimilarItems",
    "Stats",
    "UserMap",
    "UserOut",
    "UserParams",
    "UsersPage",
    "UsersParams",
]
