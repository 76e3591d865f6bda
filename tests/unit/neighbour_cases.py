"""Occurrences, and the sums over them by hand, that the tests of neighbourhoods share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from indexer.domain.neighbours import (
    Asking,
    Counts,
    Neighbourhood,
    NeighbourRules,
    Occurrence,
)
from indexer.domain.trail import Step

TENANT = "t"
HALF_LIFE_S = 86_400.0
AGE_S = 64 * HALF_LIFE_S
EPOCH_S = 1_577_836_800.0
"""2020-01-01, where an age begins."""
START_S = EPOCH_S + 22 * AGE_S
"""Where another one does, late in 2023."""
RULES = NeighbourRules(half_life_recent_s=HALF_LIFE_S)
ASKED = ("a", "b", "c", "d")
"""Items that are asked with."""
CANDIDATES = ("p", "q", "r")
"""Items that are asked for."""

Sparse = tuple[list[int], list[float]]


def hood_of(seen: Iterable[Occurrence], rules: NeighbourRules = RULES) -> Neighbourhood:
    """Count occurrences of one item."""
    hood = Neighbourhood()
    for one in seen:
        hood.count(TENANT, one, rules)
    return hood


def dot(one: Sparse, other: Sparse) -> float:
    """Multiply two sparse vectors, as the store does."""
    theirs = dict(zip(*other, strict=True))
    return math.fsum(v * theirs[i] for i, v in zip(*one, strict=True) if i in theirs)


def total_of(seen: Sequence[Occurrence], other: str) -> float:
    """Sum up a pair for good."""
    return math.fsum(gain for one in seen for item_id, gain in one.pairs if item_id == other)


def recent_of(seen: Sequence[Occurrence], other: str, at: float) -> float:
    """Sum up a pair, each gain halved with each half-life up to ``at``."""
    return math.fsum(
        gain * 2.0 ** ((one.timestamp - at) / HALF_LIFE_S)
        for one in seen
        for item_id, gain in one.pairs
        if item_id == other
    )


def counts_of(seen: Sequence[Occurrence]) -> Counts:
    """Sum up how often an item was taken up."""
    newest = max(one.timestamp for one in seen)
    recent = math.fsum(o.gain * 2.0 ** ((o.timestamp - newest) / HALF_LIFE_S) for o in seen)
    return Counts(math.fsum(one.gain for one in seen), recent, newest)


@dataclass(frozen=True)
class World:
    """What was seen of some candidates, the trail that asks, and the counts of its items."""

    seen: Mapping[str, Sequence[Occurrence]]
    trail: Sequence[Step]
    counts: Mapping[str, Counts]
    at: float
    power: float

    @cached_property
    def hoods(self) -> dict[str, Neighbourhood]:
        return {item_id: hood_of(seen) for item_id, seen in self.seen.items()}

    def moved(self, by_s: float) -> World:
        """Return the same at another time."""

        def later(one: Occurrence) -> Occurrence:
            moved_to = one.timestamp + by_s
            return Occurrence(one.item_id, one.offset, moved_to, one.gain, one.weight, one.pairs)

        return World(
            {item_id: [later(one) for one in seen] for item_id, seen in self.seen.items()},
            [step._replace(timestamp=step.timestamp + by_s) for step in self.trail],
            {i: n._replace(reference_s=n.reference_s + by_s) for i, n in self.counts.items()},
            self.at + by_s,
            self.power,
        )

    def asking(self) -> Asking:
        return Asking.of(TENANT, self.trail, self.counts, self.at, HALF_LIFE_S)

    def scores(self, *, lately: bool) -> dict[str, float]:
        """Return the dot products that a store would find."""
        asking = self.asking()
        weights = asking.weights(len(self.trail), self.power, lately=lately)
        query = asking.query(weights, HALF_LIFE_S, lately=lately)
        return {item_id: dot(query, h.sparse(HALF_LIFE_S)) for item_id, h in self.hoods.items()}

    def by_hand(self, *, lately: bool) -> dict[str, float]:
        """Return the scores as they are defined, from every single occurrence."""
        return {item_id: self._by_hand(seen, lately) for item_id, seen in self.seen.items()}

    def _by_hand(self, seen: Sequence[Occurrence], lately: bool) -> float:
        own = counts_of(seen)
        size = own.recent if lately else own.total
        score = 0.0
        for lag, step in enumerate(self.trail):
            asked = self.counts.get(step.item_id, Counts())
            times = asked.recent_at(self.at, HALF_LIFE_S) if lately else asked.total
            weight = step.strength * (1 + lag) ** -self.power / math.sqrt(times + 5)
            count = total_of(seen, step.item_id)
            if lately:
                count = recent_of(seen, step.item_id, self.at)
            score += weight * count / math.sqrt(size + 5)
        return score


gains = st.sampled_from([0.25, 0.5, 1.0])


@st.composite
def occurrences_of(
    draw: st.DrawFn, item_id: str, first_s: float, span_s: float, most: int = 6
) -> list[Occurrence]:
    """Draw occurrences whose timestamps have nothing to do with their order."""
    pairs = st.dictionaries(st.sampled_from(ASKED), st.floats(0.01, 1.0), min_size=1)
    drawn = []
    for offset in range(draw(st.integers(1, most))):
        at = first_s + draw(st.integers(0, int(span_s)))
        found = tuple(draw(pairs).items())
        drawn.append(Occurrence(item_id, offset, float(at), draw(gains), 1.0, found))
    return drawn


@st.composite
def worlds(
    draw: st.DrawFn,
    *,
    first_s: float = START_S + 20 * HALF_LIFE_S,
    span_s: float = 8 * HALF_LIFE_S,
) -> World:
    """Draw what was seen in a span of time, asked for at its end or a little later."""
    seen = {item_id: draw(occurrences_of(item_id, first_s, span_s)) for item_id in CANDIDATES}
    asked = draw(st.lists(st.sampled_from(ASKED), min_size=1, unique=True))
    strengths = [draw(gains) for _ in asked]
    trail = [Step(first_s, i, s) for i, s in zip(asked, strengths, strict=True)]
    counts = {
        item_id: Counts(total, draw(st.floats(0.0, total)), first_s)
        for item_id in draw(st.sets(st.sampled_from(asked)))
        for total in [draw(st.floats(0.25, 50.0))]
    }
    at = first_s + span_s + draw(st.integers(0, int(3 * HALF_LIFE_S)))
    return World(seen, trail, counts, at, draw(st.sampled_from([0.4, 1.0])))
