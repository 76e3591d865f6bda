"""Everything known of one user that the fold keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from indexer.domain.taste import DecayedSum
from indexer.domain.trail import Step

__all__ = ["Entry", "UserState"]


class Entry(NamedTuple):
    """One event as the state remembers it; ``weight`` is what it counted when it was folded."""

    timestamp: float
    event_id: str
    event_type: str
    weight: float
    ref: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class UserState:
    """One user's folded events.

    ``offset``: the last log offset folded in; what is at or below it is skipped, which makes
    redelivery harmless. ``reference_s``: unix seconds that the decayed sums refer to.
    ``window``: the newest events, oldest first. ``waiting``: counted events whose vector is not
    known yet, by event id. ``seen``: item id to the unix seconds of the newest event on it.
    ``trail``: the items taken up, in the order of the log. ``ids``: hashes of the newest event ids
    that callers chose, which a log that cannot look them up may bring again.
    """

    tenant: str
    user_id: str
    version: int = 0
    offset: int = -1
    event_count: int = 0
    positives: int = 0
    reference_s: float = 0.0
    long: DecayedSum = field(default_factory=DecayedSum)
    short: DecayedSum = field(default_factory=DecayedSum)
    counts: Mapping[str, int] = field(default_factory=dict)
    window: tuple[Entry, ...] = ()
    waiting: Mapping[str, Entry] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)
    retracted: tuple[str, ...] = ()
    trail: tuple[Step, ...] = ()
    ids: tuple[int, ...] = ()

    @property
    def has_taste(self) -> bool:
        """Whether there is something the user likes to search with."""
        return self.positives > 0 and not self.long.cancelled
