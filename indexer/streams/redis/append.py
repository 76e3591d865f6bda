"""The appending half of the log: all that waits goes to the server in one round."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from indexer.domain.events import Event
from indexer.domain.position import log_key, partition_of, position_of
from indexer.errors import EventConflict, LogError, Overloaded, RecsvcError
from indexer.ports import Accepted
from indexer.streams.codec import encode_shared
from indexer.streams.redis.client import Arg, Keys, Server, evaluate
from indexer.streams.redis.entries import offset_of
from indexer.streams.redis.scripts import APPEND, KNOWN

__all__ = ["Appender"]

_ROUND_MAX: Final = 1_000
"""Events that go to the server in one round, unless one call brings more."""


@dataclass(slots=True, eq=False)
class _Job:
    """The events of one call, by partition, and what is to become of them."""

    parts: dict[int, list[Event]]
    bodies: dict[int, list[Arg]]
    size: int
    done: asyncio.Future[Accepted]
    places: list[tuple[int, int]] = field(default_factory=list)
    accepted: int = 0

    def settle(self, partition: int, outcomes: Sequence[bytes]) -> None:
        """Take in what the server did with the events of a partition."""
        events = self.parts[partition]
        found = [o.decode() for o in outcomes]
        conflicts = [_named(e) for e, o in zip(events, found, strict=True) if o == "!"]
        if conflicts:
            self.fail(EventConflict(conflicts))
            return
        self.places += [(partition, offset_of(outcome[1:])) for outcome in found]
        self.accepted += sum(outcome[0] == "+" for outcome in found)

    def finish(self) -> None:
        """Tell whoever waits, unless they have gone or know already."""
        if not self.done.done():
            position = position_of(self.places)
            self.done.set_result(Accepted(position, self.accepted, self.size - self.accepted))

    def fail(self, error: RecsvcError) -> None:
        """Tell whoever waits that it has failed."""
        if not self.done.done():
            self.done.set_exception(error)


class Appender:
    """Appends events, in the order of the calls. Used through `RedisLog`.

    A script appends all events of a call that are in one partition, or none where one is in
    conflict. Of a call that spans partitions all are looked up first; only what another process
    appends in that moment can then leave a part of it appended.
    """

    def __init__(self, server: Server, keys: Keys, partitions: int, queue_max: int) -> None:
        self._server, self._keys = server, keys
        self._partitions, self._queue_max = partitions, queue_max
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._sending: asyncio.Task[None] | None = None

    async def append(self, events: Sequence[Event]) -> Accepted:
        """See `EventLog.append`."""
        if self._waiting + len(events) > self._queue_max:
            raise Overloaded(f"{self._waiting} events are being appended; send again shortly")
        if not events:
            return Accepted({}, 0, 0)
        job = self._job(events)
        self._waiting += job.size
        self._jobs.append(job)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await job.done

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        if self._sending is not None:
            await self._sending

    def _job(self, events: Sequence[Event]) -> _Job:
        _refuse_conflicts(events)
        parts: dict[int, list[Event]] = {}
        for event in events:
            partition = partition_of(event.tenant, event.user_id, self._partitions)
            parts.setdefault(partition, []).append(event)
        try:
            bodies = {p: [arg for e in part for arg in _args(e)] for p, part in parts.items()}
        except (TypeError, ValueError) as exc:
            raise LogError(f"the event cannot be written: {exc}") from exc
        done: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        return _Job(parts, bodies, len(events), done)

    async def _send(self) -> None:
        while self._jobs:
            jobs = self._next_round()
            try:
                await self._append(jobs)
            except Exception as exc:  # noqa: BLE001 - given to each caller; the others must go on
                jobs += self._jobs  # which would only wait for the same failure
                self._jobs.clear()
                for job in jobs:
                    error = LogError(f"events could not be appended: {exc}")
                    error.__cause__ = exc
                    job.fail(error)
            self._waiting -= sum(job.size for job in jobs)

    def _next_round(self) -> list[_Job]:
        """Take the next jobs; one that spans partitions goes alone, as it is looked up first."""
        jobs = [self._jobs.popleft()]
        size = jobs[0].size
        while (
            self._jobs
            and len(jobs[0].parts) == len(self._jobs[0].parts) == 1
            and size + self._jobs[0].size <= _ROUND_MAX
        ):
            jobs.append(self._jobs.popleft())
            size += jobs[-1].size
        return jobs

    async def _append(self, jobs: list[_Job]) -> None:
        if len(jobs[0].parts) > 1 and (conflicts := await self._conflicts(jobs[0])):
            jobs[0].fail(EventConflict(conflicts))
            return
        args: dict[int, list[Arg]] = {}
        for job in jobs:
            for partition, part in job.parts.items():
                args.setdefault(partition, []).extend((len(part), *job.bodies[partition]))
        replies = await self._server.ask_all(
            evaluate(APPEND, self._keys.stream("events", p), self._keys.prefix(p), *sent)
            for p, sent in args.items()
        )
        outcomes = dict(zip(args, map(iter, replies), strict=True))
        for job in jobs:
            for partition, part in job.parts.items():
                job.settle(partition, [next(outcomes[partition]) for _ in part])
            job.finish()

    async def _conflicts(self, job: _Job) -> list[tuple[str, str]]:
        """Return the (user, event) ids that the log has with another body."""
        replies: list[list[bytes]] = await self._server.ask_all(
            evaluate(
                KNOWN,
                self._keys.stream("events", p),
                self._keys.prefix(p),
                *(arg for e in part for arg in (log_key(e.tenant, e.user_id), e.event_id)),
            )
            for p, part in job.parts.items()
        )
        return [
            _named(event)
            for part, values in zip(job.parts.values(), replies, strict=True)
            for event, value in zip(part, values, strict=True)
            if value and value.partition(b"|")[2] != event.fingerprint.encode()
        ]


def _refuse_conflicts(events: Sequence[Event]) -> None:
    """Raise EventConflict where two events of one call have one id and different bodies."""
    first: dict[Any, str] = {}
    conflicts = [
        _named(event)
        for event in events
        if first.setdefault((event.tenant, *_named(event)), event.fingerprint) != event.fingerprint
    ]
    if conflicts:
        raise EventConflict(conflicts)


def _named(event: Event) -> tuple[str, str]:
    return event.user_id, event.event_id


def _args(event: Event) -> tuple[Arg, ...]:
    named = (log_key(event.tenant, event.user_id), event.tenant, event.event_id, event.fingerprint)
    return *(name.encode() for name in named), encode_shared(event)
