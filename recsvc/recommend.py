"""Recommendations: from a user, a session or an item to a ranked, explained list."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from cachetools import LRUCache

from indexer.apply import LEARNED_FROM
from indexer.domain.ids import item_point
from indexer.domain.interests import Interest
from indexer.domain.profile import Profile, term_text
from indexer.domain.state import UserState
from indexer.domain.taste import decay
from indexer.errors import ItemNotEmbedded, NotFound
from indexer.ports import Change, Learner, UserChange
from indexer.runtime import Runtime
from recsvc.blend import Part
from recsvc.cache import AnswerCache, Version
from recsvc.candidates import Candidates, Wanted
from recsvc.explain import Evidence, event_reasons, interest_parts, profile_parts, reasons
from recsvc.filters import parse_filters
from recsvc.gather import Gathered, Gatherer
from recsvc.learn import OnlineLearner, TenantWeights
from recsvc.pages import next_cursor, place_of
from recsvc.rank import Ranked, Ranker, Ranking, Wishes
from recsvc.rules import NO_RULES, Rules, RulesFile
from recsvc.sessions import Session, SessionTastes
from recsvc.taste import Taste
from recsvc.tastes import Tastes

__all__ = ["Options", "Recommender", "Recommends", "Session", "open_learner"]

_SEEN_CACHED = 2_048
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller can ask of any list; see `recsvc.schemas` for the meanings."""

    limit: int = 10
    cursor: str | None = None
    filters: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_seen: bool = True
    diversity: float = 0.0
    novelty: float = 0.0
    profile_weight: float | None = None
    negative_items: tuple[str, ...] = ()
    rules: Rules = NO_RULES
    at: float | None = None
    explain: bool = False


class Recommends(Protocol):
    """What makes users' lists, as far as those need it who tell of them."""

    async def for_user(self, tenant: str, user_id: str, options: Options) -> dict[str, Any]:
        """See `Recommender.for_user`."""
        ...


class Recommender:
    """Answers for users, sessions and items; answers are dicts ready to be JSON.

    ``without``: components of the ranking that are left out, and ``single_vector``: one average
    instead of several interests, to measure what they are worth. ``learns``: whether the ranking
    of this very recommender is the one that is learned, where this process learns.
    """

    def __init__(
        self,
        runtime: Runtime,
        cache: AnswerCache | None,
        rules: RulesFile | None = None,
        without: frozenset[str] = frozenset(),
        single_vector: bool = False,
        *,
        learns: bool = True,
    ) -> None:
        settings = runtime.settings
        self._runtime, self._cache, self._without = runtime, cache, without
        self._settings = settings
        self._rules = rules or RulesFile(settings.rules_file)
        self._candidates = Candidates(runtime.store, runtime.items, runtime.neighbours)
        self._gatherer = Gatherer(runtime.items, runtime.neighbours, self._candidates)
        self._weights = TenantWeights(
            runtime.notes, lambda: learns and LEARNED_FROM in runtime.feed.owned
        )
        self._tastes = Tastes(runtime, single_vector=single_vector)
        self._sessions = SessionTastes(runtime)
        self._ranker = Ranker(
            runtime.items, runtime.neighbours, self._candidates, self._gatherer, self._weights
        )
        self._seen_points: LRUCache[tuple[str, str], tuple[tuple[int, int] | None, frozenset[str]]]
        self._seen_points = LRUCache(_SEEN_CACHED)
        if cache is not None:
            runtime.changes.subscribe(self._forget)

    @property
    def rules(self) -> RulesFile:
        """The business rules in force."""
        return self._rules

    @property
    def weights(self) -> TenantWeights:
        """The weights of the ranking, by tenant."""
        return self._weights

    def learner(self) -> OnlineLearner:
        """Return what learns this ranking from events."""
        return OnlineLearner(self._runtime, self._tastes, self._gatherer, self._weights)

    async def interests(self, state: UserState) -> list[Interest]:
        """Return a user's interests, the largest share first."""
        return await self._tastes.interests(state)

    async def taste(self, state: UserState, profile: Profile | None) -> Taste:
        """Return what a user's lists are made for, as of now."""
        return await self._tastes.of(state, profile, await self._tastes.clock(state))

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
        at = _as_of(options)
        at = at if at is not None else wanted.now
        taste, degraded = await self._sessions.of(tenant, session, at)
        wishes = self._wishes(tenant, options, share=0.0)
        if session.text or session.weights:  # they say what they want, whatever others do
            wishes = replace(wishes, without=wishes.without | {"hot", "popular"})
        if taste.empty:
            ranking = await self._ranker.popular(wanted, wishes, tenant, self._explored(wishes))
        else:
            ranking = await self._ranker.page(taste, wanted, wishes)
        strategy = "popular" if taste.empty else "session"
        self._runtime.telemetry.count("answers", "live", strategy)
        listed = await self._listed(ranking, taste, options, None, None)
        return {
            "generated_at": _now(),
            "source": "live",
            "strategy": strategy,
            "degraded": degraded + ranking.gathered.missing,
            "items": listed,
            "next_cursor": next_cursor(wanted.start, options.limit, len(listed), at),
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
        kind = {"kind": "similar", "item_id": item_id}
        return {
            "item_id": item_id,
            "generated_at": _now(),
            "items": [
                {
                    "item_id": one.item_id,
                    "score": one.score,
                    "features": one.features,
                    "reasons": [{**kind, "contribution": one.score}] if options.explain else [],
                }
                for one in found
            ],
            "next_cursor": next_cursor(wanted.start, options.limit, len(found)),
        }

    async def _for_user(self, tenant: str, user_id: str, options: Options) -> dict[str, Any]:
        runtime = self._runtime
        state = await runtime.states.get(tenant, user_id)
        at = _as_of(options)
        if state is None:
            return await self._popular(UserState(tenant, user_id), options, at)
        profile = await runtime.profiles.get(tenant, user_id)
        runtime.refresher.touch((tenant, user_id))
        missing = runtime.refresher.missing((tenant, user_id), profile, state.event_count)
        at = at if at is not None else await self._tastes.clock(state)
        situation = self._tastes.situation(state, at)
        version = (*self._version(state, profile), situation, *missing)
        if self._cache is not None:
            cached = await self._cache.get(tenant, user_id, version, options)
            if cached is not None:
                return {**cached, "source": "cache"}
        taste = await self._tastes.of(state, profile, at)
        if taste.empty:
            return await self._popular(state, options, at)
        answer = await self._personal(state, profile, taste, options, missing)
        if self._cache is not None:
            self._cache.put(tenant, user_id, version, options, answer)
        return answer

    def _version(self, state: UserState, profile: Profile | None) -> Version:
        """All that a user's answer depends on beside its parameters and the time."""
        second = int(time.time()) if self._runtime.items.availability else 0
        made_at = profile.updated_at if profile is not None else None
        catalogue = self._runtime.catalogue_version
        return (state.version, state.offset, made_at, catalogue, second, self._rules.version)

    async def _personal(
        self,
        state: UserState,
        profile: Profile | None,
        taste: Taste,
        options: Options,
        missing: Sequence[str],
    ) -> dict[str, Any]:
        share = options.profile_weight
        if share is None:
            share = self._settings.profile_weight
        if profile is not None and share < 1.0:
            since_s = max(0.0, taste.at - profile.updated_at)
            share *= decay(since_s, self._settings.half_life_profile_s)
        wanted = await self._wanted(state.tenant, options, self._seen(state, options))
        wishes = self._wishes(state.tenant, options, share, _impressions(state))
        taste = await self._against(taste, options)
        ranking = await self._ranker.page(taste, wanted, wishes)
        if taste.overall is None and not ranking.gathered.personal:
            return await self._popular(state, options, taste.at)
        listed = await self._listed(ranking, taste, options, state, profile)
        has_profile = any(one.component == "profile" for one in taste.directions)
        degraded = list(missing) if share > 0.0 else []  # else nothing of it was asked for
        if not missing and not has_profile and share > 0.0:
            degraded.append("profile")
        return {
            **self._user_head(state, "personal"),
            "degraded": degraded + ranking.gathered.missing,
            "items": listed,
            "next_cursor": next_cursor(wanted.start, options.limit, len(listed), taste.at),
        }

    async def _popular(
        self, state: UserState, options: Options, at: float | None
    ) -> dict[str, Any]:
        wanted = await self._wanted(state.tenant, options, self._seen(state, options))
        wishes = self._wishes(state.tenant, options, share=0.0)
        at = at if at is not None else wanted.now
        seed = f"{state.user_id} {int(at // _DAY_S)}"
        ranking = await self._ranker.popular(wanted, wishes, seed, self._explored(wishes))
        listed = await self._listed(ranking, Taste(state.tenant), options, None, None)
        return {
            **self._user_head(state, "popular"),
            "degraded": [],
            "items": listed,
            "next_cursor": next_cursor(wanted.start, options.limit, len(listed), at),
        }

    def _user_head(self, state: UserState, strategy: str) -> dict[str, Any]:
        position = self._runtime.position_of_user(state.tenant, state.user_id, state.offset)
        return {
            "user_id": state.user_id,
            "user_version": state.version,
            "position": position,
            "generated_at": _now(),
            "source": "live",
            "strategy": strategy,
        }

    def _wishes(
        self,
        tenant: str,
        options: Options,
        share: float,
        impressions: Mapping[str, int] | None = None,
    ) -> Wishes:
        return Wishes(
            profile_share=share,
            calibration=self._settings.calibration,
            rules=self._rules.current(tenant).plus(options.rules),
            novelty=options.novelty,
            impressions=impressions or {},
            without=self._without,
        )

    def _explored(self, wishes: Wishes) -> float:
        return wishes.rules.exploration or self._settings.exploration

    async def _against(self, taste: Taste, options: Options) -> Taste:
        """Add what the caller says is not wanted."""
        if not options.negative_items:
            return taste
        return await self._sessions.against(taste, options.negative_items)

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
        items, hidden = self._runtime.items, self._rules.current(tenant).hides
        kinds = await items.kinds(tenant) if options.filters or hidden else {}
        conditions = parse_filters(options.filters, kinds)
        for group in hidden:
            conditions.hide(group.filter, kinds)
        unwanted = (*options.exclude, *options.negative_items)
        return Wanted(
            tenant=tenant,
            limit=options.limit,
            start=place_of(options.cursor).start,
            conditions=conditions,
            excluded=excluded | _points(tenant, unwanted) if unwanted else excluded,
            diversity=options.diversity,
            now=options.at if options.at is not None else time.time(),
            filtered=bool(conditions.must or conditions.must_not or items.availability),
        )

    async def _listed(
        self,
        ranking: Ranking,
        taste: Taste,
        options: Options,
        state: UserState | None,
        profile: Profile | None,
    ) -> list[dict[str, Any]]:
        explained: Mapping[str, list[dict[str, Any]]] = {}
        if options.explain:
            explained = await self._reasons(ranking, taste, state, profile)
        return [
            {
                "item_id": one.item_id,
                "score": one.score,
                "features": one.features,
                "reasons": explained.get(one.item_id, []),
            }
            for one in ranking.items
        ]

    async def _reasons(
        self, ranking: Ranking, taste: Taste, state: UserState | None, profile: Profile | None
    ) -> dict[str, list[dict[str, Any]]]:
        if taste.empty:
            return {one.item_id: _crowd_reason(one) for one in ranking.items}
        evidence = await self._evidence(ranking, taste, state, profile)
        rest = "history" if state is not None else "other"
        return {
            one.item_id: reasons(
                one.point,
                one.item_id,
                one.score,
                evidence,
                [(change.kind, change.change) for change in one.adjusted],
                rest=rest if one.kind == "ranked" else one.kind,
            )
            for one in ranking.items
        }

    async def _evidence(
        self, ranking: Ranking, taste: Taste, state: UserState | None, profile: Profile | None
    ) -> Evidence:
        tenant, ids = taste.tenant, [one.item_id for one in ranking.items]
        gathered: Gathered = ranking.gathered
        parts: dict[object, Sequence[Part]] = {}
        for direction in taste.directions:
            if state is not None and direction.interest is not None:
                refs = [member.ref for member in direction.interest.members]
                vectors = await self._tastes.vectors(tenant, refs)
                parts[direction.key] = interest_parts(direction, state, vectors)
            elif direction.component == "profile" and profile is not None:
                names = [term_text(term) for term in profile.weights]
                terms = await self._runtime.embeddings.known(names)
                parts[direction.key] = profile_parts(profile, terms)
        return Evidence(
            tenant,
            gathered,
            ranking.weights,
            self._runtime.neighbours.half_life_recent_s,
            event_reasons(state) if state is not None else {},
            parts,
            await self._runtime.neighbours.hoods(tenant, ids) if gathered.asked else {},
            await self._runtime.items.vectors(tenant, ids),
        )

    def _forget(self, change: Change) -> None:
        if self._cache is not None and isinstance(change, UserChange):
            self._cache.drop_user(change.tenant, change.user_id)


def open_learner(runtime: Runtime) -> Learner:
    """Make what learns the ranking in a process that folds and serves nothing."""
    return Recommender(runtime, None).learner()


def _impressions(state: UserState) -> dict[str, int]:
    """Count how often items were shown to the user, which `view` events report."""
    shown: dict[str, int] = {}
    for entry in state.window:
        if entry.event_type == "view":
            item_id = entry.ref.removeprefix("item:")
            shown[item_id] = shown.get(item_id, 0) + 1
    return shown


def _crowd_reason(one: Ranked) -> list[dict[str, Any]]:
    base = one.score - sum(change.change for change in one.adjusted)
    kind = "popular" if one.kind == "ranked" else one.kind
    adjusted = [{"kind": c.kind, "contribution": round(c.change, 6)} for c in one.adjusted]
    return [{"kind": kind, "contribution": round(base, 6)}, *adjusted]


def _as_of(options: Options) -> float | None:
    """Return the time that a list is asked for; a page is as of the time of the pages before."""
    return options.at if options.at is not None else place_of(options.cursor).at


def _points(tenant: str, item_ids: Iterable[str]) -> frozenset[str]:
    return frozenset(item_point(tenant, item_id) for item_id in item_ids)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
