"""What calls to providers cost: a small SQLite file, by day, model, purpose and user.

Rows are added up as they come: one row a (day, purpose, provider, model, tenant, user, outcome).
A thread of its own writes them in order. What a user cost is kept by name for two months, then
only in the sums. Days are UTC.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from indexer.errors import LogError
from indexer.telemetry import Telemetry

__all__ = ["CallRecord", "Ledger", "Usage", "UserCost", "read_dearest", "read_usage", "today"]

_FILE: Final = "costs.sqlite"
_NAMED_DAYS: Final = 62

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS calls (
  day TEXT NOT NULL, purpose TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
  tenant TEXT NOT NULL, user_id TEXT NOT NULL, outcome TEXT NOT NULL,
  calls INTEGER NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
  cost_usd REAL NOT NULL, unpriced INTEGER NOT NULL, latency_s REAL NOT NULL,
  PRIMARY KEY (day, purpose, provider, model, tenant, user_id, outcome)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (day TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
"""
_ADD: Final = """
INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
  tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out,
  cost_usd = cost_usd + excluded.cost_usd, unpriced = unpriced + excluded.unpriced,
  latency_s = latency_s + excluded.latency_s
"""
_NAMELESS: Final = """
SELECT day, purpose, provider, model, tenant, '', outcome, SUM(calls), SUM(tokens_in),
  SUM(tokens_out), SUM(cost_usd), SUM(unpriced), SUM(latency_s)
FROM calls WHERE {which} GROUP BY day, purpose, provider, model, tenant, outcome
"""
_USAGE: Final = """
SELECT day, purpose, provider, model, outcome, SUM(calls), SUM(tokens_in), SUM(tokens_out),
  SUM(cost_usd), SUM(unpriced), SUM(latency_s)
FROM calls WHERE day >= ? GROUP BY day, purpose, provider, model, outcome ORDER BY 1, 2, 3, 4, 5
"""
_DEAREST: Final = """
SELECT tenant, user_id, SUM(calls), SUM(tokens_in), SUM(tokens_out), SUM(cost_usd) AS cost
FROM calls WHERE day >= ? AND user_id != '' AND ifnull(tenant = ?, 1) GROUP BY tenant, user_id
ORDER BY cost DESC, tenant, user_id LIMIT ?
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One request that was sent. ``cost_usd`` None: the model's price is unknown."""

    purpose: str
    provider: str
    model: str
    outcome: str
    latency_s: float
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = 0.0
    tenant: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """The sum of calls of one kind on one day. ``unpriced``: calls whose cost is not known."""

    day: str
    purpose: str
    provider: str
    model: str
    outcome: str
    calls: int
    tokens_in: int
    tokens_out: int
    cost_usd: float
    unpriced: int
    latency_s: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class UserCost:
    """What the calls about one user came to."""

    tenant: str
    user_id: str
    calls: int
    tokens_in: int
    tokens_out: int
    cost_usd: float


class Ledger:
    """Records every call. ``spent_today`` and ``spent_by_today`` are kept in memory for budgets."""

    def __init__(
        self, connection: sqlite3.Connection, telemetry: Telemetry, clock: Callable[[], float]
    ) -> None:
        self._connection, self._telemetry, self._clock = connection, telemetry, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._day = today(clock())
        self._spent: dict[str, float] = {}
        self._by_user: dict[tuple[str, str], float] = {}

    @classmethod
    async def open(
        cls, folder: Path, telemetry: Telemetry, clock: Callable[[], float] = time.time
    ) -> Ledger:
        """Open the ledger in ``folder``.

        Raises:
            LogError: the file cannot be used.
        """
        try:
            connection = _connect(folder)
            ledger = cls(connection, telemetry, clock)
            connection.executescript(_SCHEMA)
            _unname_before(connection, ledger._day)
            ledger._load()
        except sqlite3.Error as exc:
            raise LogError(f"the ledger {folder / _FILE} cannot be used: {exc}") from exc
        return ledger

    def record(self, call: CallRecord) -> None:
        """Add one call; it is on its way to the disk when this returns."""
        self._turn_day()
        cost = call.cost_usd or 0.0
        self._spent[call.purpose] = self._spent.get(call.purpose, 0.0) + cost
        if call.user_id and cost:
            who = (call.tenant, call.user_id)
            self._by_user[who] = self._by_user.get(who, 0.0) + cost
        labels = (call.purpose, call.provider, call.model)
        self._telemetry.count("provider_calls", *labels, call.outcome)
        self._telemetry.count("provider_tokens", *labels, "in", n=call.tokens_in)
        self._telemetry.count("provider_tokens", *labels, "out", n=call.tokens_out)
        self._telemetry.count("provider_cost_usd", *labels, n=cost)
        row = (
            *(self._day, *labels, call.tenant, call.user_id, call.outcome),
            *(1, call.tokens_in, call.tokens_out, cost),
            *(int(call.cost_usd is None), call.latency_s),
        )
        self._submit(lambda: self._connection.execute(_ADD, row))

    def count_events(self, n: int) -> None:
        """Add accepted events to today's."""
        row = (today(self._clock()), n)
        self._submit(
            lambda: self._connection.execute(
                "INSERT INTO events VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n", row
            )
        )

    @property
    def day(self) -> str:
        """Today, as an ISO date (UTC)."""
        self._turn_day()
        return self._day

    def spent_today(self, purposes: tuple[str, ...]) -> float:
        """Return the dollars spent today on ``purposes``."""
        self._turn_day()
        return sum(self._spent.get(purpose, 0.0) for purpose in purposes)

    def spent_by_today(self, tenant: str, user_id: str) -> float:
        """Return the dollars spent today on one user."""
        self._turn_day()
        return self._by_user.get((tenant, user_id), 0.0)

    async def usage(self, since: str) -> list[Usage]:
        """Return the sums of each day from ``since`` (ISO date) on."""
        return await self._ask(lambda: _usage(self._connection, since))

    async def events(self, since: str) -> dict[str, int]:
        """Return the accepted events of each day from ``since`` on."""
        return await self._ask(lambda: _events(self._connection, since))

    async def dearest(self, tenant: str, since: str, most: int) -> list[UserCost]:
        """Return the users of a tenant that cost most from ``since`` on, dearest first."""
        return await self._ask(lambda: _dearest(self._connection, since, tenant, most))

    async def forget_user(self, tenant: str, user_id: str) -> None:
        """Keep what a user cost, without the user."""
        self._by_user.pop((tenant, user_id), None)
        which = "tenant = ? AND user_id = ?"
        await self._ask(lambda: _unname(self._connection, which, (tenant, user_id)))

    def unname(self, tenant: str, user_id: str) -> None:
        """Do as `forget_user`, without waiting for it."""
        self._by_user.pop((tenant, user_id), None)
        which = "tenant = ? AND user_id = ?"
        self._submit(lambda: _unname(self._connection, which, (tenant, user_id)))

    async def knows_user(self, tenant: str, user_id: str) -> bool:
        """Whether a cost is recorded under a user's name."""
        asked = "SELECT 1 FROM calls WHERE tenant = ? AND user_id = ? LIMIT 1"
        return await self._ask(
            lambda: self._connection.execute(asked, (tenant, user_id)).fetchone() is not None
        )

    async def close(self) -> None:
        """Write what is left and close the file."""
        await asyncio.to_thread(self._thread.shutdown)
        self._connection.close()

    def _load(self) -> None:
        rows = self._connection.execute(
            "SELECT purpose, tenant, user_id, SUM(cost_usd) FROM calls WHERE day = ? "
            "GROUP BY purpose, tenant, user_id",
            (self._day,),
        )
        for purpose, tenant, user_id, cost in rows:
            self._spent[purpose] = self._spent.get(purpose, 0.0) + cost
            if user_id:
                who = (tenant, user_id)
                self._by_user[who] = self._by_user.get(who, 0.0) + cost

    def _turn_day(self) -> None:
        day = today(self._clock())
        if day != self._day:
            self._day = day
            self._spent.clear()
            self._by_user.clear()
            self._submit(lambda: _unname_before(self._connection, day))

    def _submit(self, write: Callable[[], object]) -> None:
        def counted() -> None:
            try:
                write()
            except sqlite3.Error:
                self._telemetry.count("failures", "ledger")

        self._thread.submit(counted)

    async def _ask(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.wrap_future(self._thread.submit(call))
        except sqlite3.Error as exc:
            raise LogError(f"the ledger failed: {exc}") from exc


def read_usage(folder: Path, since: str) -> tuple[list[Usage], Mapping[str, int]]:
    """Read the ledger of a data directory, also while a service writes it.

    Raises:
        LogError: there is none, or it cannot be read.
    """
    with _reading(folder) as connection:
        return _usage(connection, since), _events(connection, since)


def read_dearest(folder: Path, since: str, most: int) -> list[UserCost]:
    """Read the users that cost most since ``since``, dearest first; raises as `read_usage` does."""
    with _reading(folder) as connection:
        return _dearest(connection, since, None, most)


def today(now: float) -> str:
    """Return the UTC day of ``now`` (unix seconds) as an ISO date."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    file = folder / _FILE
    if not file.exists():
        raise LogError(f"there is no ledger {file} yet; a service with a provider writes it")
    try:
        connection = _connect(folder)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise LogError(f"the ledger {file} cannot be read: {exc}") from exc


def _connect(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / _FILE, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def _usage(connection: sqlite3.Connection, since: str) -> list[Usage]:
    return [Usage(*row) for row in connection.execute(_USAGE, (since,))]


def _dearest(
    connection: sqlite3.Connection, since: str, tenant: str | None, most: int
) -> list[UserCost]:
    """Read the users that cost most, of one tenant or, with None, of all."""
    return [UserCost(*row) for row in connection.execute(_DEAREST, (since, tenant, most))]


def _events(connection: sqlite3.Connection, since: str) -> dict[str, int]:
    return dict(connection.execute("SELECT day, n FROM events WHERE day >= ?", (since,)))


def _unname_before(connection: sqlite3.Connection, day: str) -> None:
    named_from = str(date.fromisoformat(day) - timedelta(days=_NAMED_DAYS))
    _unname(connection, "day < ? AND user_id != ''", (named_from,))


def _unname(connection: sqlite3.Connection, which: str, values: tuple[str, ...]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        sums = connection.execute(_NAMELESS.format(which=which), values).fetchall()
        connection.execute(f"DELETE FROM calls WHERE {which}", values)
        connection.executemany(_ADD, sums)
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise
