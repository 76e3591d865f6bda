"""Models: embeddings and chat, from providers or offline, and what they cost."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from indexer.ports import Embedder
from indexer.provider.budget import Budget
from indexer.provider.chat import ChatModel
from indexer.provider.choices import ModelTable, ProviderSpec, model_table
from indexer.provider.credentials import Source, command_source, file_source, fixed_source
from indexer.provider.endpoint import Endpoint, http_client
from indexer.provider.ledger import Ledger
from indexer.settings import Settings
from indexer.telemetry import Telemetry

__all__ = ["Models", "check_models", "open_models", "open_offline_embedder"]


@dataclass(frozen=True, slots=True)
class Models:
    """The models of one process. ``profile`` and ``summary`` None: no LLM is set up."""

    embedder: Embedder
    profile: ChatModel | None
    summary: ChatModel | None
    table: ModelTable
    endpoints: dict[str, Endpoint]
    budget: Budget
    ledger: Ledger


def check_models(settings: Settings) -> None:
    """Refuse wrong settings before anything is opened.

    Raises:
        SettingsError: a provider, model, price or key is wrong or missing.
    """
    for spec in model_table(settings, os.environ).providers.values():
        _source(spec)


@asynccontextmanager
async def open_models(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Models]:
    """Open what the settings choose; nothing is sent yet.

    Raises:
        SettingsError: a provider, model, price or key is wrong or missing.
        LogError: the ledger cannot be used.
    """
    table = model_table(settings, os.environ)
    sources = {name: _source(spec) for name, spec in table.providers.items()}
    ledger = await Ledger.open(settings.data_dir, telemetry)
    try:
        async with http_client(table.providers) as client:
            endpoints = {
                name: Endpoint(spec, client, sources[name], ledger, telemetry)
                for name, spec in table.providers.items()
            }
            budget = Budget(
                ledger,
                telemetry,
                day_usd=settings.budget_day_usd,
                user_day_usd=settings.budget_user_day_usd,
                embeddings=settings.budget_stops_embeddings,
            )
            chats = {
                purpose: ChatModel(purpose, table.choices[purpose], endpoints, budget)
                for purpose in ("profile", "summary")
                if table.choices[purpose]
            }
            yield Models(
                embedder=_embedder(settings, table, endpoints, budget, telemetry),
                profile=chats.get("profile"),
                summary=chats.get("summary"),
                table=table,
                endpoints=endpoints,
                budget=budget,
                ledger=ledger,
            )
    finally:
        await ledger.close()


def open_offline_embedder(settings: Settings, telemetry: Telemetry) -> Embedder:
    """Make the embedder that needs no provider.

    Raises:
        SettingsError: it is not installed.
    """
    from indexer.provider.offline import OfflineEmbedder, wordllama_installed

    wanted = settings.offline_embedder
    meaning = wanted == "wordllama" or (wanted == "auto" and wordllama_installed())
    return OfflineEmbedder(settings.embedding_dim, meaning=meaning, telemetry=telemetry)


def _embedder(
    settings: Settings,
    table: ModelTable,
    endpoints: dict[str, Endpoint],
    budget: Budget,
    telemetry: Telemetry,
) -> Embedder:
    choices = table.choices["embedding"]
    if not choices:
        return open_offline_embedder(settings, telemetry)
    from indexer.provider.embeddings import ProviderEmbedder

    return ProviderEmbedder(choices, endpoints, budget, telemetry, dim=settings.embedding_dim)


def _source(spec: ProviderSpec) -> Source | None:
    if spec.api_key_file is not None:
        return file_source(spec.api_key_file)
    if spec.api_key_command is not None:
        return command_source(spec.api_key_command)
    return fixed_source(spec.api_key) if spec.api_key is not None else None
