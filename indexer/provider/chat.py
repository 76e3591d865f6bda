"""Chat completions of any OpenAI-compatible endpoint, with failover along a list of choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from indexer.errors import InputRefused, ProviderUnavailable
from indexer.provider.breaker import Breaker
from indexer.provider.budget import Budget
from indexer.provider.choices import Choice, Purpose
from indexer.provider.dialect import is_about, without
from indexer.provider.endpoint import Endpoint, Job
from indexer.provider.tokens import estimate, used

__all__ = ["Answer", "ChatModel", "Message"]

_PATH: Final = "chat/completions"
_MARGIN_TOKENS: Final = 64
_TEXT_MAX: Final = 64_000
_OPTIONAL: Final = ("max_tokens", "temperature")

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, which it was, and the dollars it cost (None: price unknown)."""

    text: str
    model: str
    cost_usd: float | None


class ChatModel:
    """Asks the first choice that answers, in the strictest reply format it knows."""

    def __init__(
        self,
        purpose: Purpose,
        choices: Sequence[Choice],
        endpoints: Mapping[str, Endpoint],
        budget: Budget,
    ) -> None:
        self._purpose, self._choices = purpose, choices
        self._endpoints, self._budget = endpoints, budget
        self._format: dict[Choice, int] = dict.fromkeys(choices, 0)
        self._refused_fields: dict[Choice, set[str]] = {choice: set() for choice in choices}

    @property
    def model(self) -> str:
        """The name of the first choice."""
        return self._choices[0].model

    @property
    def well(self) -> bool:
        """Whether a choice is left whose endpoint is not known to be away."""
        return any(breaker.state == "closed" for breaker in self._breakers())

    @property
    def worth_asking(self) -> bool:
        """Whether an endpoint is well, or due to be looked at again."""
        return any(breaker.passable for breaker in self._breakers())

    def room(self, answer_tokens: int) -> int:
        """Return how many tokens a prompt may have so that every choice can take it."""
        least = min(choice.context_tokens for choice in self._choices)
        return max(0, least - answer_tokens - _MARGIN_TOKENS)

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        answer_tokens: int,
        schema: Mapping[str, Any] | None = None,
        tenant: str = "",
        user_id: str = "",
    ) -> Answer:
        """Return the answer to ``messages``; with ``schema``, JSON where the endpoint can.

        Raises:
            InputRefused: the prompt is not taken (``too_long`` where that is why).
            ProviderUnavailable: none of the choices answers.
            BudgetSpent: it may not cost more today.
        """
        failed: ProviderUnavailable | None = None
        for choice in self._choices:
            try:
                return await self._ask(choice, messages, answer_tokens, schema, tenant, user_id)
            except ProviderUnavailable as exc:
                failed = failed or exc
        assert failed is not None
        raise failed

    async def _ask(
        self,
        choice: Choice,
        messages: Sequence[Message],
        answer_tokens: int,
        schema: Mapping[str, Any] | None,
        tenant: str,
        user_id: str,
    ) -> Answer:
        tokens = sum(estimate(message["content"]) for message in messages)
        job = Job(self._purpose, choice.model, choice.price, tokens, tenant, user_id, chat=True)
        most = choice.price.of(tokens, answer_tokens) if choice.price is not None else 0.0
        with self._budget.reserving(self._purpose, most, tenant, user_id):
            while True:
                sent = self._format[choice]
                whole = {
                    "model": choice.model,
                    "messages": list(messages),
                    "max_tokens": answer_tokens,
                    "temperature": 0.0,
                    **_format_fields(sent, schema),
                }
                body = without(whole, self._refused_fields[choice])
                try:
                    return await self._endpoints[choice.provider].post(
                        _PATH, body, lambda reply: _answer(reply, choice, tokens), job
                    )
                except InputRefused as exc:
                    unknown = {f for f in _OPTIONAL if f in body and is_about(f, str(exc))}
                    self._refused_fields[choice] |= unknown
                    if not unknown and not (schema and self._loosen(choice, sent, str(exc))):
                        raise

    def _breakers(self) -> list[Breaker]:
        return [self._endpoints[choice.provider].breaker(_PATH) for choice in self._choices]

    def _loosen(self, choice: Choice, sent: int, refused: str) -> bool:
        """Ask in a looser format than ``sent`` from now on, where that is what is refused."""
        lowered = refused.lower()
        about_format = any(sign in lowered for sign in ("response_format", "json_schema", "schema"))
        if sent < 2 and about_format:
            self._format[choice] = max(self._format[choice], sent + 1)
            return True
        return False


def _format_fields(which: int, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        return {}
    strict = {"name": "answer", "strict": True, "schema": schema}
    formats: list[dict[str, Any]] = [
        {"response_format": {"type": "json_schema", "json_schema": strict}},
        {"response_format": {"type": "json_object"}},
        {},
    ]
    return formats[which]


def _answer(reply: Mapping[str, Any], choice: Choice, sent: int) -> Answer:
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ProviderUnavailable("the provider's reply has no text", fault="no_text")
    cost = choice.price.of(*used(reply, sent)) if choice.price is not None else None
    return Answer(text[:_TEXT_MAX], choice.model, cost)
