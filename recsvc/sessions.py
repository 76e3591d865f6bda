"""Tastes of visitors without an identity, by what they have shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from indexer.domain.events import item_ref
from indexer.domain.profile import term_text
from indexer.domain.trail import Step
from indexer.domain.vectors import Vector
from indexer.errors import FieldError, InvalidInput, ProviderError
from indexer.runtime import Runtime
from recsvc.blend import Part, mix
from recsvc.ranking import situation
from recsvc.taste import Direction, Taste

__all__ = ["Session", "SessionTastes"]

_NEGATIVE_FACTOR = -0.5


@dataclass(frozen=True, slots=True)
class Session:
    """What a visitor without an identity has shown; ``items``: in the order they were seen."""

    items: tuple[str, ...] = ()
    negative_items: tuple[str, ...] = ()
    text: str | None = None
    weights: tuple[tuple[str, float], ...] = ()


class SessionTastes:
    """Makes a `Taste` of a session."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._text_timeout_s = runtime.settings.provider_timeout_s

    async def of(self, tenant: str, session: Session, at: float) -> tuple[Taste, list[str]]:
        """Return the taste of a session, and what of it is missing.

        Raises:
            InvalidInput: an unknown item.
        """
        parts, disliked, degraded = await self._parts(tenant, session)
        mixed = mix(parts)
        directions = []
        if mixed is not None:
            vector, scaled = mixed
            directions.append(Direction("content", vector, 1.0, session, tuple(scaled)))
        taste = Taste(
            tenant=tenant,
            steps=[Step(at, item_id, 1.0) for item_id in reversed(session.items)],
            directions=directions,
            disliked=disliked,
            overall=mixed[0] if mixed is not None else None,
            at=at,
            situation=situation(0.0, 1.0, len(session.items)),
        )
        return taste, degraded

    async def against(self, taste: Taste, item_ids: Sequence[str]) -> Taste:
        """Return a taste that also dislikes items.

        Raises:
            InvalidInput: an unknown item.
        """
        vectors = await self._item_vectors(taste.tenant, "negative_items", item_ids)
        disliked = {item_ref(item_id): vector for item_id, vector in vectors.items()}
        return replace(taste, disliked={**taste.disliked, **disliked})

    async def _parts(
        self, tenant: str, session: Session
    ) -> tuple[list[Part], dict[str, Vector], list[str]]:
        vectors = await self._item_vectors(tenant, "items", session.items)
        negative = await self._item_vectors(tenant, "negative_items", session.negative_items)
        disliked = {item_ref(item_id): vector for item_id, vector in negative.items()}
        vectors |= negative
        parts = [
            Part({"kind": "item", "item_id": item_id}, factor / len(ids), vectors[item_id])
            for ids, factor in ((session.items, 1.0), (session.negative_items, _NEGATIVE_FACTOR))
            for item_id in ids
            if item_id in vectors
        ]
        degraded = (
            [] if len(vectors) == len({*session.items, *session.negative_items}) else ["items"]
        )
        wanted = [(term_text(term), term, weight) for term, weight in session.weights]
        text = session.text
        try:
            texts = [*(name for name, _, _ in wanted), *([text] if text else [])]
            async with asyncio.timeout(self._text_timeout_s):
                terms = await self._runtime.embeddings.vectors(texts, keep=False)
        except (ProviderError, TimeoutError):
            names = [*(["weights"] if wanted else []), *(["text"] if text else [])]
            return parts, disliked, degraded + names
        if text:
            parts.append(Part({"kind": "text", "text": text}, 1.0, terms[text]))
        for name, term, weight in wanted:
            reason: dict[str, object] = {"kind": "weight", "feature": term, "weight": weight}
            parts.append(Part(reason, weight, terms[name]))
        return parts, disliked, degraded

    async def _item_vectors(
        self, tenant: str, field: str, item_ids: Sequence[str]
    ) -> dict[str, Vector]:
        vectors = await self._runtime.items.vectors(tenant, item_ids)
        missing = [item_id for item_id in item_ids if item_id not in vectors]
        known = await self._runtime.items.get(tenant, missing)
        unknown = [item_id for item_id in missing if item_id not in known]
        if unknown:
            raise InvalidInput([FieldError((field,), f"no item {i!r}") for i in unknown])
        return vectors
