"""When a user's profile is worth asking a model for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from indexer.domain.profile import COUNTER, Profile
from indexer.domain.state import UserState

__all__ = ["PlanRules", "next_ask"]

_FIRST_EVENTS: Final = 3
_FIRST_WEIGHT: Final = 3.0
_FIRST_WAIT_S: Final = 3.0
_WEIGHT_MAX: Final = 2.0


@dataclass(frozen=True, slots=True)
class PlanRules:
    """``events`` new ones, or ``interval_s`` after one; never within ``min_interval_s``.

    Events of great weight count for more, up to double.
    """

    events: int
    interval_s: float
    min_interval_s: float


def next_ask(
    state: UserState, profile: Profile | None, rules: PlanRules, first_due: float, now: float
) -> float | None:
    """Return when to ask (unix seconds; past: now), or None: not before there are more events.

    ``first_due``: when the oldest event came that the profile does not know of. A user's first
    profile is asked for as soon as there is a little to say: three events, or a purchase. One
    passing click is never worth a call.
    """
    asked = profile is not None and profile.model != COUNTER
    known = profile.event_count if profile is not None and asked else 0
    fresh = max(0, state.event_count - known)
    weight = sum(max(1.0, abs(entry.weight)) for entry in state.window[-fresh:]) if fresh else 0.0
    if not asked or profile is None:
        if state.event_count < _FIRST_EVENTS and weight < _FIRST_WEIGHT:
            return None
        return min(now, first_due) + _FIRST_WAIT_S
    earliest = profile.updated_at + rules.min_interval_s
    if state.window and _taken_back(state, profile):
        return earliest
    if not fresh:
        return None
    if min(weight, _WEIGHT_MAX * fresh) >= rules.events:
        return earliest
    return max(earliest, first_due + rules.interval_s)


def _taken_back(state: UserState, profile: Profile) -> bool:
    """Whether a profile rests on events that were retracted since."""
    shown = {event_id for ids in profile.evidence.values() for event_id in ids}
    return state.event_count < profile.event_count or not shown.isdisjoint(state.retracted)
