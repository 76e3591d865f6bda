"""The writing half of the SQLite log: one thread, one transaction for all that waits.

Every statement works on a whole group of rows, handed over as one JSON array. Stepping through
rows one at a time would give up and win back the interpreter lock for each, which under load
costs more than the disk.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from indexer.domain.events import Event
from indexer.errors import EventConflict, LogError, RecsvcError
from indexer.ports import Accepted, EventRecord
from indexer.streams.codec import encode_event

__all__ = ["SCHEMA", "AppendJob", "CallJob", "Job", "Writer"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL, user_id TEXT NOT NULL, event_id TEXT NOT NULL,
  fingerprint TEXT NOT NULL, accepted_at REAL NOT NULL, body TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS events_identity ON events (tenant, user_id, event_id);
CREATE TABLE IF NOT EXISTS items (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL, item_id TEXT NOT NULL, body TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS items_identity ON items (tenant, item_id);
CREATE TABLE IF NOT EXISTS dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  seq INTEGER NOT NULL, tenant TEXT NOT NULL, user_id TEXT NOT NULL, event_id TEXT NOT NULL,
  body TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL
);
"""

_GROUP_MAX = 2_000

_KNOWN = """
SELECT e.tenant, e.user_id, e.event_id, e.fingerprint, e.seq
FROM json_each(?) AS j CROSS JOIN events AS e
WHERE e.tenant = json_extract(j.value, '$[0]') AND e.user_id = json_extract(j.value, '$[1]')
  AND e.event_id = json_extract(j.value, '$[2]')
"""
_INSERT = """
INSERT INTO events (tenant, user_id, event_id, fingerprint, accepted_at, body)
SELECT json_extract(j.value, '$[0]'), json_extract(j.value, '$[1]'), json_extract(j.value, '$[2]'),
       json_extract(j.value, '$[3]'), json_extract(j.value, '$[4]'), json_extract(j.value, '$[5]')
FROM json_each(?) AS j ORDER BY j.key
"""

_Key = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class AppendJob:
    """Events to append, all or none; after the commit ``result`` and ``records``, or ``error``."""

    events: Sequence[Event]
    result: Accepted | None = None
    records: list[EventRecord] = field(default_factory=list)
    error: RecsvcError | None = None


@dataclass(slots=True, eq=False)
class CallJob:
    """Any other change, made by ``call`` inside the transaction."""

    call: Callable[[sqlite3.Connection], Any]
    result: Any = None
    error: RecsvcError | None = None


Job = AppendJob | CallJob


class Writer:
    """Owns the writing connection. Jobs are done in order; ``finished`` is called on the thread."""

    def __init__(self, connection: sqlite3.Connection, finished: Callable[[list[Job]], None]):
        self._connection = connection
        self._finished = finished
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._jobs.put(job)

    def close(self) -> None:
        """Do what is queued, then close the connection."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            group, last = self._gather(first)
            self._commit(group)
            self._finished(group)
            if last:
                break
        self._connection.close()

    def _gather(self, first: Job) -> tuple[list[Job], bool]:
        group, rows = [first], _rows(first)
        while rows < _GROUP_MAX:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
            rows += _rows(job)
        return group, False

    def _commit(self, group: list[Job]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._append([job for job in group if isinstance(job, AppendJob)])
            for job in group:
                if isinstance(job, CallJob):
                    job.result = job.call(self._connection)
            self._connection.execute("COMMIT")
        except Exception as exc:  # noqa: BLE001 - given to each caller; the thread must live on
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            for job in group:
                job.error = LogError(f"the event log could not be written: {exc}")
                job.error.__cause__ = exc

    def _append(self, jobs: list[AppendJob]) -> None:
        known = self._known(jobs)
        rows: list[tuple[str, str, str, str, float, str]] = []
        taken: list[tuple[AppendJob, list[_Key]]] = []
        fresh: dict[_Key, int] = {}
        now = time.time()
        for job in jobs:
            keys, conflicts, new = _sift(job.events, known)
            if conflicts:
                job.error = EventConflict(conflicts)
                continue
            for key, event in new.items():
                fresh[key] = len(rows)
                known[key] = (event.fingerprint, None)
                rows.append((*key, event.fingerprint, now, encode_event(event)))
            job.records = [EventRecord(fresh[key], now, event) for key, event in new.items()]
            taken.append((job, keys))
        first = self._insert(rows)
        for job, keys in taken:
            job.records = [
                EventRecord(first + r.offset, r.accepted_at, r.event) for r in job.records
            ]
            offsets = [first + fresh[key] if key in fresh else known[key][1] or 0 for key in keys]
            job.result = Accepted(
                {0: max(offsets)} if offsets else {},
                len(job.records),
                len(job.events) - len(job.records),
            )

    def _known(self, jobs: list[AppendJob]) -> dict[_Key, tuple[str, int | None]]:
        named = [_key(e) for job in jobs for e in job.events if e.fingerprint]
        if not named:
            return {}
        found = self._connection.execute(_KNOWN, (orjson.dumps(named).decode(),)).fetchall()
        return {(t, u, e): (fingerprint, seq) for t, u, e, fingerprint, seq in found}

    def _insert(self, rows: list[tuple[str, str, str, str, float, str]]) -> int:
        if not rows:
            return 0
        self._connection.execute(_INSERT, (orjson.dumps(rows).decode(),))
        (last,) = self._connection.execute("SELECT last_insert_rowid()").fetchone()
        return int(last) - len(rows) + 1


def _sift(
    events: Sequence[Event], known: dict[_Key, tuple[str, int | None]]
) -> tuple[list[_Key], list[tuple[str, str]], dict[_Key, Event]]:
    """Tell the keys of all events, the (user, event) ids in conflict, and the new events."""
    keys: list[_Key] = []
    conflicts: list[tuple[str, str]] = []
    new: dict[_Key, Event] = {}
    for event in events:
        key = _key(event)
        keys.append(key)
        before = new[key].fingerprint if key in new else known.get(key, (None, 0))[0]
        if before is None:
            new[key] = event
        elif before != event.fingerprint:
            conflicts.append((event.user_id, event.event_id))
    return keys, conflicts, new


def _key(event: Event) -> _Key:
    return (event.tenant, event.user_id, event.event_id)


def _rows(job: Job) -> int:
    return len(job.events) if isinstance(job, AppendJob) else 1
