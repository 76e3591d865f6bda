"""How many tokens a text has, about, and how many a reply says it used. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["estimate", "used"]

_BYTES_EACH = 3
_COUNT_MAX = 2**40


def estimate(text: str) -> int:
    """Estimate a text's tokens, rather too many: one for three bytes of UTF-8.

    English has four to five bytes a token, Chinese about three, program text about three. Exact
    counts need each model's own tables.
    """
    return len(text.encode(errors="replace")) // _BYTES_EACH + 1


def used(reply: Mapping[str, Any], sent: int) -> tuple[int, int]:
    """Return the tokens sent and received that a reply tells of.

    A bill that is left out is not free: ``sent`` (an estimate) and the reply's text stand in.
    """
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens_in, tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    total = _count(usage, "total_tokens")
    if tokens_out is None:
        tokens_out = sum(map(estimate, _texts(reply)))
    if tokens_in is None:
        tokens_in = max(0, total - tokens_out) if total is not None else sent
    return tokens_in, tokens_out


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _COUNT_MAX:
        return None
    return value


def _texts(reply: Mapping[str, Any]) -> list[str]:
    choices = reply.get("choices")
    choices = choices if isinstance(choices, list) else []
    messages = [choice.get("message") for choice in choices if isinstance(choice, dict)]
    texts = [m.get("content") for m in messages if isinstance(m, dict)]
    return [text for text in texts if isinstance(text, str)]
