"""A data set to evaluate on: a catalogue, and what happened, in order of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import TypeAdapter

from indexer.domain.events import DEFAULT_WEIGHTS, RATE, RETRACT, Event, signed_weight
from indexer.domain.items import Item
from indexer.errors import InvalidInput
from indexer.rows import Row, read_rows
from indexer.wire import EventIn, ItemIn, parse, to_event, to_item
from recsvc.sample import EVENTS, ITEMS

__all__ = ["NAMES", "Coded", "Dataset", "coded", "known", "load_dataset"]

NAMES: Final = ("goodbooks",)
"""The data sets that are shipped."""

_PURCHASE: Final = "purchase"
_LIKED_FROM: Final = 4.0
_EPOCH_S, _STEP_S = 1_000_000_000.0, 60.0
_ITEM, _EVENT = TypeAdapter(ItemIn), TypeAdapter(EventIn)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dataset:
    """``events`` are in order of time, those of one user at one moment side by side.

    ``dropped``: events left out, of items outside the catalogue, without an item, or repeated.
    ``graded``: whether there are purchases or ratings, and so only they can be positive.
    """

    items: tuple[Item, ...]
    events: tuple[Event, ...]
    dropped: int
    graded: bool
    weights: Mapping[str, float]

    def is_positive(self, event: Event) -> bool:
        """Whether the event says that its item was a good one to recommend."""
        if event.item_id is None:
            return False
        if not self.graded:
            return signed_weight(event, self.weights) > 0.0
        return event.event_type == _PURCHASE or (
            event.event_type == RATE and (event.value or 0.0) >= _LIKED_FROM
        )


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Events as arrays of one length, in order of time; numbers are places in the id tuples.

    ``users``, ``items``: (n,) int32, an item of -1 where there is none; ``positive``: (n,) bool;
    ``timestamps``: (n,) float64, unix seconds.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    positive: NDArray[np.bool_]
    timestamps: NDArray[np.float64]

    def take(self, places: NDArray[np.int64] | slice) -> Coded:
        """Return only the events at ``places``; users and items keep their numbers."""
        return Coded(
            self.user_ids,
            self.item_ids,
            self.users[places],
            self.items[places],
            self.positive[places],
            self.timestamps[places],
        )


def known(name: str) -> tuple[Path, Path]:
    """Return the files of a shipped data set: items, events.

    Raises:
        InvalidInput: none of this name is shipped.
    """
    if name not in NAMES:
        raise InvalidInput(f"no data set {name!r} is shipped; there is: {', '.join(NAMES)}")
    return ITEMS, EVENTS


def load_dataset(
    items: Path,
    events: Path,
    *,
    tenant: str = "default",
    weights: Mapping[str, float] = DEFAULT_WEIGHTS,
) -> Dataset:
    """Read both files, in any format that `recsvc load` takes.

    Events without a timestamp keep the order of their lines, a minute apart. Those without an
    ``event_id`` are named after their line, so that every reading is the same. Retractions are
    dropped, and what they retract is not: until then it was there to learn from.

    Raises:
        InvalidInput: a file cannot be read, holds nothing of use, or a row of it is refused.
        SettingsError: Parquet without the extra that reads it.
    """
    catalogue = {
        sent.item_id: to_item(tenant, sent.item_id, sent) for _, sent in _rows(items, _ITEM)
    }
    found, dropped = _events(events, catalogue, tenant, weights)
    if not found:
        raise InvalidInput(f"{events}: no event of an item in {items}")
    graded = any(event.event_type in (_PURCHASE, RATE) for event in found)
    return Dataset(tuple(catalogue.values()), _in_order(found), dropped, graded, weights)


def coded(dataset: Dataset) -> Coded:
    """Number users by their first event and items by their place in the catalogue."""
    item_ids = tuple(item.item_id for item in dataset.items)
    item_index = {item_id: place for place, item_id in enumerate(item_ids)}
    user_index: dict[str, int] = {}
    for event in dataset.events:
        user_index.setdefault(event.user_id, len(user_index))
    events = dataset.events
    return Coded(
        tuple(user_index),
        item_ids,
        np.array([user_index[event.user_id] for event in events], np.int32),
        np.array([item_index.get(event.item_id or "", -1) for event in events], np.int32),
        np.array([dataset.is_positive(event) for event in events], np.bool_),
        np.array([event.timestamp for event in events], np.float64),
    )


def _rows(path: Path, adapter: TypeAdapter[T]) -> Iterator[tuple[Row, T]]:
    for row in read_rows(str(path)):
        if row.fields is None:
            raise InvalidInput(row.reason or "not a row").within(row.number).within(str(path))
        body = orjson.dumps(dict(row.fields), option=orjson.OPT_NON_STR_KEYS, default=str)
        try:
            yield row, parse(adapter, body)
        except InvalidInput as exc:
            raise exc.within(row.number).within(str(path)) from exc


def _events(
    path: Path, items: Collection[str], tenant: str, weights: Mapping[str, float]
) -> tuple[list[Event], int]:
    """Return the events that can be used, in order of the file, and how many others there are."""
    found, dropped, untimed = [], 0, 0
    seen: set[tuple[str, str]] = set()
    for row, sent in _rows(path, _EVENT):
        try:
            event = to_event(tenant, sent, weights, now=_EPOCH_S + _STEP_S * untimed)
        except InvalidInput as exc:
            raise exc.within(row.number).within(str(path)) from exc
        untimed += sent.timestamp is None
        repeated = sent.event_id is not None and (sent.user_id, sent.event_id) in seen
        elsewhere = event.item_id is not None and event.item_id not in items
        if repeated or elsewhere or event.event_type == RETRACT:
            dropped += 1
            continue
        if sent.event_id is None:
            event = replace(event, event_id=f"e{row.number}")
        else:
            seen.add((sent.user_id, sent.event_id))
        found.append(event)
    return found, dropped


def _in_order(events: Sequence[Event]) -> tuple[Event, ...]:
    """Sort by time; of one moment, user by user, each in order of the file."""
    first: dict[tuple[float, str], int] = {}
    for place, event in enumerate(events):
        first.setdefault((event.timestamp, event.user_id), place)
    return tuple(sorted(events, key=lambda e: (e.timestamp, first[e.timestamp, e.user_id])))
