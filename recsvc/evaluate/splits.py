"""Which events a recommender learns from, and what it is then asked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from indexer.domain.events import Event
from recsvc.evaluate.datasets import Dataset

__all__ = ["Case", "Split", "Stream", "Unit", "baskets", "last_out", "time_split"]

_LAST_SHARE, _LAST_MAX = 0.2, 10
_KNOWN_MIN: Final = 5
"""Users with fewer positive events to learn from are not asked about in a frozen split."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question: what does this user want next?

    ``at``: unix seconds of the recommendation. ``relevant``: the right answers, distinct, none of
    which the user touched before. ``known``: how many positive events of the user came before.
    """

    user_id: str
    at: float
    relevant: tuple[str, ...]
    known: int


@dataclass(frozen=True, slots=True)
class Split:
    """A frozen split. ``train``: places of events to learn from, in order of time."""

    name: str
    train: tuple[int, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A case in a stream: the events ``[start, stop)``, all of one user at one moment.

    It is asked before the event at ``start`` is learnt from.
    """

    start: int
    stop: int
    case: Case


@dataclass(frozen=True, slots=True)
class Stream:
    """A prequential run: the events before ``start`` are learnt from without a question."""

    start: int
    units: tuple[Unit, ...]


def last_out(dataset: Dataset) -> Split:
    """Ask each user for the last fifth of the positive events, at least 1 and at most 10.

    From the first of these on, everything of that user is withheld. Users who are not asked, for
    want of events or of an answer that is new to them, are learnt from as a whole. Other users'
    later events are learnt from too, so this is no measure of following a trend.
    """
    events = dataset.events
    places: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        places.setdefault(event.user_id, []).append(place)
    withheld: set[int] = set()
    cases = []
    for user_id, own in places.items():
        positive = [place for place in own if dataset.is_positive(events[place])]
        known = len(positive) - min(_LAST_MAX, max(1, round(_LAST_SHARE * len(positive))))
        if known < _KNOWN_MIN:
            continue
        first = positive[known]
        touched = {events[place].item_id for place in own if place < first}
        relevant = _new([events[place] for place in positive[known:]], touched)
        if relevant:
            cases.append(Case(user_id, events[first].timestamp, relevant, known))
            withheld.update(place for place in own if place >= first)
    train = tuple(place for place in range(len(events)) if place not in withheld)
    return Split("last", train, tuple(cases))


def time_split(dataset: Dataset, share: float = 0.8) -> Split:
    """Learn from the first ``share`` of all events; ask each user for all positives after."""
    events = dataset.events
    cut = int(share * len(events))
    touched: dict[str, set[str | None]] = {}
    known: dict[str, int] = {}
    for event in events[:cut]:
        touched.setdefault(event.user_id, set()).add(event.item_id)
        known[event.user_id] = known.get(event.user_id, 0) + dataset.is_positive(event)
    later: dict[str, list[Event]] = {}
    for event in events[cut:]:
        if dataset.is_positive(event) and known.get(event.user_id, 0) >= _KNOWN_MIN:
            later.setdefault(event.user_id, []).append(event)
    cases = [
        Case(user_id, events[cut].timestamp, relevant, known[user_id])
        for user_id, own in later.items()
        if (relevant := _new(own, touched[user_id]))
    ]
    return Split("time", tuple(range(cut)), tuple(cases))


def baskets(dataset: Dataset, start_share: float = 0.2) -> Stream:
    """Ask before every basket, after the first ``start_share`` of all events.

    A basket is all that one user does at one moment, so that none of its items tells of another.
    Users without an earlier event, and baskets of nothing positive and new, are not asked about.
    """
    events = dataset.events
    start = int(start_share * len(events))
    touched: dict[str, set[str | None]] = {}
    known: dict[str, int] = {}
    units = []
    for first, after in _baskets(events):
        basket = events[first:after]
        user_id = basket[0].user_id
        positive = [event for event in basket if dataset.is_positive(event)]
        before = touched.get(user_id)
        if before is not None and first >= start and (relevant := _new(positive, before)):
            case = Case(user_id, basket[0].timestamp, relevant, known[user_id])
            units.append(Unit(first, after, case))
        touched.setdefault(user_id, set()).update(event.item_id for event in basket)
        known[user_id] = known.get(user_id, 0) + len(positive)
    return Stream(start, tuple(units))


def _baskets(events: Sequence[Event]) -> Iterator[tuple[int, int]]:
    first = 0
    for place in range(1, len(events) + 1):
        if place == len(events) or (
            (events[place].user_id, events[place].timestamp)
            != (events[first].user_id, events[first].timestamp)
        ):
            yield first, place
            first = place


def _new(events: Sequence[Event], touched: set[str | None]) -> tuple[str, ...]:
    """Return the distinct items of ``events`` outside ``touched``, in order."""
    found = {event.item_id: None for event in events if event.item_id not in touched}
    return tuple(item_id for item_id in found if item_id is not None)
