"""Which model of which provider serves which purpose, in which order, at what price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from indexer.errors import SettingsError
from indexer.provider.models_file import read_models_file
from indexer.provider.prices import LIST_PRICES, Price, read_price
from indexer.provider.specs import (
    PURPOSES,
    Choice,
    ModelTable,
    ProviderSpec,
    Purpose,
    choice_of,
    limits_of,
)
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


def model_table(settings: Settings, environment: Mapping[str, str]) -> ModelTable:
    """Read the table from ``RECSVC_MODELS_FILE``, or make it from the single settings.

    Raises:
        SettingsError: naming the entry, the value and what is accepted.
    """
    prices = price_list(settings)
    if settings.models_file is None:
        table = _of_settings(settings, prices)
    else:
        table = read_models_file(settings.models_file, settings, prices, environment)
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
        **limits_of(settings, {}),
    )
    models: dict[Purpose, str] = {"embedding": settings.embedding_model}
    if settings.profile_model != "counter":
        models["profile"] = settings.profile_model
        models["summary"] = settings.summary_model or settings.profile_model
    choices = {
        purpose: (choice_of(purpose, {"provider": "default", "model": model}, prices),)
        for purpose, model in models.items()
    }
    return ModelTable({"default": spec}, {p: choices.get(p, ()) for p in PURPOSES}, prices)


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
