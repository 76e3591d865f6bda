"""Reasons: a score taken apart into what each event, pair and preference added to it.

A score is a weighted sum of components, each of which is a sum over what was asked with: a
collaborative one over the items of the trail, content over the events of an interest, the profile
over its terms. So the contributions add up to the score. What is not named singly is summed up at
the end: the other preferences, and the ``rest``, which makes the sum exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from indexer.domain.events import ref_item, ref_text
from indexer.domain.neighbours import Neighbourhood, score_parts
from indexer.domain.profile import Profile, term_text
from indexer.domain.state import Entry, UserState
from indexer.domain.vectors import Vector, length
from recsvc.blend import Part
from recsvc.gather import Gathered, Look
from recsvc.ranking import parts_of
from recsvc.taste import Direction

__all__ = ["Evidence", "event_reasons", "interest_parts", "profile_parts", "reasons"]

_NAMED_MAX: Final = 8
_NOTHING: Final = 5e-5

Reason = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What it takes to explain a page.

    ``events``: what to say of an item of the trail, by its id. ``parts``: the summands of each
    direction, by its key. ``hoods`` and ``vectors``: of the items of the page, by id.
    """

    tenant: str
    gathered: Gathered
    weights: Any
    half_life_s: float
    events: Mapping[str, Reason] = field(default_factory=dict)
    parts: Mapping[object, Sequence[Part]] = field(default_factory=dict)
    hoods: Mapping[str, Neighbourhood] = field(default_factory=dict)
    vectors: Mapping[str, Vector] = field(default_factory=dict)


def reasons(
    point: str,
    item_id: str,
    score: float,
    evidence: Evidence,
    adjusted: Sequence[tuple[str, float]] = (),
    *,
    rest: str,
) -> list[Reason]:
    """Name what adds most to ``score``, strongest first, and the ``rest`` as one."""
    found = [*_together(point, item_id, evidence), *_crowd(point, evidence)]
    found += _likeness(point, item_id, evidence)
    found.sort(key=lambda pair: -abs(pair[1]))
    named = [
        {**reason, "contribution": round(contribution, 6)}
        for reason, contribution in found[:_NAMED_MAX]
        if abs(contribution) > _NOTHING
    ]
    unnamed = sum(c for reason, c in found[_NAMED_MAX:] if reason["kind"] == "profile")
    if abs(unnamed) > _NOTHING:
        named.append({"kind": "profile", "feature": "others", "contribution": round(unnamed, 6)})
    named += [
        {"kind": kind, "contribution": round(change, 6)}
        for kind, change in adjusted
        if abs(change) > _NOTHING
    ]
    remainder = score - sum(reason["contribution"] for reason in named)
    if abs(remainder) > _NOTHING or not named:
        named.append({"kind": rest, "contribution": round(remainder, 6)})
    return named


def event_reasons(state: UserState) -> dict[str, Reason]:
    """Return what to say of the items in a user's trail: the newest event on each."""
    said: dict[str, Reason] = {step.item_id: {"item_id": step.item_id} for step in state.trail}
    for entry in state.window:
        item_id = ref_item(entry.ref)
        if item_id is not None and entry.weight > 0.0:
            said[item_id] = _about(entry)
    return said


def interest_parts(
    direction: Direction, state: UserState, vectors: Mapping[str, Vector]
) -> list[Part]:
    """List what each event of an interest adds to its vector."""
    newest = {entry.ref: entry for entry in state.window if entry.weight > 0.0}
    return [
        Part({"kind": "event", **_about(newest[member.ref])}, member.weight, vectors[member.ref])
        for member in (direction.interest.members if direction.interest else ())
        if member.ref in newest and member.ref in vectors
    ]


def profile_parts(profile: Profile, terms: Mapping[str, Vector]) -> list[Part]:
    """List what each preference adds to the profile's vector; ``terms``: vectors by text."""
    known = {term: terms[term_text(term)] for term in profile.weights if term_text(term) in terms}
    total = np.sum(
        [np.float32(profile.weights[term]) * vector for term, vector in known.items()], axis=0
    )
    size = (length(total) if known else 0.0) or 1.0
    return [
        Part(
            {"kind": "profile", "feature": term, "weight": profile.weights[term]},
            profile.weights[term] / size,
            vector,
        )
        for term, vector in known.items()
    ]


def _together(point: str, item_id: str, evidence: Evidence) -> list[tuple[Reason, float]]:
    """What each item of the trail adds, because the two were taken up by the same people."""
    hood, gathered = evidence.hoods.get(item_id), evidence.gathered
    if hood is None:
        return []
    parts = parts_of(gathered.components, evidence.weights)
    scales = {one.name: one.scale for one in gathered.components if point in one.values}
    added: dict[str, float] = {}
    times: dict[str, int] = {}
    for name, asked in gathered.asked.items():
        if name not in scales:
            continue
        found = score_parts(
            hood, asked.trail, asked.weights, evidence.half_life_s, lately=asked.lately
        )
        for other, (score, seen) in found.items():
            added[other] = added.get(other, 0.0) + parts.get(name, 0.0) * score / scales[name]
            times[other] = max(times.get(other, 0), seen)
    return [
        (
            {
                "kind": "together",
                **evidence.events.get(other, {"item_id": other}),
                "times": times[other],
            },
            contribution,
        )
        for other, contribution in added.items()
    ]


def _crowd(point: str, evidence: Evidence) -> list[tuple[Reason, float]]:
    parts = parts_of(evidence.gathered.components, evidence.weights)
    return [
        ({"kind": one.name}, parts.get(one.name, 0.0) * one.values[point])
        for one in evidence.gathered.components
        if one.name in ("hot", "popular") and point in one.values
    ]


def _likeness(point: str, item_id: str, evidence: Evidence) -> list[tuple[Reason, float]]:
    """What each event of an interest, or each preference, adds by likeness."""
    gathered, item = evidence.gathered, evidence.vectors.get(item_id)
    if item is None:
        return []
    parts = parts_of(gathered.components, evidence.weights)
    scales = {one.name: one.scale for one in gathered.components if one.values}
    found: list[tuple[Reason, float]] = []
    for look in gathered.looks:
        name = look.direction.component
        value = dict(look.likeness).get(point, 0.0)
        if value > 0.0 and name in scales:
            contribution = parts.get(name, 0.0) * look.direction.share * value / scales[name]
            found += _split(look, contribution, item, evidence)
    return found


def _split(
    look: Look, contribution: float, item: Vector, evidence: Evidence
) -> list[tuple[Reason, float]]:
    """Share a contribution out among a direction's summands, by what each adds to the cosine."""
    direction = look.direction
    summands = evidence.parts.get(direction.key, direction.parts)
    products = [part.factor * float(np.dot(part.vector, item)) for part in summands]
    total = sum(products)
    if abs(total) < _NOTHING:
        return []
    return [
        (dict(part.reason), contribution * product / total)
        for part, product in zip(summands, products, strict=True)
    ]


def _about(entry: Entry) -> Reason:
    about: Reason = {"event_id": entry.event_id, "event_type": entry.event_type}
    item_id, text = ref_item(entry.ref), ref_text(entry.ref)
    return {**about, "item_id": item_id} if item_id is not None else {**about, "query": text}
