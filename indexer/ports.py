"""What the write path needs of the outside: four ports, each with adapters in a package of its own.

The store port is a subset of ``qdrant_client.AsyncQdrantClient``, spoken in that library's models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qdrant_client import models

from indexer.domain.events import Event
from indexer.domain.items import Item
from indexer.domain.state import UserState
from indexer.domain.vectors import Vector
from indexer.errors import ProviderError

__all__ = [
    "Accepted",
    "Changes",
    "DeadLetter",
    "Embedder",
    "EventLog",
    "EventRecord",
    "Hit",
    "ItemRecord",
    "Learner",
    "PointId",
    "Query",
    "UserChange",
    "VectorStore",
]

PointId = str | int

Query = models.NearestQuery | models.FusionQuery | models.SparseVector | list[float] | None
"""What `VectorStore.query_points` can be asked; a bare vector asks for its nearest."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One point that a query found: ``ScoredPoint`` without what is not asked for."""

    id: str
    score: float
    payload: Mapping[str, Any]


class VectorStore(Protocol):
    """The calls of ``AsyncQdrantClient`` that are used, with its names and models.

    Point ids are canonical UUID strings. Writes are visible to the next call. Errors are
    `StoreError` and `StoreUnavailable`.
    """

    async def collection_exists(self, collection_name: str) -> bool: ...

    async def create_collection(
        self,
        collection_name: str,
        vectors_config: Mapping[str, models.VectorParams],
        *,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        hnsw_config: models.HnswConfigDiff | None = None,
    ) -> None:
        """Create a collection; ``hnsw_config`` with m=0 says that no graph is to be built."""
        ...

    async def delete_collection(self, collection_name: str) -> None: ...

    async def vectors_of(self, collection_name: str) -> dict[str, tuple[int, models.Distance]]:
        """Size and distance of each named vector of a collection."""
        ...

    async def payload_indexes(self, collection_name: str) -> dict[str, models.PayloadSchemaType]:
        """The indexed payload keys of a collection."""
        ...

    async def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: models.PayloadSchemaType
    ) -> None: ...

    async def upsert(self, collection_name: str, points: Sequence[models.PointStruct]) -> None: ...

    async def delete(self, collection_name: str, points: Sequence[PointId]) -> None: ...

    async def retrieve(
        self,
        collection_name: str,
        ids: Sequence[PointId],
        *,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> list[models.Record]: ...

    async def query_points(
        self,
        collection_name: str,
        query: Query = None,
        *,
        using: str | None = None,
        prefetch: Sequence[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int = 0,
        with_payload: bool | Sequence[str] = True,
    ) -> list[Hit]: ...

    async def scroll(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        *,
        limit: int = 100,
        offset: PointId | None = None,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> tuple[list[models.Record], PointId | None]: ...

    async def count(
        self, collection_name: str, count_filter: models.Filter | None = None
    ) -> int: ...

    async def flush(self) -> None:
        """Make all that was written survive a power loss, where that is ours to do."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One logged event. ``accepted_at``: unix seconds at which it became durable."""

    offset: int
    accepted_at: float
    event: Event


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """The newest catalogue change of one item; ``item`` is None where it was deleted."""

    offset: int
    tenant: str
    item_id: str
    item: Item | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an append: ``offset`` is that of its last event, new or known."""

    offset: int
    accepted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that could not be folded, with the reason."""

    letter_id: int
    offset: int
    tenant: str
    event: Mapping[str, Any]
    reason: str
    at: float


class EventLog(Protocol):
    """The durable, ordered record of accepted events and of the catalogue's newest state.

    Offsets rise by append. An append is durable when it returns.
    """

    async def append(self, events: Sequence[Event]) -> Accepted:
        """Append what is new of ``events``, all or none.

        Raises:
            EventConflict: an event id was accepted before with another body.
            Overloaded: too much is waiting for the disk.
            LogError: it is not durable.
        """
        ...

    async def append_items(self, items: Sequence[ItemRecord], *, only_unknown: bool = False) -> int:
        """Record changed items (offsets are ignored); return the last offset, 0 for none."""
        ...

    async def read(self, after: int, limit: int) -> list[EventRecord]: ...

    async def read_items(self, after: int, limit: int) -> list[ItemRecord]: ...

    def on_events(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called on the event loop after each append of events."""
        ...

    def on_items(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called on the event loop after each append of items."""
        ...

    async def find(self, tenant: str, user_id: str, event_id: str) -> EventRecord | None: ...

    async def user_events(
        self, tenant: str, user_id: str, *, after: int, limit: int
    ) -> list[EventRecord]: ...

    async def user_events_before(
        self, tenant: str, user_id: str, *, before: int, limit: int
    ) -> list[EventRecord]:
        """Return the newest events of a user below an offset, oldest first."""
        ...

    async def erase_user(self, tenant: str, user_id: str) -> int:
        """Delete all events of a user; return how many there were."""
        ...

    async def add_dead_letter(self, record: EventRecord, reason: str) -> None: ...

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]: ...

    async def drop_dead_letters(self, letter_ids: Sequence[int]) -> None: ...

    async def last_offset(self) -> int: ...

    async def last_item_offset(self) -> int: ...

    async def totals(self, tenant: str) -> dict[str, int]:
        """Rows held of a tenant: ``events``, ``items``, ``dead_letters``."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def name(self) -> str:
        """Which vectors it makes; vectors of different names are never compared."""
        ...

    @property
    def paid(self) -> bool:
        """Whether its vectors cost something, and are therefore all kept."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[Vector | ProviderError]:
        """Embed ``texts``, each of at least one character, in order and each for itself.

        In the place of a vector: `InputRefused` where that text will never be taken,
        `ProviderUnavailable` where it may be later.
        """
        ...

    async def ping(self) -> None:
        """Raise ProviderError where it does not answer, SchemaMismatch where it does wrongly."""
        ...

    async def close(self) -> None: ...


class Learner(Protocol):
    """Sees what users do next, to learn how to foretell it."""

    async def learn(self, before: UserState, record: EventRecord) -> None:
        """Look at an event that is about to be folded, with the state that it changes."""
        ...


@dataclass(frozen=True, slots=True)
class UserChange:
    """User ``user_id`` is at ``version`` now."""

    tenant: str
    user_id: str
    version: int


class Changes(Protocol):
    """Carries "user X is now version N" from who folds to who serves."""

    async def publish(self, changes: Iterable[UserChange]) -> None: ...

    def subscribe(self, receive: Callable[[UserChange], None]) -> None:
        """Have ``receive`` called for each change; it must be quick and not raise."""
        ...
