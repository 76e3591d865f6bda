"""Appending events, each once as far as this process remembers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from cachetools import LRUCache

from indexer.domain.events import Event
from indexer.domain.position import partition_of, position_of
from indexer.errors import EventConflict, Overloaded
from indexer.ports import Accepted
from indexer.streams.kafka.lanes import Job, Lanes, settled
from indexer.streams.kafka.records import event_entry

__all__ = ["EventAppender"]

_REMEMBERED_MAX: Final = 100_000

_Key = tuple[str, str, str]
_Place = tuple[int, int]


class _Known(NamedTuple):
    """An event of a caller's own id. ``place``: in the log; in ``job``, while that is under way."""

    fingerprint: str
    place: _Place
    job: Job | None = None


class EventAppender:
    """Appends events; remembers the newest 100,000 that have a caller's own id.

    A retry that comes to another process, or after so many others, is appended a second time.
    The fold then finds the id known, and counts nothing.
    """

    def __init__(self, lanes: Lanes, partitions: int, queue_max: int) -> None:
        self._lanes, self._partitions, self._queue_max = lanes, partitions, queue_max
        self._under_way = 0
        self._pending: dict[_Key, _Known] = {}
        self._newest: LRUCache[_Key, _Known] = LRUCache(_REMEMBERED_MAX)

    async def append(self, events: Sequence[Event]) -> Accepted:
        """See `EventLog.append`; InvalidInput where an event is too large."""
        if self._under_way + len(events) > self._queue_max:
            raise Overloaded(f"{self._under_way} events wait for Kafka; send again shortly")
        new, known = self._sift(events)
        jobs = self._put(new)
        await settled([*jobs, *(one.job for one in known if one.job is not None)])
        places = [(job.partition, offset) for job in jobs for offset in job.future.result()]
        places += [_place(one) for one in known]
        return Accepted(position_of(places), len(new), len(events) - len(new))

    def forget(self, tenant: str, user_id: str) -> None:
        """Have the event ids of a user be new again."""
        for key in [key for key in self._newest if key[:2] == (tenant, user_id)]:
            del self._newest[key]

    def _sift(self, events: Sequence[Event]) -> tuple[list[Event], list[_Known]]:
        """Return the new events, and what is known of the others.

        Raises:
            EventConflict: some were accepted with another body, or are here twice with two.
        """
        new: list[Event] = []
        known: list[_Known] = []
        here: dict[_Key, str] = {}
        conflicts: list[tuple[str, str]] = []
        for event in events:
            key = _key(event)
            before = self._pending.get(key) or self._newest.get(key) if event.fingerprint else None
            fingerprint = before.fingerprint if before is not None else here.get(key)
            if fingerprint is None or not event.fingerprint:
                new.append(event)
                here[key] = event.fingerprint
            elif fingerprint != event.fingerprint:
                conflicts.append((event.user_id, event.event_id))
            elif before is not None:
                known.append(before)
        if conflicts:
            raise EventConflict(conflicts)
        return new, known

    def _put(self, events: Sequence[Event]) -> list[Job]:
        by_partition: dict[int, list[Event]] = {}
        for event in events:
            partition = partition_of(event.tenant, event.user_id, self._partitions)
            by_partition.setdefault(partition, []).append(event)
        written = {p: [event_entry(event) for event in some] for p, some in by_partition.items()}
        jobs = []
        for partition, some in by_partition.items():
            job = self._lanes.put(partition, written[partition])
            self._under_way += len(some)
            for index, event in enumerate(some):
                if event.fingerprint:
                    known = _Known(event.fingerprint, (partition, index), job)
                    self._pending[_key(event)] = known
            job.future.add_done_callback(partial(self._finished, job, some))
            jobs.append(job)
        return jobs

    def _finished(self, job: Job, events: Sequence[Event], _: object) -> None:
        self._under_way -= len(events)
        failed = job.future.exception() is not None
        for event in events:
            if event.fingerprint:
                known = self._pending.pop(_key(event))
                if not failed:
                    self._newest[_key(event)] = _Known(known.fingerprint, _place(known))


def _key(event: Event) -> _Key:
    return (event.tenant, event.user_id, event.event_id)


def _place(known: _Known) -> _Place:
    if known.job is None:
        return known.place
    partition, index = known.place
    return (partition, known.job.future.result()[index])
