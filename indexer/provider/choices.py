"""Which model of which provider serves which purpose, in which order, at what price."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from indexer.errors import SettingsError
from indexer.provider.prices import LIST_PRICES, Price, read_price
from indexer.settings import Settings

__all__ = [
    "PURPOSES",
    "Choice",
    "ModelTable",
    "ProviderSpec",
    "Purpose",
    "model_table",
    "price_list",
]

Purpose = Literal["embedding", "profile", "summary"]
PURPOSES: Final[tuple[Purpose, ...]] = ("embedding", "profile", "summary")

_CONTEXT_TOKENS: Final = 32_000
_CONTEXT_LEAST: Final = 1_024
_PROVIDER_FIELDS = {
    "base_url", "api_key_env", "api_key_file", "api_key_command", "timeout_s", "deadline_s",
    "max_retries", "concurrency", "requests_per_minute", "tokens_per_minute",
}  # fmt: skip
_LEAST: Final[Mapping[str, int | float]] = {
    "timeout_s": 0.01,
    "deadline_s": 0.01,
    "max_retries": 0,
    "concurrency": 1,
    "requests_per_minute": 1.0,
    "tokens_per_minute": 1.0,
}
"""The least that is accepted; where it is a whole number, only such are."""
_CHOICE_FIELDS = {"provider", "model", "price", "context_tokens", "vectors"}


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


def model_table(settings: Settings, environment: Mapping[str, str]) -> ModelTable:
    """Read the table from ``RECSVC_MODELS_FILE``, or make it from the single settings.

    Raises:
        SettingsError: naming the entry, the value and what is accepted.
    """
    prices = price_list(settings)
    if settings.models_file is None:
        table = _of_settings(settings, prices)
    else:
        table = _of_file(settings.models_file, settings, prices, environment)
    _check_budgets(settings, table)
    return table


def price_list(settings: Settings) -> dict[str, Price | None]:
    """Return the built-in prices with those of the settings; None: declared unknown.

    Raises:
        SettingsError: a price is none.
    """
    prices: dict[str, Price | None] = dict(LIST_PRICES)
    for model, value in settings.prices.items():
        prices[model] = _priced(value, f"RECSVC_PRICES, {model}")
    return prices


def _of_settings(settings: Settings, prices: Mapping[str, Price | None]) -> ModelTable:
    if settings.provider_base_url is None:
        return ModelTable({}, dict.fromkeys(PURPOSES, ()), prices)
    key = settings.provider_api_key
    spec = ProviderSpec(
        name="default",
        base_url=settings.provider_base_url,
        api_key=key.get_secret_value() if key is not None else None,
        api_key_file=settings.provider_api_key_file,
        api_key_command=settings.provider_api_key_command,
        **_limits(settings),
    )
    models: dict[Purpose, str] = {"embedding": settings.embedding_model}
    if settings.profile_model != "counter":
        models["profile"] = settings.profile_model
        models["summary"] = settings.summary_model or settings.profile_model
    choices = {
        purpose: (_choice(purpose, {"provider": "default", "model": model}, prices),)
        for purpose, model in models.items()
    }
    return ModelTable({"default": spec}, {p: choices.get(p, ()) for p in PURPOSES}, prices)


def _of_file(
    path: Path,
    settings: Settings,
    prices: Mapping[str, Price | None],
    environment: Mapping[str, str],
) -> ModelTable:
    try:
        loaded = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsError(f"RECSVC_MODELS_FILE={str(path)!r}: {exc}") from exc
    try:
        _only(loaded, {"providers", "models"}, "the file")
        providers = {
            name: _provider(name, entry, settings, environment)
            for name, entry in _table(loaded, "providers").items()
        }
        models = _table(loaded, "models")
        _only(models, set(PURPOSES), "[models]")
        choices = {p: _choices(p, models.get(p, []), providers, prices) for p in PURPOSES}
    except ValueError as exc:
        raise SettingsError(f"RECSVC_MODELS_FILE={str(path)!r}: {exc}") from exc
    if choices["profile"] and not choices["summary"]:
        choices["summary"] = choices["profile"]
    return ModelTable(providers, choices, prices)


def _provider(
    name: str, entry: Any, settings: Settings, environment: Mapping[str, str]
) -> ProviderSpec:
    where = f"[providers.{name}]"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: {entry!r} is no table")
    _only(entry, _PROVIDER_FIELDS, where)
    base_url = entry.get("base_url")
    if not isinstance(base_url, str) or not base_url.startswith(("http://", "https://")):
        raise ValueError(f"{where} base_url={base_url!r}; accepted: http(s)://host/v1")
    variable = entry.get("api_key_env")
    if variable is not None and not environment.get(str(variable), "").strip():
        raise ValueError(f"{where} api_key_env: the variable {variable!r} is not set")
    key_file, command = entry.get("api_key_file"), entry.get("api_key_command")
    limits = _limits(settings)
    for field_name, least in _LEAST.items():
        if field_name in entry:
            limits[field_name] = _number(entry[field_name], least, f"{where} {field_name}")
    return ProviderSpec(
        name=name,
        base_url=base_url,
        api_key=environment[str(variable)].strip() if variable is not None else None,
        api_key_file=Path(str(key_file)) if key_file is not None else None,
        api_key_command=str(command) if command is not None else None,
        **limits,
    )


def _limits(settings: Settings) -> dict[str, Any]:
    return {
        "timeout_s": settings.provider_timeout_s,
        "deadline_s": settings.provider_deadline_s,
        "max_retries": settings.provider_max_retries,
        "concurrency": settings.provider_concurrency,
        "requests_per_minute": settings.provider_requests_per_minute,
        "tokens_per_minute": settings.provider_tokens_per_minute,
    }


def _choices(
    purpose: Purpose,
    entries: Any,
    providers: Mapping[str, ProviderSpec],
    prices: Mapping[str, Price | None],
) -> tuple[Choice, ...]:
    if not isinstance(entries, list):
        raise ValueError(f"models.{purpose} is no list; write [[models.{purpose}]]")
    choices = []
    for entry in entries:
        _only(entry, _CHOICE_FIELDS, f"[[models.{purpose}]]")
        if entry.get("provider") not in providers:
            known = ", ".join(providers) or "none"
            raise ValueError(
                f"[[models.{purpose}]] provider={entry.get('provider')!r}; accepted: {known}"
            )
        if not isinstance(entry.get("model"), str) or not entry["model"]:
            raise ValueError(f"[[models.{purpose}]] model={entry.get('model')!r}; a name is needed")
        choices.append(_choice(purpose, entry, prices))
    spaces = sorted({choice.vectors for choice in choices})
    if purpose == "embedding" and len(spaces) > 1:
        raise ValueError(
            f"[[models.embedding]]: {', '.join(spaces)} make different vectors, which cannot be "
            "compared; one model is accepted, at several providers (name them alike with vectors=)"
        )
    return tuple(choices)


def _choice(
    purpose: Purpose, entry: Mapping[str, Any], prices: Mapping[str, Price | None]
) -> Choice:
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
    context = _number(
        entry.get("context_tokens", _CONTEXT_TOKENS), _CONTEXT_LEAST, f"{where} context_tokens"
    )
    return Choice(
        provider=str(entry["provider"]),
        model=model,
        price=price,
        context_tokens=context,
        vectors=str(entry.get("vectors", model)),
    )


def _check_budgets(settings: Settings, table: ModelTable) -> None:
    if settings.budget_day_usd is None and settings.budget_user_day_usd is None:
        return
    counted: tuple[Purpose, ...] = ("profile", "summary")
    if settings.budget_stops_embeddings:
        counted = PURPOSES
    for purpose in counted:
        for choice in table.choices[purpose]:
            if choice.price is None:
                raise SettingsError(
                    f"model {choice.model!r} ({purpose}) has the price unknown, and a budget "
                    "could never stop it; give its price, or no RECSVC_BUDGET_*"
                )


def _priced(value: Any, where: str) -> Price | None:
    try:
        return read_price(value, where)
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def _table(loaded: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = loaded.get(name, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} is no table")
    return found


def _only(entry: Mapping[str, Any], accepted: set[str], where: str) -> None:
    for name in entry:
        if name not in accepted:
            raise ValueError(
                f"{where}: {name!r} is unknown; accepted: {', '.join(sorted(accepted))}"
            )


def _number(value: Any, least: float, where: str) -> Any:
    kinds = int if isinstance(least, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not value >= least:
        kind = "a whole number" if isinstance(least, int) else "a number"
        raise ValueError(f"{where}={value!r}; accepted: {kind} from {least:g} up")
    return value
