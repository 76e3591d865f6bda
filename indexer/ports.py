"""What the write path needs of the outside: ports, each with adapters in a package of its own.

The store port is a subset of ``qdrant_client.AsyncQdrantClient``, spoken in that library's models.
A log has partitions, each ordered and followed by one process at a time; the embedded log has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from qdrant_client import models

from indexer.domain.events import Event
from indexer.domain.items import Item
from indexer.domain.neighbours import Occurrence
from indexer.domain.position import Position
from indexer.domain.state import UserState
from indexer.domain.vectors import Vector
from indexer.errors import ProviderError

__all__ = [
    "CHANNELS",
    "Accepted",
    "Applied",
    "Change",
    "Changes",
    "Channel",
    "DeadLetter",
    "Embedder",
    "Erasure",
    "EventFailed",
    "EventLog",
    "EventRecord",
    "Feed",
    "Hit",
    "ItemRecord",
    "ItemsChange",
    "Learner",
    "Owner",
    "PairRecord",
    "PointId",
    "ProfileChange",
    "Query",
    "Record",
    "SharedLog",
    "Stretch",
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

    @property
    def durable(self) -> bool:
        """Whether a write survives a power loss when it returns, and not only after `flush`."""
        ...

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

    async def upsert_unless_older(
        self, collection_name: str, points: Sequence[models.PointStruct], key: str
    ) -> None:
        """Write those points whose payload's number ``key`` is not below that of what is stored.

        Where another process has taken over, what this one still had to write is left out.
        """
        ...

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

    async def pace(self, collection_name: str) -> None:
        """Wait, not for ever, while the engine is behind with indexing what was written."""
        ...

    async def beside(self) -> VectorStore:
        """Open the place of the next generation of all collections, to rebuild them in.

        What an earlier rebuild left there is still there. One at a time. Close it, or switch to it.
        """
        ...

    async def switch_to(self, other: VectorStore) -> None:
        """Have the collections of a store from `beside` take the place of this one's.

        They do so at once, for every process, and the earlier ones are deleted. ``other`` is
        closed; on a server, collections that it has not made or found stay as they are here.
        """
        ...

    async def flush(self) -> None:
        """Make all that was written survive a power loss, where that is ours to do."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


Channel = Literal["events", "items", "pairs"]
"""What a log carries: events, by user; changes of the catalogue, by item; and, in a log that
several processes follow, what events add to items, by item."""

CHANNELS: Final[tuple[Channel, ...]] = ("events", "items", "pairs")


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One logged event. ``accepted_at``: unix seconds at which it became durable."""

    offset: int
    accepted_at: float
    event: Event
    partition: int = 0


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """A catalogue change of one item; ``item`` is None where it was deleted.

    ``only_unknown``: an event brought the item; where it is known by then, this changes nothing.
    """

    offset: int
    tenant: str
    item_id: str
    item: Item | None
    partition: int = 0
    only_unknown: bool = False


@dataclass(frozen=True, slots=True)
class PairRecord:
    """What one event adds to one item; ``occurrence`` tells the place of the event itself."""

    offset: int
    tenant: str
    occurrence: Occurrence
    partition: int = 0


Record = EventRecord | ItemRecord | PairRecord


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a partition, read backwards. ``records``: its events, oldest first, marks of
    erased users among them. ``start``: the offset that it begins at; 0: there is nothing before.
    ``looked_at``: how many places that were, also of what is no event; at least one, or ``start``
    is 0."""

    records: Sequence[EventRecord]
    start: int
    looked_at: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an append. ``position``: of its last events, new or known."""

    position: Position
    accepted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """What became of erasing a user's events. ``position``: of the mark that has the rest erased
    by whoever folds the user's events; empty where this process does."""

    events: int
    position: Position


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that could not be folded, with the reason. ``letter_id`` is the log's own."""

    letter_id: str
    position: Position
    tenant: str
    event: Mapping[str, Any]
    reason: str
    at: float


class EventLog(Protocol):
    """The durable, ordered record of accepted events and of the catalogue's newest state.

    Offsets are above 0 and rise by append within a partition. An append is durable when it
    returns. Errors are `LogError`.
    """

    @property
    def partitions(self) -> int:
        """How many partitions each channel has; it never changes."""
        ...

    async def append(self, events: Sequence[Event]) -> Accepted:
        """Append what is new of ``events``, all or none.

        Raises:
            EventConflict: an event id was accepted before with another body.
            Overloaded: too much is waiting to become durable.
            LogError: it is not known to be durable; append it again.
        """
        ...

    async def append_items(
        self, items: Sequence[ItemRecord], *, only_unknown: bool = False
    ) -> Position:
        """Record changed items (their places are ignored); return where, empty for none."""
        ...

    async def read(self, partition: int, after: int, limit: int) -> list[EventRecord]:
        """Return the events of a partition beyond an offset, at most ``limit``."""
        ...

    async def read_before(self, partition: int, before: int, limit: int) -> Stretch:
        """Look at the newest places of a partition below an offset, at most ``limit``."""
        ...

    async def read_items(self, partition: int, after: int, limit: int) -> list[ItemRecord]:
        """Return the catalogue changes beyond an offset; a later change may stand for earlier."""
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

    async def erase_user(self, tenant: str, user_id: str) -> Erasure:
        """Delete all events of a user, or have them never be read again."""
        ...

    async def add_dead_letter(self, record: EventRecord, reason: str) -> None: ...

    async def dead_letters(
        self, *, tenant: str | None = None, limit: int = 100
    ) -> list[DeadLetter]:
        """Return the oldest letters, of one tenant or of all."""
        ...

    async def dead_letters_after(
        self, partition: int, after: int, *, limit: int, tenant: str | None = None
    ) -> list[DeadLetter]:
        """Return the letters of a partition's events beyond an offset, in the order of their
        places, of one tenant or of all."""
        ...

    async def drop_dead_letters(self, letter_ids: Sequence[str]) -> None: ...

    async def ends(self, channel: Channel) -> Position:
        """Return the newest offset of every partition, 0 where there is none yet."""
        ...

    async def totals(self, tenant: str) -> dict[str, int]:
        """Rows held of a tenant: ``events``, ``items``, ``dead_letters``."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


class SharedLog(EventLog, Protocol):
    """A log that several processes append to and follow."""

    async def append_pairs(self, pairs: Sequence[tuple[str, Occurrence]]) -> None:
        """Append what events of a tenant add to items, in order, to the items' partitions."""
        ...

    async def committed(self, channel: Channel, partitions: Iterable[int]) -> Position:
        """Return what whoever follows these partitions has committed; 0 where nothing is yet."""
        ...

    async def backlog(self, channel: Channel) -> int:
        """Count the records of all partitions that nobody has committed yet."""
        ...


class Owner(Protocol):
    """Told by a `Feed` which partitions are this process's."""

    async def take(self, partitions: frozenset[int]) -> Mapping[Channel, Position]:
        """Begin to own partitions; return the offsets that are applied, from which to go on."""
        ...

    async def release(self, partitions: frozenset[int]) -> None:
        """Finish what is under way, and write what is in memory: others go on from here."""
        ...


class Feed(Protocol):
    """What one process follows of a log: the partitions it owns, in every channel.

    Read, apply, then tell `applied`; read again without having told gives the same records.
    """

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that are this process's at the moment."""
        ...

    async def begin(self) -> None:
        """Take the partitions that nobody else can have; those of a shared log come with `run`.

        Raises:
            SchemaMismatch: the store holds more than the log.
        """
        ...

    async def run(self) -> None:
        """Fetch records and take partitions over or hand them on until cancelled; then release.

        A log that is away is waited for.
        """
        ...

    def on_records(self, channel: Channel, wake: Callable[[], None]) -> None:
        """Have ``wake`` called on the event loop when there may be records to read."""
        ...

    async def read(self, channel: Channel, limit: int) -> list[Any]:
        """Return the next records (`Record` of the channel) of the owned partitions, in the order
        of each partition; empty where there are none at the moment."""
        ...

    def applied(self, channel: Channel, position: Position) -> None:
        """Say that all up to these offsets is in the store."""
        ...

    def positions(self, channel: Channel) -> Position:
        """Return the applied offsets of the owned partitions."""
        ...

    async def commit(self) -> None:
        """Tell the log what is applied, for others to go on from and for its lag to be seen."""
        ...

    async def lag(self, channel: Channel = "events") -> int:
        """Count the records of the owned partitions that are not applied."""
        ...

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
    """User ``user_id`` is at ``version`` now; 0: erased."""

    tenant: str
    user_id: str
    version: int


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """User ``user_id`` has another profile; the version is as it was."""

    tenant: str
    user_id: str


@dataclass(frozen=True, slots=True)
class ItemsChange:
    """Items were written or deleted. ``ready``: those that have a vector from now on."""

    tenant: str
    item_ids: tuple[str, ...]
    ready: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventFailed:
    """An event went to the dead letters."""

    tenant: str
    user_id: str
    event_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """All of a channel up to ``position`` is in the store."""

    channel: Channel
    position: Position


Change = UserChange | ProfileChange | ItemsChange | EventFailed | Applied


class Changes(Protocol):
    """Carries what has changed from who writes to who serves, in this process and in others.

    A notice may be lost between processes: whoever needs to be right looks at versions.
    """

    async def publish(self, changes: Iterable[Change]) -> None:
        """Hand on changes; never fails, and takes no longer for others being away."""
        ...

    def subscribe(self, receive: Callable[[Change], None]) -> None:
        """Have ``receive`` called for each change; it must be quick and not raise."""
        ...

    async def run(self) -> None:
        """Listen to other processes until cancelled."""
        ...

    async def ping(self) -> None:
        """Raise ChangesError where other processes cannot be told."""
        ...

    async def close(self) -> None: ...
