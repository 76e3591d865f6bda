"""Looking through what could not be folded, and sending it once more.

One tenant's letters, or all of them where ``tenant`` is None, as for the commands.

What is sent has an event id that is made of the letter's place and of what is sent: sending it
twice, as the letter could not be dropped or two people did it at once, counts once.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import orjson
from pydantic import TypeAdapter

from indexer.data_dir import owning
from indexer.domain.events import Event
from indexer.errors import InvalidInput, NotFound, RecsvcError
from indexer.ports import DeadLetter, EventLog
from indexer.settings import Settings
from indexer.streams import open_streams
from indexer.wire import EventIn, checked, parse, to_event

__all__ = ["LETTERS_MAX", "Retried", "drop_letter", "letters_log", "resend_letter", "retry_letters"]

LETTERS_MAX: Final = 10_000
"""How many of the oldest letters are looked through."""

_BATCH: Final = 500
_IDENTITY: Final = ("event_id", "tenant")
_EVENT = TypeAdapter(EventIn)

_Batch = list[tuple[DeadLetter, Event]]


@dataclass(slots=True)
class Retried:
    """How many letters were sent again, and by letter id why others stay, or those as well."""

    sent: int = 0
    kept: dict[str, str] = field(default_factory=dict)


async def retry_letters(
    log: EventLog,
    weights: Mapping[str, float],
    *,
    tenant: str | None = None,
    letter_ids: Collection[str] | None = None,
) -> Retried:
    """Append the events again, as new ones with new ids, and forget the letters.

    ``letter_ids`` None: all. ``weights``: of the events that are accepted. A failure midway is told
    as the reason of all the letters that stay for it.

    Raises:
        RecsvcError: nothing could be sent.
    """
    retried = Retried()
    letters = await log.dead_letters(tenant=tenant, limit=LETTERS_MAX)
    if letter_ids is not None:
        known = {one.letter_id: one for one in letters}
        wanted = dict.fromkeys(letter_ids)
        retried.kept = {one: "there is no such letter" for one in wanted if one not in known}
        letters = [known[one] for one in wanted if one in known]
    events: _Batch = []
    for letter in letters:
        try:
            events.append((letter, _read(letter, weights)))
        except InvalidInput as exc:
            retried.kept[letter.letter_id] = str(exc)
    batches = deque(events[start : start + _BATCH] for start in range(0, len(events), _BATCH))
    try:
        while batches:
            await _send_next(log, batches, retried)
    except RecsvcError as exc:
        if not retried.sent:
            raise
        for letter, _ in chain.from_iterable(batches):
            retried.kept[letter.letter_id] = str(exc)
    return retried


async def resend_letter(
    log: EventLog,
    weights: Mapping[str, float],
    tenant: str,
    letter_id: str,
    event: Mapping[str, Any] | None = None,
) -> None:
    """Append a letter's event, or ``event`` in its place, as a new one, and forget the letter.

    Raises:
        NotFound: the tenant has no such letter.
        InvalidInput: it is still none that can be accepted; names the fields within ``event``.
    """
    letter = await _letter(log, tenant, letter_id)
    try:
        await log.append([_read(letter, weights, event)])
    except InvalidInput as exc:
        raise exc.within("event") from exc
    await log.drop_dead_letters([letter_id])


async def drop_letter(log: EventLog, tenant: str, letter_id: str) -> None:
    """Forget a letter.

    Raises:
        NotFound: the tenant has no such letter.
    """
    await log.drop_dead_letters([(await _letter(log, tenant, letter_id)).letter_id])


@asynccontextmanager
async def letters_log(settings: Settings) -> AsyncIterator[EventLog]:
    """Open the log for a command, which owns the data directory meanwhile."""
    with owning(settings):
        streams = await open_streams(settings)
        try:
            yield streams.log
        finally:
            await streams.log.close()


async def _letter(log: EventLog, tenant: str, letter_id: str) -> DeadLetter:
    for letter in await log.dead_letters(tenant=tenant, limit=LETTERS_MAX):
        if letter.letter_id == letter_id:
            return letter
    raise NotFound(f"no dead letter {letter_id[:60]!r}")


async def _send_next(log: EventLog, batches: deque[_Batch], retried: Retried) -> None:
    """Append the first batch and forget its letters; where the log refuses an event, one by one."""
    batch = batches[0]
    letter_ids = [letter.letter_id for letter, _ in batch]
    try:
        await log.append([event for _, event in batch])
    except InvalidInput as exc:
        batches.popleft()
        if len(batch) == 1:
            retried.kept[letter_ids[0]] = str(exc)
        else:
            batches.extendleft([one] for one in reversed(batch))
        return
    batches.popleft()
    retried.sent += len(batch)
    try:
        await log.drop_dead_letters(letter_ids)
    except RecsvcError as exc:
        retried.kept |= dict.fromkeys(letter_ids, f"sent again, but not forgotten: {exc}")
        raise


def _read(
    letter: DeadLetter, weights: Mapping[str, float], event: Mapping[str, Any] | None = None
) -> Event:
    """Check a letter's event, or the text that somebody put into the log in place of one."""
    sent = letter.event if event is None else event
    fields = _object(str(sent["raw"])) if event is None and "raw" in sent else sent
    if not isinstance(fields, Mapping):
        parse(_EVENT, str(sent["raw"]))  # which is refused, with where it is wrong
        raise InvalidInput("no JSON object")
    body = {name: value for name, value in fields.items() if name not in _IDENTITY}
    read = checked(_EVENT, {**body, "event_id": _event_id(letter, body)})
    return to_event(letter.tenant, read, weights, now=letter.at)


def _event_id(letter: DeadLetter, body: Mapping[str, Any]) -> str:
    """Return the id under which a body is sent in the place of a letter's event, each time."""
    whose = [sorted(letter.position.items()), letter.tenant, letter.event.get("event_id"), body]
    text = json.dumps(whose, sort_keys=True, default=str).encode()
    return f"retry-{hashlib.blake2b(text, digest_size=16).hexdigest()}"


def _object(raw: str) -> object:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
