"""Recommendations: from a user, a session or an item to a ranked, explained list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cachetools import LRUCache

from indexer.domain.events import item_ref as ref_of_item
from indexer.domain.events import ref_item, ref_text, text_ref
from indexer.domain.ids import item_point
from indexer.domain.profile import Profile, term_text
from indexer.domain.state import UserState
from indexer.domain.vectors import Vector
from indexer.errors import FieldError, InvalidInput, ItemNotEmbedded, NotFound, ProviderError
from indexer.ports import UserChange
from indexer.runtime import Runtime
from recsvc.blend import Blend, BlendRules, Part, blend, mix
from recsvc.cache import AnswerCache
from recsvc.candidates import Candidate, Candidates, Wanted
from recsvc.explain import event_parts, profile_parts, reasons
from recsvc.filters import parse_filters
from recsvc.pages import next_cursor, start_of

__all__ = ["Options", "Recommender", "Session"]

_NEGATIVE_FACTOR = -0.5
_SEEN_CACHED = 2_048


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller can ask of any list; see `recsvc.schemas` for the meanings."""

    limit: int = 10
    cursor: str | None = None
    filters: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_seen: bool = True
    diversity: float = 0.0
    profile_weight: float | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """What a visitor without an identity has shown."""

    items: tuple[str, ...] = ()
    negative_items: tuple[str, ...] = ()
    text: str | None = None
    weights: tuple[tuple[str, float], ...] = ()


class Recommender:
    """Answers for users, sessions and items; answers are dicts ready to be JSON."""

    def __init__(self, runtime: Runtime, cache: AnswerCache | None) -> None:
        settings = runtime.settings
        self._runtime, self._cache = runtime, cache
        self._text_timeout_s = settings.provider_timeout_s
        self._candidates = Candidates(runtime.store, runtime.items, runtime.signals)
        self._rules = BlendRules(
            settings.profile_weight,
            settings.short_weight,
            settings.half_life_long_s,
            settings.half_life_short_s,
            settings.half_life_profile_s,
        )
        self._seen_points: LRUCache[tuple[str, str], tuple[tuple[int, int] | None, frozenset[str]]]
        self._seen_points = LRUCache(_SEEN_CACHED)
        if cache is not None:
            runtime.changes.subscribe(self._forget)

    async def for_user(self, tenant: str, user_id: str, options: Options) -> dict[str, Any]:
        """Recommend to a user; to one never seen, what is popular."""
        with self._runtime.telemetry.timed("recommend"):
            answer = await self._for_user(tenant, user_id, options)
        self._runtime.telemetry.count("answers", answer["source"], answer["strategy"])
        return answer

    async def for_session(self, tenant: str, session: Session, options: Options) -> dict[str, Any]:
        """Recommend to a session.

        Raises:
            InvalidInput: nothing to go by, or an unknown item.
        """
        shown = _points(tenant, (*session.items, *session.negative_items))
        wanted = await self._wanted(tenant, options, shown)
        parts, degraded = await self._session_parts(tenant, session)
        mixed = mix(parts)
        if mixed is None:
            found = await self._candidates.popular(wanted)
            strategy, listed = "popular", _popular(found, options)
        else:
            vector, scaled = mixed
            found = await self._candidates.nearest(vector, wanted)
            strategy = "session"
            listed = await self._listed(tenant, found, scaled, options, rest="other")
        self._runtime.telemetry.count("answers", "live", strategy)
        return {
            "generated_at": _now(),
            "source": "live",
            "strategy": strategy,
            "degraded": degraded,
            "items": listed,
            "next_cursor": next_cursor(wanted.start, options.limit, len(found)),
        }

    async def similar(self, tenant: str, item_id: str, options: Options) -> dict[str, Any]:
        """Return the items nearest to an item.

        Raises:
            NotFound: there is none of that id.
            ItemNotEmbedded: it is known, its vector still to come.
        """
        vector = (await self._runtime.items.vectors(tenant, [item_id])).get(item_id)
        if vector is None:
            if not await self._runtime.items.get(tenant, [item_id]):
                raise NotFound(f"no item {item_id!r}")
            raise ItemNotEmbedded(f"item {item_id!r} is not embedded yet; ask again shortly")
        wanted = await self._wanted(tenant, options, _points(tenant, [item_id]))
        found = await self._candidates.nearest(vector, wanted)
        parts = [Part({"kind": "similar", "item_id": item_id}, 1.0, vector)]
        return {
            "item_id": item_id,
            "generated_at": _now(),
            "items": await self._listed(tenant, found, parts, options, rest="other"),
            "next_cursor": next_cursor(wanted.start, options.limit, len(found)),
        }

    async def _for_user(self, tenant: str, user_id: str, options: Options) -> dict[str, Any]:
        runtime = self._runtime
        state = await runtime.states.get(tenant, user_id)
        if state is None:
            return await self._popular(UserState(tenant, user_id), options)
        profile = await runtime.profiles.get(tenant, user_id)
        runtime.refresher.touch((tenant, user_id))
        missing = runtime.refresher.missing((tenant, user_id), profile, state.event_count)
        version = (*self._version(state, profile), *missing)
        if self._cache is not None:
            cached = self._cache.get(tenant, user_id, version, options)
            if cached is not None:
                return {**cached, "source": "cache"}
        rules = self._rules
        if options.profile_weight is not None:
            rules = replace(rules, profile_weight=options.profile_weight)
        query = blend(state, profile, rules, time.time())
        if query is None:
            return await self._popular(state, options)
        answer = await self._personal(state, profile, query, rules, options, missing)
        if self._cache is not None:
            self._cache.put(tenant, user_id, version, options, answer)
        return answer

    def _version(self, state: UserState, profile: Profile | None) -> tuple[object, ...]:
        """All that a user's answer depends on beside its parameters."""
        items = self._runtime.items
        second = int(time.time()) if items.availability else 0
        made_at = profile.updated_at if profile is not None else None
        return (state.version, state.offset, made_at, items.version, second)

    async def _personal(
        self,
        state: UserState,
        profile: Profile | None,
        query: Blend,
        rules: BlendRules,
        options: Options,
        missing: Sequence[str],
    ) -> dict[str, Any]:
        wanted = await self._wanted(state.tenant, options, self._seen(state, options))
        found = await self._candidates.nearest(query.vector, wanted)
        parts: list[Part] = []
        if options.explain:
            parts = await self._user_parts(state, profile, query, rules)
        listed = await self._listed(state.tenant, found, parts, options, rest="history")
        if rules.profile_weight == 0.0:
            missing = []  # nothing of it was asked for
        elif not missing and query.profile == 0.0:
            missing = ["profile"]
        return {
            **self._user_head(state, "personal"),
            "degraded": list(missing),
            "items": listed,
            "next_cursor": next_cursor(wanted.start, options.limit, len(found)),
        }

    async def _popular(self, state: UserState, options: Options) -> dict[str, Any]:
        wanted = await self._wanted(state.tenant, options, self._seen(state, options))
        found = await self._candidates.popular(wanted)
        return {
            **self._user_head(state, "popular"),
            "degraded": [],
            "items": _popular(found, options),
            "next_cursor": next_cursor(wanted.start, options.limit, len(found)),
        }

    def _user_head(self, state: UserState, strategy: str) -> dict[str, Any]:
        known = state.offset if state.offset >= 0 else self._runtime.worker.progress.offset
        return {
            "user_id": state.user_id,
            "user_version": state.version,
            "position": str(known),
            "generated_at": _now(),
            "source": "live",
            "strategy": strategy,
        }

    def _seen(self, state: UserState, options: Options) -> frozenset[str]:
        """Return the points of the items that the user has touched; derived once a version."""
        if not options.exclude_seen or not state.seen:
            return frozenset()
        key = (state.tenant, state.user_id)
        now = (state.version, state.offset)
        version, points = self._seen_points.get(key, (None, frozenset()))
        if version != now:
            points = _points(state.tenant, state.seen)
            self._seen_points[key] = (now, points)
        return points

    async def _wanted(self, tenant: str, options: Options, excluded: frozenset[str]) -> Wanted:
        kinds = await self._runtime.items.kinds(tenant) if options.filters else {}
        return Wanted(
            tenant=tenant,
            limit=options.limit,
            start=start_of(options.cursor),
            conditions=parse_filters(options.filters, kinds),
            excluded=excluded | _points(tenant, options.exclude) if options.exclude else excluded,
            diversity=options.diversity,
            now=time.time(),
        )

    async def _listed(
        self,
        tenant: str,
        found: Sequence[Candidate],
        parts: Sequence[Part],
        options: Options,
        *,
        rest: str,
    ) -> list[dict[str, Any]]:
        vectors: Mapping[str, Vector] = {}
        if options.explain:
            vectors = await self._runtime.items.vectors(tenant, [c.item_id for c in found])
        return [
            {
                "item_id": candidate.item_id,
                "score": candidate.score,
                "features": candidate.features,
                "reasons": reasons(parts, vectors[candidate.item_id], candidate.score, rest=rest)
                if candidate.item_id in vectors
                else [],
            }
            for candidate in found
        ]

    async def _user_parts(
        self, state: UserState, profile: Profile | None, query: Blend, rules: BlendRules
    ) -> list[Part]:
        refs = {entry.ref for entry in state.window}
        items = await self._runtime.items.vectors(
            state.tenant, [item_id for ref in refs if (item_id := ref_item(ref)) is not None]
        )
        texts = await self._runtime.embeddings.known(
            [text for ref in refs if (text := ref_text(ref)) is not None]
        )
        vectors = {ref_of_item(item_id): vector for item_id, vector in items.items()}
        vectors.update((text_ref(text), vector) for text, vector in texts.items())
        parts = event_parts(state, query, vectors, rules)
        if profile is not None and query.profile:
            names = [term_text(term) for term in profile.weights]
            terms = await self._runtime.embeddings.known(names)
            parts += profile_parts(profile, query, terms)
        return parts

    async def _session_parts(self, tenant: str, session: Session) -> tuple[list[Part], list[str]]:
        """Collect what a session is made of, and what of it is missing."""
        vectors = await self._item_vectors(tenant, "items", session.items)
        vectors |= await self._item_vectors(tenant, "negative_items", session.negative_items)
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
            return parts, degraded + names
        if text:
            parts.append(Part({"kind": "text", "text": text}, 1.0, terms[text]))
        for name, term, weight in wanted:
            reason: dict[str, object] = {"kind": "weight", "feature": term, "weight": weight}
            parts.append(Part(reason, weight, terms[name]))
        return parts, degraded

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

    def _forget(self, change: UserChange) -> None:
        if self._cache is not None:
            self._cache.drop_user(change.tenant, change.user_id)


def _popular(found: Sequence[Candidate], options: Options) -> list[dict[str, Any]]:
    return [
        {
            "item_id": candidate.item_id,
            "score": candidate.score,
            "features": candidate.features,
            "reasons": [{"kind": "popular", "contribution": round(candidate.score, 6)}]
            if options.explain
            else [],
        }
        for candidate in found
    ]


def _points(tenant: str, item_ids: Iterable[str]) -> frozenset[str]:
    return frozenset(item_point(tenant, item_id) for item_id in item_ids)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
