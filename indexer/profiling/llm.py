"""The profiler that asks a model: a summary of older events first, then weights from the newest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from indexer.domain.profile import Evidence, Memory
from indexer.errors import InputRefused
from indexer.profiling.parse import (
    Draft,
    Vocabulary,
    claims_of,
    clean_text,
    read_answer,
    settle,
)
from indexer.profiling.prompt import (
    PROFILE_TOKENS,
    SCHEMA,
    SUMMARY_TOKENS,
    Message,
    event_ids,
    profile_messages,
    summary_messages,
    tokens_of,
)
from indexer.provider.chat import Answer, ChatModel
from indexer.stores.users import UserKey

__all__ = ["LlmProfile", "LlmProfiler"]

_DETAIL_MAX, _DETAIL_LEFT = 20, 10
_SUMMARY_CHARS: Final = 4 * SUMMARY_TOKENS

Occurring = Callable[[set[str]], Awaitable[set[str]]]
"""Of ``feature=value`` terms, those that occur in the catalogue."""

Prompt = Callable[[Sequence[Evidence], str, float], list[Message]]


@dataclass(frozen=True, slots=True)
class LlmProfile:
    """A draft, the model that made it and what it cost in dollars (None: price unknown)."""

    draft: Draft
    model: str
    cost_usd: float | None


class LlmProfiler:
    """Asks for profiles. An event is in about two profile prompts and one summary prompt."""

    def __init__(self, profile: ChatModel, summary: ChatModel) -> None:
        self._profile, self._summary = profile, summary

    @property
    def well(self) -> bool:
        """Whether the model is not known to be away."""
        return self._profile.well

    @property
    def worth_asking(self) -> bool:
        """Whether it is well, or it is time to see if it is again."""
        return self._profile.worth_asking

    async def remember(
        self, key: UserKey, evidence: Sequence[Evidence], memory: Memory, now: float
    ) -> tuple[Memory, float | None]:
        """Summarise older events where more than 20 are not yet; return the cost too.

        ``evidence``: the user's window, oldest first. Ten are left to be told in detail.
        """
        window = {one.entry.event_id for one in evidence}
        fresh = [one for one in evidence if one.entry.event_id not in memory.event_ids]
        if len(fresh) <= _DETAIL_MAX:
            return memory, 0.0
        older = fresh[:-_DETAIL_LEFT]
        answer, _ = await self._ask(
            self._summary, summary_messages, key, older, memory.summary, now, SUMMARY_TOKENS
        )
        covered = (memory.event_ids & window) | {one.entry.event_id for one in older}
        return Memory(clean_text(answer.text, _SUMMARY_CHARS), frozenset(covered)), answer.cost_usd

    async def weigh(
        self,
        key: UserKey,
        evidence: Sequence[Evidence],
        memory: Memory,
        occurring: Occurring,
        now: float,
    ) -> LlmProfile:
        """Ask for weights.

        Raises:
            ProviderError: the answer cannot be used.
            ProviderUnavailable: there is none.
        """
        fresh = [one for one in evidence if one.entry.event_id not in memory.event_ids]
        answer, told = await self._ask(
            self._profile,
            profile_messages,
            key,
            fresh[-_DETAIL_MAX:],
            memory.summary,
            now,
            PROFILE_TOKENS,
        )
        read = read_answer(answer.text)
        claims = claims_of(read)
        own = {term for one in evidence for term in one.facets}
        foreign = {claim.key for claim in claims if "=" in claim.key} - own
        vocabulary = Vocabulary([*sorted(own), *sorted(await occurring(foreign))])
        draft = settle(claims, read.get("summary"), vocabulary, event_ids(told))
        return LlmProfile(draft, answer.model, answer.cost_usd)

    async def _ask(
        self,
        model: ChatModel,
        prompt: Prompt,
        key: UserKey,
        evidence: Sequence[Evidence],
        earlier: str,
        now: float,
        answer_tokens: int,
    ) -> tuple[Answer, Sequence[Evidence]]:
        """Ask about as many of the newest events as the model takes; return these too."""
        tenant, user_id = key
        room = model.room(answer_tokens)
        while len(evidence) > 1 and tokens_of(prompt(evidence, earlier, now)) > room:
            evidence = evidence[1:]
        while True:
            try:
                answer = await model.ask(
                    prompt(evidence, earlier, now),
                    answer_tokens=answer_tokens,
                    schema=SCHEMA if model is self._profile else None,
                    tenant=tenant,
                    user_id=user_id,
                )
            except InputRefused as exc:
                if not exc.too_long or len(evidence) < 2:
                    raise
                evidence = evidence[(len(evidence) + 1) // 2 :]
            else:
                return answer, evidence
