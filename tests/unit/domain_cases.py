"""Events, vectors and random histories of eight dimensions that the tests of the domain share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from indexer.domain.events import DEFAULT_WEIGHTS, RATE, RETRACT, SEARCH, Event, item_ref, text_ref
from indexer.domain.fold import Arrival, FoldRules, fold
from indexer.domain.state import UserState
from indexer.domain.taste import DecayedSum
from indexer.domain.vectors import Vector

DIM = 8
DAY_S = 86_400.0
ITEMS = ("a", "b", "c", "d", "e")
QUERIES = ("space opera", "tea")
RULES = FoldRules(DEFAULT_WEIGHTS, half_life_long_s=30 * DAY_S, half_life_short_s=DAY_S)
NOBODY = UserState("t", "u")


def unit_vectors(names: Iterable[str], seed: int = 7, dim: int = DIM) -> dict[str, Vector]:
    """Make one random unit vector ``(dim,) float32`` a name."""
    rng = np.random.default_rng(seed)
    rows = {name: rng.standard_normal(dim) for name in names}
    return {name: (row / np.linalg.norm(row)).astype(np.float32) for name, row in rows.items()}


VECTORS: Mapping[str, Vector] = unit_vectors(
    [*map(item_ref, ITEMS), *(text_ref(query) for query in QUERIES)]
)


def event(event_id: str, event_type: str = "click", *, at: float = 0.0, **fields: Any) -> Event:
    """Make an event of the one user; on item ``a`` unless it is a search or a retraction."""
    if event_type not in (SEARCH, RETRACT):
        fields.setdefault("item_id", "a")
    return Event("t", "u", event_id, event_type, at, **fields)


def retraction(event_id: str, *, at: float = 0.0) -> Event:
    return event(f"not-{event_id}", RETRACT, at=at, retracts=event_id)


def arriving(events: Iterable[Event], first: int = 1) -> list[Arrival]:
    """Give events the offsets of a log, in the order they come in."""
    return [Arrival(offset, one) for offset, one in enumerate(events, start=first)]


def folded(
    events: Iterable[Event],
    *,
    vectors: Mapping[str, Vector] = VECTORS,
    rules: FoldRules = RULES,
    batch_max: int | None = None,
    state: UserState = NOBODY,
) -> UserState:
    """Fold ``events`` in the order given, in batches of ``batch_max``, else all at once."""
    arrivals = arriving(events)
    step = batch_max or max(len(arrivals), 1)
    for start in range(0, len(arrivals), step):
        state = fold(state, arrivals[start : start + step], vectors, rules)
    return state


def assert_same_sum(
    one: DecayedSum, other: DecayedSum, *, mass: float | None = None, within: float = 1e-5
) -> None:
    """Compare two sums, relative to ``mass``, else to the larger of their own."""
    allowed = within * (max(one.mass, other.mass) if mass is None else mass)
    assert abs(one.mass - other.mass) <= allowed
    difference = _dense(one) - _dense(other)
    assert float(np.linalg.norm(difference)) <= allowed


def assert_same_taste(one: UserState, other: UserState) -> None:
    """Compare the sums of two states, which must refer to the same time."""
    assert one.reference_s == other.reference_s
    assert_same_sum(one.long, other.long)
    assert_same_sum(one.short, other.short)


def _dense(total: DecayedSum) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.zeros(DIM) if total.vector is None else total.vector.astype(np.float64)


@st.composite
def histories(
    draw: st.DrawFn, *, span_days: float = 60.0, most: int = 12, types: Sequence[str] = ()
) -> list[Event]:
    """Draw events with ids of their own, at times that have nothing to do with their order."""
    drawn = []
    for number in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(types or sorted(DEFAULT_WEIGHTS)))
        fields: dict[str, Any] = {}
        if kind == SEARCH:
            fields["query"] = draw(st.sampled_from(QUERIES))
        else:
            fields["item_id"] = draw(st.sampled_from(ITEMS))
        if kind == RATE:
            fields["value"] = float(draw(st.integers(1, 5)))
        at = draw(st.integers(0, int(span_days * DAY_S)))
        drawn.append(event(f"e{number}", kind, at=float(at), **fields))
    return drawn
