"""A user's trail: the items they took up, in the order of the log.

What depends on order (which item led to which) is read from here. The trail is a pure function of
the user's events in log order, so a replay sees exactly what the event saw. (Only where one of
several events on an item was retracted may it keep the item at another of its places.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from indexer.domain.events import RATE, RETRACT, Event, signed_weight

__all__ = ["TRAIL_MAX", "Step", "advance", "newest_first", "step_of", "trail_of", "without"]

TRAIL_MAX: Final = 100
_TAKEN_UP: Final = 0.5
"""A book that was rated badly was read all the same, and tells what else is read by such readers:
half as much as one that was liked."""


class Step(NamedTuple):
    """One item taken up. ``strength``: 0 to 1, how sure it is that it was."""

    timestamp: float
    item_id: str
    strength: float


def step_of(event: Event, weights: Mapping[str, float]) -> Step | None:
    """Return the step that an event is, or None where it says nothing of what goes together."""
    if event.item_id is None or event.event_type == RETRACT:
        return None
    weight = signed_weight(event, weights)
    if weight > 0.0:
        return Step(event.timestamp, event.item_id, min(1.0, weight))
    if event.event_type == RATE:
        return Step(event.timestamp, event.item_id, _TAKEN_UP)
    return None


def advance(trail: Sequence[Step], event: Event, weights: Mapping[str, float]) -> tuple[Step, ...]:
    """Return the trail after an event.

    The same item again and again (a view, a click, a purchase) is one step, as strong as the
    strongest of them. A dislike takes an item back.
    """
    step = step_of(event, weights)
    if step is None:
        disliked = event.item_id is not None and signed_weight(event, weights) < 0.0
        return without(trail, event.item_id or "") if disliked else tuple(trail)
    if trail and trail[-1].item_id == step.item_id:
        again = step._replace(strength=max(step.strength, trail[-1].strength))
        return (*trail[:-1], again)
    return (*trail[-(TRAIL_MAX - 1) :], step)


def without(trail: Sequence[Step], item_id: str) -> tuple[Step, ...]:
    """Return the trail without an item."""
    return tuple(step for step in trail if step.item_id != item_id)


def trail_of(events: Iterable[Event], weights: Mapping[str, float]) -> tuple[Step, ...]:
    """Return the trail that events in log order leave; what they retract is left out."""
    events = list(events)
    retracted = {event.retracts for event in events if event.event_type == RETRACT}
    trail: tuple[Step, ...] = ()
    for event in events:
        if event.event_id not in retracted:
            trail = advance(trail, event, weights)
    return trail


def newest_first(trail: Sequence[Step], most: int = TRAIL_MAX) -> Iterator[Step]:
    """Give each item of a trail once, where it was taken up last, newest first."""
    given: set[str] = set()
    for step in reversed(trail):
        if len(given) >= most:
            return
        if step.item_id not in given:
            given.add(step.item_id)
            yield step
