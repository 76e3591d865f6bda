"""Embeddings of any OpenAI-compatible endpoint, over one pooled httpx client."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import orjson
import stamina

from indexer.domain.vectors import Vector, unit
from indexer.errors import (
    EmbeddingError,
    EmbeddingUnavailable,
    InvalidVector,
    SchemaMismatch,
)
from indexer.telemetry import Telemetry

__all__ = ["OpenAIEmbedder"]

_RETRYABLE = {408, 409, 425, 429}
_PURPOSE = "embedding"


class OpenAIEmbedder:
    """An `Embedder` that posts to ``{base_url}/embeddings``.

    A call is split into requests of at most ``batch_max`` texts, ``concurrency`` of them under
    way at once; each is tried again with growing, jittered pauses within ``timeout_s`` a try.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        telemetry: Telemetry,
        *,
        model: str,
        dim: int,
        batch_max: int,
        max_retries: int,
        concurrency: int,
        timeout_s: float,
    ) -> None:
        self.name = f"{model}/{dim}"
        self._client, self._telemetry = client, telemetry
        self._model, self._dim = model, dim
        self._batch_max, self._attempts = batch_max, max_retries + 1
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(concurrency)

    @classmethod
    def connect(
        cls,
        base_url: str,
        api_key: str | None,
        telemetry: Telemetry,
        *,
        timeout_s: float,
        **options: Any,
    ) -> OpenAIEmbedder:
        """Make the embedder with a client of its own; nothing is sent yet."""
        client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=options["concurrency"]),
            trust_env=False,
        )
        return cls(client, telemetry, timeout_s=timeout_s, **options)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder.embed`."""
        batches = [
            list(texts[start : start + self._batch_max])
            for start in range(0, len(texts), self._batch_max)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._batch(batch)) for batch in batches]
        except ExceptionGroup as failed:  # the first failure has cancelled the other batches
            first = failed.exceptions[0]
            raise first from first.__cause__
        return [vector for task in tasks for vector in task.result()]

    async def ping(self) -> None:
        """Embed one word.

        Raises:
            SchemaMismatch: the endpoint answers, but not with vectors as the settings want them.
            EmbeddingError: it does not answer.
        """
        reply = await self._post(["ping"])
        try:
            _vectors(reply, 1, self._dim)
        except EmbeddingError as exc:
            raise SchemaMismatch(
                f"the provider's {self._model!r} does not give what the settings want: {exc}; set "
                "RECSVC_EMBEDDING_MODEL and RECSVC_EMBEDDING_DIM to what it has"
            ) from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _batch(self, texts: list[str]) -> list[Vector]:
        async with self._slots:
            async for attempt in stamina.retry_context(
                on=EmbeddingUnavailable,
                attempts=self._attempts,
                timeout=None,
                wait_initial=0.25,
                wait_max=8.0,
                wait_jitter=0.5,
            ):
                with attempt:
                    return await self._once(texts)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, texts: list[str]) -> list[Vector]:
        try:
            reply = await self._post(texts)
            vectors = _vectors(reply, len(texts), self._dim)
        except EmbeddingError as exc:
            outcome = "unavailable" if exc.retryable else "rejected"
            self._telemetry.count("provider_calls", _PURPOSE, self._model, outcome)
            raise
        self._telemetry.count("provider_calls", _PURPOSE, self._model, "ok")
        self._telemetry.count("provider_tokens", _PURPOSE, self._model, n=_tokens(reply))
        self._telemetry.count("embedded_texts", self.name, n=len(texts))
        return vectors

    async def _post(self, texts: list[str]) -> Mapping[str, Any]:
        body = {
            "model": self._model,
            "input": texts,
            "dimensions": self._dim,
            "encoding_format": "base64",
        }
        try:
            with self._telemetry.timed("embed"):
                async with asyncio.timeout(self._timeout_s):
                    response = await self._client.post("embeddings", json=body)
        except (httpx.HTTPError, TimeoutError) as exc:
            # Not its text: a refused header is quoted in it, and a header holds the key.
            raise EmbeddingUnavailable(
                f"the provider does not answer: {type(exc).__name__}"
            ) from exc
        if not response.is_success:
            status = response.status_code
            kind = EmbeddingUnavailable if status in _RETRYABLE or status >= 500 else EmbeddingError
            raise kind(f"the provider answered {status}: {response.text[:200]}")
        try:
            reply = orjson.loads(response.content)
        except orjson.JSONDecodeError as exc:
            raise EmbeddingUnavailable(f"the provider's reply is not JSON: {exc}") from exc
        if not isinstance(reply, dict):
            raise EmbeddingError("the provider's reply is not a JSON object")
        return reply


def _vectors(reply: Mapping[str, Any], expected: int, dim: int) -> list[Vector]:
    """Return the rows of a reply in the order of the request, checked and of unit length."""
    rows: dict[int, Vector] = {}
    data = reply.get("data")
    for place, row in enumerate(data if isinstance(data, list) else []):
        index = row.get("index", place) if isinstance(row, dict) else None
        if not isinstance(index, int) or index in rows or not 0 <= index < expected:
            raise EmbeddingError(f"the provider's row {place} has index {index!r} of {expected}")
        try:
            rows[index] = unit(_numbers(row.get("embedding")), dim, f"the provider's row {index}")
        except (InvalidVector, ValueError, TypeError) as exc:
            raise EmbeddingError(str(exc)) from exc
    if len(rows) != expected:
        raise EmbeddingError(f"the provider sent {len(rows)} rows for {expected} texts")
    return [rows[index] for index in range(expected)]


def _numbers(embedding: object) -> Sequence[float] | np.ndarray[Any, np.dtype[np.float32]]:
    if isinstance(embedding, list):
        return embedding
    if not isinstance(embedding, str):
        raise ValueError(f"the provider sent {type(embedding).__name__} as an embedding")
    try:
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    except (binascii.Error, ValueError) as exc:
        raise ValueError(f"the provider's base64 embedding is broken: {exc}") from exc


def _tokens(reply: Mapping[str, Any]) -> int:
    usage = reply.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else 0
