"""Fields that not every endpoint takes: left out or renamed once they are refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["is_about", "without"]

_RENAMED: Mapping[str, str] = {"max_tokens": "max_completion_tokens"}
_UNKNOWN = r"(?:not |un|in)(?:support|recogni|known|permitt|allowed|expected|valid)|extra"


def is_about(field: str, refused: str) -> bool:
    """Whether a refusal is about a field that is not known, and does not just quote a text."""
    name = rf"\b{re.escape(field)}\b"
    near = rf"(?:{_UNKNOWN}).{{0,80}}{name}|{name}.{{0,80}}(?:{_UNKNOWN})"
    return re.search(near, refused, re.IGNORECASE | re.DOTALL) is not None


def without(body: Mapping[str, Any], refused: set[str]) -> dict[str, Any]:
    """Return ``body`` as an endpoint takes it that refused some of its fields."""
    kept = {name: value for name, value in body.items() if name not in refused}
    for name in refused & body.keys() & _RENAMED.keys():
        kept[_RENAMED[name]] = body[name]
    return kept
