"""Keeps profiles up to date, off the path of the events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from cachetools import LRUCache

from indexer.domain.profile import COUNTER, Evidence, Memory, Profile
from indexer.domain.state import UserState
from indexer.errors import BudgetSpent, ProviderError, ProviderUnavailable, unforeseen
from indexer.profiling.counter import count_profile
from indexer.profiling.evidence import EvidenceReader
from indexer.profiling.llm import LlmProfiler
from indexer.profiling.plan import PlanRules, next_ask
from indexer.profiling.schedule import Schedule
from indexer.profiling.writer import ProfileWriter
from indexer.provider.budget import Budget
from indexer.provider.ledger import Ledger
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
        evidence: EvidenceReader,
        writer: ProfileWriter,
        llm: LlmProfiler | None,
        budget: Budget,
        ledger: Ledger,
        telemetry: Telemetry,
        *,
        rules: PlanRules,
        half_life_s: float,
        concurrency: int,
    ) -> None:
        self._states, self._profiles, self._evidence = states, profiles, evidence
        self._writer, self._llm = writer, llm
        self._budget, self._ledger, self._telemetry = budget, ledger, telemetry
        self._rules, self._half_life_s, self._concurrency = rules, half_life_s, concurrency
        self._counting, self._asking = Schedule(time.time), Schedule(time.time)
        self._to_count, self._to_ask = asyncio.Event(), asyncio.Event()
        self._since: LRUCache[UserKey, float] = LRUCache(_USERS_MAX)
        self._not_before: LRUCache[UserKey, float] = LRUCache(_USERS_MAX)
        self._left_s: LRUCache[UserKey, float] = LRUCache(_USERS_MAX)
        self._incomplete: LRUCache[UserKey, bool] = LRUCache(_USERS_MAX)

    def due(self, key: UserKey) -> None:
        """Note that a user has changed."""
        self._since.setdefault(key, time.time())
        self._count_at(key, time.time() + _SETTLE_S)

    def touch(self, key: UserKey) -> None:
        """Note that a user is looking at recommendations, and is asked about before others."""
        if self._llm is not None:
            self._asking.touch(key)

    def drop(self, key: UserKey) -> None:
        """Forget a user; of what is under way about them, nothing will be kept."""
        self._writer.erased(key)
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

    async def refresh(self, key: UserKey) -> None:
        """Count a user's profile where it is behind, and plan when to ask the model."""
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
            await self._complete(key, profile, begun)
        at = self._when(state, profile) if self._llm is not None else None
        if at is not None:
            self._ask_at(key, at)

    async def run(self) -> None:
        """Count profiles, and plan when to ask, until cancelled."""
        while True:
            key = await _next(self._counting, self._to_count)
            start = time.perf_counter()
            try:
                await self.refresh(key)
            except Exception as exc:  # noqa: BLE001 - counted; one profile must not end all others
                self._failed(self._count_at, key, exc)
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
                self._failed(self._ask_at, key, exc)
            finally:
                self._asking.done(key)

    def _failed(
        self, again: Callable[[UserKey, float], None], key: UserKey, exc: Exception
    ) -> None:
        self._telemetry.count("failures", "profile")
        _log.warning("a profile waits: %s", exc, exc_info=unforeseen(exc))
        again(key, time.time() + _RETRY_S)

    async def _complete(self, key: UserKey, profile: Profile, begun: float) -> None:
        if not await self._writer.complete(key, profile, begun):
            self._complete_later(key)

    def _complete_later(self, key: UserKey) -> None:
        """Come back for the terms of a profile that could not be embedded now."""
        self._incomplete[key] = True
        self._count_at(key, time.time() + _RETRY_S)

    def _count_at(self, key: UserKey, at: float) -> None:
        self._counting.add(key, at)
        self._to_count.set()

    def _ask_at(self, key: UserKey, at: float) -> None:
        self._asking.add(key, at)
        self._to_ask.set()

    def _when(self, state: UserState, profile: Profile | None) -> float | None:
        """Return when to ask about a user (unix seconds), or None: not yet."""
        key, now = (state.tenant, state.user_id), time.time()
        at = next_ask(state, profile, self._rules, self._since.get(key, now), now)
        return None if at is None else max(at, self._not_before.get(key, 0.0))

    async def _count(self, state: UserState, begun: float) -> None:
        evidence = await self._evidence.of(state)
        terms = {term for one in evidence for term in one.facets}
        shares = await self._evidence.shares(state.tenant, sorted(terms))
        draft = count_profile(evidence, shares, self._half_life_s)
        if not await self._writer.put(state, draft, COUNTER, 0.0, begun):
            self._complete_later((state.tenant, state.user_id))
        self._telemetry.count("profiles", "counted")

    async def _try_asking(self, key: UserKey) -> None:
        assert self._llm is not None
        if not self._llm.worth_asking:
            self._ask_at(key, time.time() + _AWAY_S)
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
                self._ask_at(key, time.time() + _AWAY_S)
                return
            self._telemetry.count("profiles", f"unusable_{exc.fault}")
            _log.info("a model's answer is left aside: %s", exc)
            self._left_s[key] = min(2.0 * self._left_s.get(key, _LEFT_S / 2.0), _LEFT_MAX_S)
            self._leave(key, self._left_s[key])
        finally:
            if await self._writer.gone(key, begun):
                await self._ledger.forget_user(*key)

    def _leave(self, key: UserKey, wait_s: float) -> None:
        """Do not ask about a user again for a while, whatever happens."""
        self._not_before[key] = time.time() + wait_s
        self._ask_at(key, time.time() + wait_s)

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
            self._ask_at(key, at)
            return
        with self._telemetry.timed("profile_llm"):
            await self._ask(llm, state, begun)
        self._since.pop(key, None)
        self._left_s.pop(key, None)
        self._telemetry.count("profiles", "asked")

    async def _ask(self, llm: LlmProfiler, state: UserState, begun: float) -> None:
        key, now = (state.tenant, state.user_id), time.time()
        evidence = await self._evidence.of(state)
        memory, cost = await self._remember(llm, state, evidence, now, begun)
        made = await llm.weigh(
            key, evidence, memory, lambda terms: self._evidence.occurring(key[0], terms), now
        )
        total = None if cost is None or made.cost_usd is None else cost + made.cost_usd
        if not await self._writer.put(state, made.draft, made.model, total, begun):
            self._complete_later(key)

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
            await self._writer.put_memory(key, memory, begun)
        return memory, cost


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
