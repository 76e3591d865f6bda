"""Bulk loads: files into a running service, or straight into the store when none runs.

Doing it again is harmless, which is what makes it restartable: an unchanged item is skipped by
its hash, and an event without an id gets one made of its content and line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import httpx
import orjson
from pydantic import TypeAdapter

from indexer.errors import EventConflict, FieldError, InvalidInput, StoreUnavailable
from indexer.rows import Kind, Row, kind_of, read_rows
from indexer.runtime import Runtime
from indexer.wire import EventIn, ItemIn, parse, to_event, to_item

__all__ = ["HttpSink", "LoadReport", "Sink", "StoreSink", "load"]

_CHUNK: Final[dict[Kind, int]] = {"items": 200, "events": 500}
_HTTP_TIMEOUT_S = 60.0
_TOO_LARGE = 413
_REFUSED = (409, _TOO_LARGE, 422)
_ITEM, _EVENT = TypeAdapter(ItemIn), TypeAdapter(EventIn)

T = TypeVar("T")


@dataclass(slots=True)
class LoadReport:
    """What became of the rows."""

    read: int = 0
    stored: int = 0
    unchanged: int = 0
    pending: int = 0
    rejected: int = 0
    reject_file: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON fields."""
        return asdict(self)


@dataclass(slots=True)
class Stored:
    """What a sink did with a chunk: counts, and the refused rows by place, with reasons."""

    stored: int = 0
    unchanged: int = 0
    pending: int = 0
    refused: dict[int, str] = field(default_factory=dict)


class Sink(Protocol):
    """Where rows go."""

    async def items(self, items: Sequence[ItemIn]) -> Stored: ...

    async def events(self, events: Sequence[EventIn]) -> Stored: ...


class StoreSink:
    """The store and log of this process."""

    def __init__(self, runtime: Runtime, tenant: str) -> None:
        self._runtime, self._tenant = runtime, tenant

    async def items(self, items: Sequence[ItemIn]) -> Stored:
        """Index items."""
        put = self._runtime.catalogue.put
        result = await put(
            self._tenant, [to_item(self._tenant, item.item_id, item) for item in items]
        )
        return Stored(result.stored, result.unchanged, len(result.pending))

    async def events(self, events: Sequence[EventIn]) -> Stored:
        """Append events to the log."""
        result = Stored()
        weights = self._runtime.settings.event_weights
        ready = []
        for place, sent in enumerate(events):
            try:
                ready.append((place, to_event(self._tenant, sent, weights)))
            except InvalidInput as exc:
                result.refused[place] = str(exc)
        try:
            accepted = await self._runtime.log.append([event for _, event in ready])
        except EventConflict as exc:
            conflicts = set(exc.events)
            for place, event in ready:
                if (event.user_id, event.event_id) in conflicts:
                    result.refused[place] = "already accepted with another body"
            left = [event for place, event in ready if place not in result.refused]
            accepted = await self._runtime.log.append(left)
        result.stored, result.unchanged = accepted.accepted, accepted.duplicates
        return result


class HttpSink:
    """A running service."""

    def __init__(self, url: str, api_key: str | None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=_HTTP_TIMEOUT_S, trust_env=False
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def items(self, items: Sequence[ItemIn]) -> Stored:
        """Post items."""
        response = await self._post("/v1/items", items)
        if response.status_code == _TOO_LARGE and len(items) > 1:
            return await self._halved(self.items, items)
        body = self._checked(response)
        refused = {row["line"] - 1: row["reason"] for row in body["rejected"]}
        return Stored(body["stored"], body["unchanged"], len(body["pending"]), refused)

    async def events(self, events: Sequence[EventIn]) -> Stored:
        """Post events; where the service refuses a chunk, halve it until the culprits are found."""
        response = await self._post("/v1/events", events)
        if response.status_code in _REFUSED:
            if len(events) > 1:
                return await self._halved(self.events, events)
            return Stored(refused={0: response.json()["detail"]})
        body = self._checked(response)
        return Stored(body["accepted"], body["duplicates"])

    async def _halved(
        self, send: Callable[[Sequence[T]], Awaitable[Stored]], rows: Sequence[T]
    ) -> Stored:
        middle = len(rows) // 2
        first, second = await send(rows[:middle]), await send(rows[middle:])
        return Stored(
            first.stored + second.stored,
            first.unchanged + second.unchanged,
            first.pending + second.pending,
            first.refused | {middle + place: why for place, why in second.refused.items()},
        )

    async def _post(self, path: str, rows: Sequence[ItemIn] | Sequence[EventIn]) -> httpx.Response:
        body = orjson.dumps([row.model_dump(exclude_unset=True) for row in rows])
        try:
            return await self._client.post(path, content=body)
        except httpx.HTTPError as exc:
            raise StoreUnavailable(
                f"no service answers at {self._client.base_url}: {type(exc).__name__} {exc}"
            ) from exc

    def _checked(self, response: httpx.Response) -> Any:
        if not response.is_success:
            raise StoreUnavailable(
                f"the service at {self._client.base_url} answered {response.status_code}: "
                f"{response.text[:300]}"
            )
        return response.json()


async def load(
    path: str,
    sink: Sink,
    *,
    kind: Kind | None = None,
    reject_file: Path | None = None,
    progress: Callable[[int, LoadReport], None] | None = None,
) -> LoadReport:
    """Load one file. ``kind`` None: told by the first row.

    Refused rows are added to ``reject_file`` as JSON lines ``{line, reason, row}``, or end the
    load where that is None. ``progress`` is called with the bytes read and the report so far.

    Raises:
        InvalidInput: the file cannot be read, or a row is refused and there is no reject file.
    """
    loader = _Loader(path, sink, kind, reject_file)
    read = 0
    for row in read_rows(path):
        read = row.read
        if await loader.take(row) and progress is not None:
            progress(read, loader.report)
    await loader.finish()
    if progress is not None:
        progress(read, loader.report)
    return loader.report


class _Loader:
    def __init__(self, path: str, sink: Sink, kind: Kind | None, reject_file: Path | None) -> None:
        self._path, self._sink, self._kind, self._reject_file = path, sink, kind, reject_file
        self._items: list[tuple[Row, ItemIn]] = []
        self._events: list[tuple[Row, EventIn]] = []
        self.report = LoadReport()

    async def take(self, row: Row) -> bool:
        """Check a row and keep it; True when a chunk was sent."""
        self.report.read += 1
        if row.fields is None:
            self._reject(row, row.reason or "not a row")
            return False
        self._kind = self._kind or kind_of(row.fields)
        try:
            body = orjson.dumps(dict(row.fields), option=orjson.OPT_NON_STR_KEYS, default=str)
            if self._kind == "items":
                self._items.append((row, parse(_ITEM, body)))
            else:
                self._events.append((row, _identified(parse(_EVENT, body), row)))
        except InvalidInput as exc:
            self._reject(row, str(exc))
        if max(len(self._items), len(self._events)) >= _CHUNK[self._kind]:
            await self.finish()
            return True
        return False

    async def finish(self) -> None:
        """Send what is kept."""
        if self._items:
            rows, items = _unzipped(self._items)
            self._items = []
            self._note(rows, await self._sink.items(items))
        if self._events:
            rows, events = _unzipped(self._events)
            self._events = []
            self._note(rows, await self._sink.events(events))

    def _note(self, rows: Sequence[Row], result: Stored) -> None:
        self.report.stored += result.stored
        self.report.unchanged += result.unchanged
        self.report.pending += result.pending
        for place, reason in result.refused.items():
            self._reject(rows[place], reason)

    def _reject(self, row: Row, reason: str) -> None:
        if self._reject_file is None:
            raise InvalidInput([FieldError((self._path, row.number), reason)])
        self.report.rejected += 1
        self.report.reject_file = str(self._reject_file)
        line = orjson.dumps({"line": row.number, "reason": reason, "row": row.raw})
        with self._reject_file.open("ab") as file:
            file.write(line + b"\n")


def _identified(event: EventIn, row: Row) -> EventIn:
    if event.event_id is not None:
        return event
    digest = hashlib.blake2b(f"{row.number}\0{row.raw}".encode(), digest_size=12).hexdigest()
    return EventIn.model_validate(
        {**event.model_dump(exclude_unset=True), "event_id": f"load-{digest}"}
    )


def _unzipped(pairs: Sequence[tuple[Row, T]]) -> tuple[list[Row], list[T]]:
    return [row for row, _ in pairs], [sent for _, sent in pairs]
