"""The TOML table of providers and models: `RECSVC_MODELS_FILE`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from indexer.errors import SettingsError
from indexer.provider.prices import Price
from indexer.provider.specs import (
    PURPOSES,
    Choice,
    ModelTable,
    ProviderSpec,
    Purpose,
    choice_of,
    limits_of,
    number,
)
from indexer.settings import Settings

__all__ = ["read_models_file"]

_PROVIDER_FIELDS = {
    "base_url", "api_key_env", "api_key_file", "api_key_command", "timeout_s", "deadline_s",
    "chat_timeout_s", "chat_deadline_s", "max_retries", "concurrency", "requests_per_minute",
    "tokens_per_minute",
}  # fmt: skip
_LEAST: Final[Mapping[str, int | float]] = {
    "timeout_s": 0.01,
    "deadline_s": 0.01,
    "chat_timeout_s": 0.01,
    "chat_deadline_s": 0.01,
    "max_retries": 0,
    "concurrency": 1,
    "requests_per_minute": 1.0,
    "tokens_per_minute": 1.0,
}
"""The least that is accepted; where it is a whole number, only such are."""
_CHOICE_FIELDS = {"provider", "model", "price", "context_tokens", "vectors"}


def read_models_file(
    path: Path,
    settings: Settings,
    prices: Mapping[str, Price | None],
    environment: Mapping[str, str],
) -> ModelTable:
    """Read the table.

    Raises:
        SettingsError: naming the entry, the value and what is accepted.
    """
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
    _only(entry, _PROVIDER_FIELDS, where)
    base_url = entry.get("base_url")
    if not isinstance(base_url, str) or not base_url.startswith(("http://", "https://")):
        raise ValueError(f"{where} base_url={base_url!r}; accepted: http(s)://host/v1")
    variable = entry.get("api_key_env")
    if variable is not None and not environment.get(str(variable), "").strip():
        raise ValueError(f"{where} api_key_env: the variable {variable!r} is not set")
    key_file, command = entry.get("api_key_file"), entry.get("api_key_command")
    given = {
        field_name: number(entry[field_name], least, f"{where} {field_name}")
        for field_name, least in _LEAST.items()
        if field_name in entry
    }
    return ProviderSpec(
        name=name,
        base_url=base_url,
        api_key=environment[str(variable)].strip() if variable is not None else None,
        api_key_file=Path(str(key_file)) if key_file is not None else None,
        api_key_command=str(command) if command is not None else None,
        **limits_of(settings, given),
    )


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
        if entry.get("provider") not in list(providers):  # what is no text has no hash, perhaps
            known = ", ".join(providers) or "none"
            raise ValueError(
                f"[[models.{purpose}]] provider={entry.get('provider')!r}; accepted: {known}"
            )
        if not isinstance(entry.get("model"), str) or not entry["model"]:
            raise ValueError(f"[[models.{purpose}]] model={entry.get('model')!r}; a name is needed")
        choices.append(choice_of(purpose, entry, prices))
    spaces = sorted({choice.vectors for choice in choices})
    if purpose == "embedding" and len(spaces) > 1:
        raise ValueError(
            f"[[models.embedding]]: {', '.join(spaces)} make different vectors, which cannot be "
            "compared; one model is accepted, at several providers (name them alike with vectors=)"
        )
    return tuple(choices)


def _table(loaded: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = loaded.get(name, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} is no table")
    return found


def _only(entry: Any, accepted: set[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: {entry!r} is no table")
    for name in entry:
        if name not in accepted:
            raise ValueError(
                f"{where}: {name!r} is unknown; accepted: {', '.join(sorted(accepted))}"
            )
