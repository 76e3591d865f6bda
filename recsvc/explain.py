"""Reasons: a score taken apart into what each event and preference added to it.

The query is a sum of vectors, and the score its dot product with the item, so the contributions
of the summands add up to the score. What is not named singly is summed up at the end: the other
preferences, and the rest (for a user the ``history``: events beyond the strongest), which makes
the sum exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from indexer.domain.events import ref_item, ref_text
from indexer.domain.profile import Profile, term_text
from indexer.domain.state import Entry, UserState
from indexer.domain.taste import decay
from indexer.domain.vectors import Vector, length
from recsvc.blend import Blend, BlendRules, Part

__all__ = ["event_parts", "profile_parts", "reasons"]

_NAMED_MAX = 5
_NOTHING = 5e-5


def event_parts(
    state: UserState, query: Blend, vectors: Mapping[str, Vector], rules: BlendRules
) -> list[Part]:
    """List what each remembered event with a known vector adds to the query."""
    parts = []
    for entry in state.window:
        vector = vectors.get(entry.ref)
        if vector is None or entry.event_id in state.waiting or entry.weight == 0.0:
            continue
        age_s = state.reference_s - entry.timestamp
        factor = entry.weight * (
            query.long * decay(age_s, rules.half_life_long_s)
            + query.short * decay(age_s, rules.half_life_short_s)
        )
        parts.append(Part(_event_reason(entry), factor, vector))
    return parts


def profile_parts(profile: Profile, query: Blend, terms: Mapping[str, Vector]) -> list[Part]:
    """List what each preference adds to the query; ``terms``: vectors by text of the term."""
    known = {term: terms[term_text(term)] for term in profile.weights if term_text(term) in terms}
    total = np.sum(
        [np.float32(profile.weights[term]) * vector for term, vector in known.items()], axis=0
    )
    size = (length(total) if known else 0.0) or 1.0
    return [
        Part(
            {"kind": "profile", "feature": term, "weight": profile.weights[term]},
            query.profile * profile.weights[term] / size,
            vector,
        )
        for term, vector in known.items()
    ]


def reasons(
    parts: Sequence[Part], item: Vector, score: float, *, rest: str
) -> list[dict[str, object]]:
    """Name the parts that add most to ``score``, strongest first, and the ``rest`` as one."""
    found = [
        (part.factor * float(np.dot(part.vector, item)), place) for place, part in enumerate(parts)
    ]
    found.sort(key=lambda pair: -abs(pair[0]))
    named = [
        {**parts[place].reason, "contribution": round(contribution, 6)}
        for contribution, place in found[:_NAMED_MAX]
        if abs(contribution) > _NOTHING
    ]
    unnamed = sum(c for c, place in found[_NAMED_MAX:] if parts[place].reason["kind"] == "profile")
    if abs(unnamed) > _NOTHING:
        named.append({"kind": "profile", "feature": "others", "contribution": round(unnamed, 6)})
    remainder = score - sum(float(str(reason["contribution"])) for reason in named)
    if abs(remainder) > _NOTHING:
        named.append({"kind": rest, "contribution": round(remainder, 6)})
    return named


def _event_reason(entry: Entry) -> dict[str, object]:
    reason: dict[str, object] = {
        "kind": "event",
        "event_id": entry.event_id,
        "event_type": entry.event_type,
    }
    item_id, text = ref_item(entry.ref), ref_text(entry.ref)
    return {**reason, "item_id": item_id} if item_id is not None else {**reason, "query": text}
