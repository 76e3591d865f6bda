"""Embeddings, from a provider or offline."""

from __future__ import annotations

from indexer.ports import Embedder
from indexer.settings import Settings
from indexer.telemetry import Telemetry

__all__ = ["open_embedder"]


def open_embedder(settings: Settings, telemetry: Telemetry) -> Embedder:
    """Make the embedder that the settings choose.

    Raises:
        SettingsError: it is not installed.
    """
    if settings.provider_base_url is None:
        from indexer.provider.offline import OfflineEmbedder, wordllama_installed

        choice = settings.offline_embedder
        meaning = choice == "wordllama" or (choice == "auto" and wordllama_installed())
        return OfflineEmbedder(settings.embedding_dim, meaning=meaning, telemetry=telemetry)
    from indexer.provider.openai import OpenAIEmbedder

    key = settings.provider_api_key
    return OpenAIEmbedder.connect(
        settings.provider_base_url,
        key.get_secret_value() if key is not None else None,
        telemetry,
        timeout_s=settings.provider_timeout_s,
        model=settings.embedding_model,
        dim=settings.embedding_dim,
        batch_max=settings.provider_batch_max,
        max_retries=settings.provider_max_retries,
        concurrency=settings.provider_concurrency,
    )
