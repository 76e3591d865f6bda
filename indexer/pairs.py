"""From events to what goes together: finds the trail that each event saw, and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from indexer.domain.events import signed_weight
from indexer.domain.neighbours import NeighbourRules, Occurrence, occurrences
from indexer.domain.state import UserState
from indexer.domain.trail import TRAIL_MAX, Step, step_of, trail_of
from indexer.ports import EventLog, EventRecord
from indexer.stores.neighbours import Neighbours

__all__ = ["PairCounter"]

_PAGE = 4 * TRAIL_MAX


class PairCounter:
    """Counts events into the neighbourhoods of their items."""

    def __init__(
        self,
        log: EventLog,
        neighbours: Neighbours,
        weights: Mapping[str, float],
        rules: NeighbourRules,
    ) -> None:
        self._log, self._neighbours = log, neighbours
        self._weights, self._rules = weights, rules

    async def count(self, seen: Sequence[tuple[EventRecord, UserState]]) -> None:
        """Count events, in log order, each with its user's state before it.

        A state that holds the event already is that of a fold which a crash has separated from
        its counts; the trail of then is read from the log.
        """
        by_tenant: dict[str, list[Occurrence]] = {}
        for record, state in seen:
            event = record.event
            step, weight = step_of(event, self._weights), signed_weight(event, self._weights)
            if step is None or weight <= 0.0:
                continue
            trail, retracted = state.trail, event.event_id in state.retracted
            if record.offset <= state.offset:
                trail, retracted = await self._trail_before(record)
            if retracted:  # before it came
                continue
            added = occurrences(trail, step, weight, record.offset, self._rules)
            by_tenant.setdefault(event.tenant, []).extend(added)
        for tenant, added in by_tenant.items():
            await self._neighbours.count(tenant, added)

    async def flush(self) -> None:
        """Write what was counted."""
        await self._neighbours.flush()

    async def _trail_before(self, record: EventRecord) -> tuple[tuple[Step, ...], bool]:
        """Return the trail that an event met, and whether it was retracted by then."""
        event, before = record.event, record.offset
        records: list[EventRecord] = []
        while True:
            page = await self._log.user_events_before(
                event.tenant, event.user_id, before=before, limit=_PAGE
            )
            records = page + records
            trail = trail_of((r.event for r in records), self._weights)
            if len(page) < _PAGE or len(trail) >= TRAIL_MAX:
                return trail, any(r.event.retracts == event.event_id for r in records)
            before = page[0].offset
