"""Providers and models as the settings describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from indexer.errors import SettingsError
from indexer.provider.prices import Price, read_price
from indexer.settings import Settings

__all__ = [
    "PURPOSES",
    "Choice",
    "ModelTable",
    "ProviderSpec",
    "Purpose",
    "choice_of",
    "limits_of",
    "number",
]

Purpose = Literal["embedding", "profile", "summary"]
PURPOSES: Final[tuple[Purpose, ...]] = ("embedding", "profile", "summary")

_CONTEXT_TOKENS: Final = 32_000
_CONTEXT_LEAST: Final = 1_024
_CHAT_TIMEOUT_S, _CHAT_TRIES = 30.0, 2.5


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """One endpoint and how it is treated; the key comes from the file, the command or itself."""

    name: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    api_key_file: Path | None = None
    api_key_command: str | None = None
    timeout_s: float = 5.0
    deadline_s: float = 20.0
    chat_timeout_s: float = 30.0
    chat_deadline_s: float = 75.0
    max_retries: int = 3
    concurrency: int = 10
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One model at one provider. ``price`` None: declared unknown.

    ``vectors``: by what name its embeddings are comparable.
    """

    provider: str
    model: str
    price: Price | None
    context_tokens: int = _CONTEXT_TOKENS
    vectors: str = ""


@dataclass(frozen=True, slots=True)
class ModelTable:
    """The providers by name, and for each purpose its choices in order of preference."""

    providers: Mapping[str, ProviderSpec]
    choices: Mapping[Purpose, tuple[Choice, ...]]
    prices: Mapping[str, Price | None]


def limits_of(settings: Settings, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a provider is treated; what is set for all calls holds for chats too."""
    limits: dict[str, Any] = {
        "timeout_s": settings.provider_timeout_s,
        "deadline_s": settings.provider_deadline_s,
        "max_retries": settings.provider_max_retries,
        "concurrency": settings.provider_concurrency,
        "requests_per_minute": settings.provider_requests_per_minute,
        "tokens_per_minute": settings.provider_tokens_per_minute,
        **entry,
    }
    given = settings.model_fields_set
    timeout_s = settings.provider_chat_timeout_s
    if timeout_s is None and ("timeout_s" in entry or "provider_timeout_s" in given):
        timeout_s = limits["timeout_s"]
    limits.setdefault("chat_timeout_s", timeout_s or _CHAT_TIMEOUT_S)
    if "deadline_s" in entry or "provider_deadline_s" in given:
        deadline_s = limits["deadline_s"]
    else:
        deadline_s = max(limits["deadline_s"], _CHAT_TRIES * limits["chat_timeout_s"])
    limits.setdefault("chat_deadline_s", deadline_s)
    return limits


def choice_of(
    purpose: Purpose, entry: Mapping[str, Any], prices: Mapping[str, Price | None]
) -> Choice:
    """Make a choice of an entry with ``provider`` and ``model``.

    Raises:
        SettingsError: it has no price.
        ValueError: its price or context is none.
    """
    model = str(entry["model"])
    where = f"model {model!r} ({purpose})"
    if "price" in entry:
        price = read_price(entry["price"], f"{where} price")
    elif model in prices:
        price = prices[model]
    else:
        raise SettingsError(
            f"{where} has no price, so its cost could not be counted; give it in RECSVC_PRICES="
            f"'{{\"{model}\": [0.28, 0.42]}}' (dollars per million tokens in and out) or as price "
            'in RECSVC_MODELS_FILE, or write "unknown"'
        )
    context = number(
        entry.get("context_tokens", _CONTEXT_TOKENS), _CONTEXT_LEAST, f"{where} context_tokens"
    )
    return Choice(
        provider=str(entry["provider"]),
        model=model,
        price=price,
        context_tokens=context,
        vectors=str(entry.get("vectors", model)),
    )


def number(value: Any, least: float, where: str) -> Any:
    """Return ``value`` where it is a number from ``least`` up, whole if ``least`` is an int.

    Raises:
        ValueError: it is not.
    """
    kinds = int if isinstance(least, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not value >= least:
        kind = "a whole number" if isinstance(least, int) else "a number"
        raise ValueError(f"{where}={value!r}; accepted: {kind} from {least:g} up")
    return value
