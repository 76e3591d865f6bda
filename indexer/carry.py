"""Carrying a log from one place to another: as lines of JSON, each an event or an item."""

from __future__ import annotations

import gzip
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

import orjson

from indexer.domain.events import ERASE, Event
from indexer.domain.items import Item
from indexer.errors import EventConflict, FieldError, InvalidInput
from indexer.ports import EventLog, EventRecord, ItemRecord
from indexer.streams.codec import decode_item, decode_shared, encode_item, encode_shared

__all__ = ["Carried", "export_log", "import_log"]

_PAGE: Final = 1_000
_UNMARKED: Final = "carried over"
"""The fingerprint of an event whose caller chose no id: carried over twice, it counts once."""


@dataclass(slots=True)
class Carried:
    """How many lines were carried. ``known``: events that the log had already; ``refused``: that
    have the id of another one, which came before."""

    events: int = 0
    items: int = 0
    known: int = 0
    refused: int = 0


async def export_log(
    log: EventLog, path: str, progress: Callable[[Carried], None] | None = None
) -> Carried:
    """Write all that ``log`` holds to a file (``-``: standard output; ``.gz``: compressed).

    The catalogue comes first, then the events of each partition in their order.
    """
    carried = Carried()
    with _writing(path) as file:
        for partition in range(log.partitions):
            async for change in _items(log, partition):
                carried.items += 1
                file.write(_line("item", _item_fields(change)))
        for partition in range(log.partitions):
            async for record in _events(log, partition):
                carried.events += 1
                file.write(_line("event", _event_fields(record)))
                if progress is not None and carried.events % _PAGE == 0:
                    progress(carried)
    return carried


async def import_log(
    log: EventLog, path: str, progress: Callable[[Carried], None] | None = None
) -> Carried:
    """Append all of an exported file to ``log``; doing it again appends what is missing.

    Raises:
        InvalidInput: a line was not written by `export_log`; names it.
    """
    carried = Carried()
    events: list[Event] = []
    items: list[ItemRecord] = []

    async def send() -> None:
        for only_unknown, run in itertools.groupby(items, lambda change: change.only_unknown):
            await log.append_items(list(run), only_unknown=only_unknown)
        carried.items += len(items)
        items.clear()
        await _append(log, events, carried)
        events.clear()
        if progress is not None:
            progress(carried)

    with _reading(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                _take(orjson.loads(line), events, items)
            except (ValueError, TypeError, KeyError) as exc:
                raise InvalidInput(
                    [FieldError((path, number), f"no exported line: {exc}")]
                ) from exc
            if len(events) + len(items) >= _PAGE:
                await send()
        await send()
    return carried


async def _append(log: EventLog, events: list[Event], carried: Carried) -> None:
    try:
        accepted = await log.append(events)
    except EventConflict as exc:
        conflicts = set(exc.events)
        left = [event for event in events if (event.user_id, event.event_id) not in conflicts]
        carried.refused += len(events) - len(left)
        accepted = await log.append(left)
    carried.events += accepted.accepted
    carried.known += accepted.duplicates


async def _events(log: EventLog, partition: int) -> AsyncIterator[EventRecord]:
    """Yield events, but for those of users who were erased after them."""
    erased_at: dict[tuple[str, str], int] = {}
    async for record in _pages(log.read, partition):
        if record.event.event_type == ERASE:
            erased_at[record.event.tenant, record.event.user_id] = record.offset
    async for record in _pages(log.read, partition):
        event = record.event
        if record.offset > erased_at.get((event.tenant, event.user_id), -1):
            yield record


async def _items(log: EventLog, partition: int) -> AsyncIterator[ItemRecord]:
    async for change in _pages(log.read_items, partition):
        yield change


async def _pages(read: Any, partition: int) -> AsyncIterator[Any]:
    after = 0
    while records := await read(partition, after, _PAGE):
        for record in records:
            yield record
        after = records[-1].offset


def _event_fields(record: EventRecord) -> dict[str, Any]:
    return {
        "fingerprint": record.event.fingerprint or _UNMARKED,
        "accepted_at": record.accepted_at,
        "event": orjson.loads(encode_shared(record.event)),
    }


def _item_fields(change: ItemRecord) -> dict[str, Any]:
    item = change.item
    body = orjson.loads(encode_item(item)) if item is not None else None
    fields = {"tenant": change.tenant, "item_id": change.item_id, "item": body}
    return {**fields, "only_unknown": True} if change.only_unknown else fields


def _take(fields: dict[str, Any], events: list[Event], items: list[ItemRecord]) -> None:
    if "event" in fields:
        event = decode_shared(orjson.dumps(fields["event"]), str(fields["fingerprint"]))
        events.append(event)
        return
    tenant, item_id, body = str(fields["tenant"]), str(fields["item_id"]), fields["item"]
    item: Item | None = decode_item(tenant, item_id, orjson.dumps(body).decode()) if body else None
    change = ItemRecord(0, tenant, item_id, item)
    items.append(replace(change, only_unknown=bool(fields.get("only_unknown"))))


def _line(kind: str, fields: dict[str, Any]) -> bytes:
    return orjson.dumps({"kind": kind, **fields}, option=orjson.OPT_APPEND_NEWLINE)


@contextmanager
def _writing(path: str) -> Iterator[IO[bytes]]:
    """Write beside the file and put it in its place once it is whole."""
    if path == "-":
        yield sys.stdout.buffer
        return
    target, aside = Path(path), Path(f"{path}.partial")
    try:
        with cast(
            IO[bytes], gzip.open(aside, "wb") if path.endswith(".gz") else aside.open("wb")
        ) as f:
            yield f
        aside.replace(target)
    except OSError as exc:
        raise InvalidInput([FieldError((path,), f"cannot be written: {exc.strerror}")]) from exc


@contextmanager
def _reading(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        with cast(
            IO[bytes], gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")
        ) as f:
            yield f
    except OSError as exc:
        raise InvalidInput([FieldError((path,), f"cannot be read: {exc}")]) from exc


def _opened(path: Path, mode: Literal["rb", "wb"], *, zipped: bool) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, mode)) if zipped else path.open(mode)
