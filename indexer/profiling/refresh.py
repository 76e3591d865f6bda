"""Keeps profiles up to date, off the path of the events."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from cachetools import LRUCache, TTLCache

from indexer.domain.events import ref_item, ref_text
from indexer.domain.items import facets
from indexer.domain.profile import (
    COUNTER,
    Evidence,
    Memory,
    Profile,
    profile_vector,
    term_text,
)
from indexer.domain.state import Entry, UserState
from indexer.embedding import Embeddings
from indexer.errors import BudgetSpent, ProviderError, ProviderUnavailable, unforeseen
from indexer.profiling.counter import count_profile
from indexer.profiling.llm import LlmProfiler
from indexer.profiling.parse import Draft
from indexer.profiling.plan import PlanRules, next_ask
from indexer.profiling.schedule import Schedule
from indexer.provider.budget import Budget
from indexer.provider.ledger import Ledger
from indexer.stores.items import FEATURE_PREFIX, ItemPoints
from indexer.stores.points import equals
from indexer.stores.profiles import Profiles
from indexer.stores.users import UserKey, UserStates
from indexer.telemetry import Telemetry

__all__ = ["ProfileRefresher"]

_log = logging.getLogger(__name__)

_SETTLE_S: Final = 1.0
_RETRY_S: Final = 10.0
_AWAY_S: Final = 2.0
_REST_FACTOR: Final = 9.0
_LEFT_S, _LEFT_MAX_S = 60.0, 86_400.0
_NO_TEXT: Final = "no_text"
_USERS_MAX: Final = 100_000
_SHARES_CACHED, _SHARES_TTL_S = 10_000, 300.0
_FOREIGN_MAX: Final = 40


class ProfileRefresher:
    """Refreshes the profiles of users whose state has changed.

    A second after an event, once however many came meanwhile, a user's profile is counted, if no
    model has made one; and it is decided when to ask the model, if there is one (plan.py). The
    counting rests nine times as long as it works, so that it never takes more than a tenth of the
    process; the asking is bounded by the number of users asked about at once.
    """

    def __init__(
        self,
        states: UserStates,
        profiles: Profiles,
        items: ItemPoints,
        embeddings: Embeddings,
        llm: LlmProfiler | None,
        budget: Budget,
        ledger: Ledger,
        telemetry: Telemetry,
        turn: asyncio.Lock,
        *,
        rules: PlanRules,
        text_features: frozenset[str],
        half_life_s: float,
        concurrency: int,
    ) -> None:
        self._states, self._profiles, self._items = states, profiles, items
        self._embeddings, self._llm = embeddings, llm
        self._budget, self._ledger, self._telemetry = budget, ledger, telemetry
        self._turn, self._rules = turn, rules
        self._text_features, self._half_life_s = text_features, half_life_s
        self._concurrency = concurrency
        self._counting, self._asking = Schedule(time.time), Schedule(time.time)
        self._to_count, self._to_ask = asyncio.Event(), asyncio.Event()
        self._since: LRUCache[UserKey, float] = LRUCache(_USERS_MAX)
        self._not_before: LRUCache[UserKey, float] = LRUCache(_USERS_MAX)
        self._left_s: LRUCache[UserKey, float] = LRUCache(_USERS_MAX)
        self._erased_at: LRUCache[UserKey, float] = LRUCache(_USERS_MAX)
        self._incomplete: LRUCache[UserKey, bool] = LRUCache(_USERS_MAX)
        self._shares: TTLCache[tuple[str, str], float] = TTLCache(_SHARES_CACHED, _SHARES_TTL_S)

    def due(self, key: UserKey) -> None:
        """Note that a user has changed."""
        now = time.time()
        self._since.setdefault(key, now)
        self._counting.add(key, now + _SETTLE_S)
        self._to_count.set()

    def touch(self, key: UserKey) -> None:
        """Note that a user is looking at recommendations, and is asked about before others."""
        if self._llm is not None:
            self._asking.touch(key)

    def drop(self, key: UserKey) -> None:
        """Forget a user; of what is under way about them, nothing will be kept."""
        self._erased_at[key] = time.monotonic()
        self._counting.drop(key)
        self._asking.drop(key)
        self._since.pop(key, None)

    def missing(self, key: UserKey, profile: Profile | None, event_count: int) -> list[str]:
        """Name what a user's profile lacks because of the model or its budget."""
        if self._llm is None:
            return []
        if self._budget.state(*key) == "spent":
            return ["profile", "budget"]
        behind = profile is None or profile.model == COUNTER or profile.event_count < event_count
        return ["profile"] if behind and not self._llm.well else []

    async def run(self) -> None:
        """Count profiles, and plan when to ask, until cancelled."""
        while True:
            key = await _next(self._counting, self._to_count)
            start = time.perf_counter()
            try:
                await self._count_and_plan(key)
            except Exception as exc:  # noqa: BLE001 - counted; one profile must not end all others
                self._failed(self._counting, key, exc)
            finally:
                self._counting.done(key)
            await asyncio.sleep(_REST_FACTOR * (time.perf_counter() - start))

    async def run_asking(self) -> None:
        """Ask the model about users who are due until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency if self._llm is not None else 0):
                group.create_task(self._ask_on())
            await asyncio.Event().wait()

    async def _ask_on(self) -> None:
        while True:
            key = await _next(self._asking, self._to_ask)
            try:
                await self._try_asking(key)
            except Exception as exc:  # noqa: BLE001 - counted; one profile must not end all others
                self._failed(self._asking, key, exc)
            finally:
                self._asking.done(key)

    def _failed(self, schedule: Schedule, key: UserKey, exc: Exception) -> None:
        self._telemetry.count("failures", "profile")
        _log.warning("a profile waits: %s", exc, exc_info=unforeseen(exc))
        schedule.add(key, time.time() + _RETRY_S)

    async def _count_and_plan(self, key: UserKey) -> None:
        begun = time.monotonic()
        state, profile = await self._states.get(*key), await self._profiles.get(*key)
        if state is None:
            return
        counted = profile is None or profile.model == COUNTER or not state.window
        incomplete = self._incomplete.pop(key, False)
        if counted and (profile is None or profile.user_version != state.version or incomplete):
            with self._telemetry.timed("profile"):
                await self._count(state, begun)
        elif incomplete and profile is not None:
            await self._store(key, profile, begun)
        at = self._when(state, profile) if self._llm is not None else None
        if at is not None:
            self._asking.add(key, at)
            self._to_ask.set()

    def _when(self, state: UserState, profile: Profile | None) -> float | None:
        """Return when to ask about a user (unix seconds), or None: not yet."""
        key, now = (state.tenant, state.user_id), time.time()
        at = next_ask(state, profile, self._rules, self._since.get(key, now), now)
        return None if at is None else max(at, self._not_before.get(key, 0.0))

    async def _count(self, state: UserState, begun: float) -> None:
        evidence = await self._evidence(state)
        terms = {term for one in evidence for term in one.facets}
        shares = await self._shares_of(state.tenant, sorted(terms))
        draft = count_profile(evidence, shares, self._half_life_s)
        await self._put(state, draft, COUNTER, 0.0, begun)
        self._telemetry.count("profiles", "counted")

    async def _try_asking(self, key: UserKey) -> None:
        assert self._llm is not None
        if not self._llm.worth_asking:
            self._asking.add(key, time.time() + _AWAY_S)
            return
        begun = time.monotonic()
        try:
            await self._ask_if_due(self._llm, key, begun)
        except BudgetSpent:
            self._telemetry.count("profiles", "over_budget")
            self._leave(key, _LEFT_S)
        except ProviderError as exc:
            if isinstance(exc, ProviderUnavailable) and exc.fault != _NO_TEXT:
                self._telemetry.count("profiles", "unavailable")
                _log.debug("a profile waits for its model: %s", exc)
                self._asking.add(key, time.time() + _AWAY_S)
                return
            self._telemetry.count("profiles", f"unusable_{exc.fault}")
            _log.info("a model's answer is left aside: %s", exc)
            self._left_s[key] = min(2.0 * self._left_s.get(key, _LEFT_S / 2.0), _LEFT_MAX_S)
            self._leave(key, self._left_s[key])
        finally:
            if await self._gone(key, begun):
                await self._ledger.forget_user(*key)

    def _leave(self, key: UserKey, wait_s: float) -> None:
        """Do not ask about a user again for a while, whatever happens."""
        self._not_before[key] = time.time() + wait_s
        self._asking.add(key, time.time() + wait_s)

    async def _ask_if_due(self, llm: LlmProfiler, key: UserKey, begun: float) -> None:
        """Ask, unless there is a newer profile than when this was planned, and it will do."""
        state, profile = await self._states.get(*key), await self._profiles.get(*key)
        if state is None:
            return
        self._since.setdefault(key, time.time())
        at = self._when(state, profile)
        if at is None:
            return
        if at > time.time():
            self._asking.add(key, at)
            return
        with self._telemetry.timed("profile_llm"):
            await self._ask(llm, state, begun)
        self._since.pop(key, None)
        self._left_s.pop(key, None)
        self._telemetry.count("profiles", "asked")

    async def _ask(self, llm: LlmProfiler, state: UserState, begun: float) -> None:
        key, now = (state.tenant, state.user_id), time.time()
        evidence = await self._evidence(state)
        memory, cost = await self._remember(llm, state, evidence, now, begun)
        made = await llm.weigh(
            key, evidence, memory, lambda terms: self._occurring(key[0], terms), now
        )
        total = None if cost is None or made.cost_usd is None else cost + made.cost_usd
        await self._put(state, made.draft, made.model, total, begun)

    async def _remember(
        self,
        llm: LlmProfiler,
        state: UserState,
        evidence: Sequence[Evidence],
        now: float,
        begun: float,
    ) -> tuple[Memory, float | None]:
        """Bring the summary of older events up to date; without it, the newest are told alone."""
        key = (state.tenant, state.user_id)
        cost: float | None = 0.0
        kept = memory = await self._profiles.memory(*key)
        if not kept.event_ids.isdisjoint(state.retracted):
            memory = Memory()  # it speaks of an event that was taken back
        try:
            memory, cost = await llm.remember(key, evidence, memory, now)
        except BudgetSpent:
            raise
        except ProviderError as exc:
            self._telemetry.count("profiles", f"unsummarised_{exc.fault}")
        if memory is not kept:
            async with self._turn:
                if not await self._gone(key, begun):
                    await self._profiles.put_memory(*key, memory)
        return memory, cost

    async def _put(
        self, state: UserState, draft: Draft, model: str, cost_usd: float | None, begun: float
    ) -> None:
        profile = Profile(
            weights=draft.weights,
            summary=draft.summary,
            model=model,
            user_version=state.version,
            updated_at=time.time(),
            cost_usd=cost_usd,
            event_count=state.event_count,
            evidence=draft.evidence,
        )
        await self._store((state.tenant, state.user_id), profile, begun)

    async def _store(self, key: UserKey, profile: Profile, begun: float) -> None:
        """Embed a profile's terms and write it; what cannot be embedded now is done later."""
        texts = {term: term_text(term) for term in profile.weights}
        found = await self._embeddings.each(list(texts.values()))
        known = {
            term: vector
            for term, text in texts.items()
            if not isinstance(vector := found[text], ProviderError)
        }
        if any(isinstance(one, ProviderUnavailable) for one in found.values()):
            self._incomplete[key] = True
            self._counting.add(key, time.time() + _RETRY_S)
        whole = replace(profile, vector=profile_vector(profile.weights, known))
        async with self._turn:
            if not await self._gone(key, begun):
                await self._profiles.put(*key, whole)

    async def _gone(self, key: UserKey, begun: float) -> bool:
        """Whether a user was erased since ``begun`` (monotonic seconds), also if back since."""
        return self._erased_at.get(key, -math.inf) >= begun or await self._states.get(*key) is None

    async def _evidence(self, state: UserState) -> list[Evidence]:
        item_ids = {item_id for e in state.window if (item_id := ref_item(e.ref)) is not None}
        features = await self._items.features(state.tenant, sorted(item_ids))
        return [one for entry in state.window if (one := self._one(entry, features)) is not None]

    def _one(self, entry: Entry, features: Mapping[str, Mapping[str, object]]) -> Evidence | None:
        item_id = ref_item(entry.ref)
        if item_id is None:
            return Evidence(entry, query=ref_text(entry.ref) or "")
        known = features.get(item_id)
        if known is None:
            return None
        title = next((v for n, v in known.items() if n in self._text_features and v), "")
        return Evidence(entry, tuple(facets(known, self._text_features)), str(title))

    async def _occurring(self, tenant: str, terms: set[str]) -> set[str]:
        """Return those ``feature=value`` terms that occur in the catalogue."""
        asked = sorted(terms)[:_FOREIGN_MAX]
        shares = await self._shares_of(tenant, asked)
        return {term for term, share in shares.items() if share > 0.0}

    async def _shares_of(self, tenant: str, terms: Sequence[str]) -> dict[str, float]:
        """How much of the catalogue has each term; 0 for features that are not indexed."""
        shares: dict[str, float] = {}
        total: int | None = None
        for term in terms:
            share = self._shares.get((tenant, term))
            name, _, value = term.partition("=")
            if share is None and self._items.filter_kinds.get(name) == "keyword":
                total = await self._items.count(tenant) if total is None else total
                having = await self._items.count(tenant, [equals(FEATURE_PREFIX + name, value)])
                share = self._shares[tenant, term] = having / max(total, 1)
            shares[term] = share or 0.0
        return shares


async def _next(schedule: Schedule, wake: asyncio.Event) -> UserKey:
    """Wait for the next user who is due."""
    while True:
        wake.clear()
        key = schedule.take()
        if key is not None:
            return key
        try:
            async with asyncio.timeout(schedule.wait_s()):
                await wake.wait()
        except TimeoutError:
            continue
