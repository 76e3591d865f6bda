"""Embeddings of any OpenAI-compatible endpoint, with failover among those that have the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from indexer.domain.vectors import Vector
from indexer.errors import InputRefused, ProviderError, ProviderUnavailable, SchemaMismatch
from indexer.provider.budget import Budget
from indexer.provider.choices import Choice
from indexer.provider.dialect import is_about, without
from indexer.provider.endpoint import Endpoint, Job
from indexer.provider.tokens import estimate
from indexer.provider.vectors import TEXT_FAULTS, read_vectors
from indexer.telemetry import Telemetry

__all__ = ["ProviderEmbedder"]

_PATH: Final = "embeddings"
_PURPOSE: Final = "embedding"
_CUTS: Final = 3
_ALONE_MAX: Final = 8
_OPTIONAL: Final = ("dimensions", "encoding_format")
_MIS_SET: Final = {"wrong_dimension", "wrong_model"}


class ProviderEmbedder:
    """An `Embedder` over a list of choices of one model; the first that answers is taken."""

    paid = True

    def __init__(
        self,
        choices: Sequence[Choice],
        endpoints: Mapping[str, Endpoint],
        budget: Budget,
        telemetry: Telemetry,
        *,
        dim: int,
    ) -> None:
        self.name = f"{choices[0].vectors}/{dim}"
        self._choices, self._endpoints = choices, endpoints
        self._budget, self._telemetry, self._dim = budget, telemetry, dim
        self._refused_fields: dict[Choice, set[str]] = {choice: set() for choice in choices}

    async def embed(self, texts: Sequence[str]) -> list[Vector | ProviderError]:
        """See `Embedder.embed`. What is refused among many is halved until it stands alone."""
        if not texts:
            return []
        try:
            rows = await self._request(list(texts))
        except ProviderError as exc:
            if len(texts) == 1:
                return [await self._shortened(texts[0], exc)]
            if not self._may_be_one(exc):
                return [exc] * len(texts)
            middle = len(texts) // 2
            return [*await self.embed(texts[:middle]), *await self.embed(texts[middle:])]
        self._telemetry.count("embedded_texts", self.name, n=len(texts))
        return await self._mended(texts, rows)

    async def ping(self) -> None:
        """Embed one word.

        Raises:
            SchemaMismatch: the endpoint answers, but not with vectors as the settings want them.
            ProviderError: it does not answer.
        """
        try:
            await self._request(["ping"])
        except ProviderError as exc:
            if exc.fault not in _MIS_SET:
                raise
            raise SchemaMismatch(
                f"the provider's {self._choices[0].model!r} does not give what the settings want: "
                f"{exc}; set RECSVC_EMBEDDING_MODEL and RECSVC_EMBEDDING_DIM to what it has"
            ) from exc

    async def close(self) -> None:
        """Nothing of its own to close."""

    def _may_be_one(self, exc: ProviderError) -> bool:
        """Whether one text of many may be what a failure is about."""
        if exc.fault.startswith("status_5"):  # some answer a text they cannot digest so
            choices = self._choices
            return any(self._endpoints[c.provider].breaker(_PATH).passable for c in choices)
        return isinstance(exc, InputRefused)

    async def _mended(
        self, texts: Sequence[str], rows: Sequence[Vector | InputRefused]
    ) -> list[Vector | ProviderError]:
        """Ask again, alone, for the few texts whose rows were no vectors."""
        bad = [place for place, row in enumerate(rows) if isinstance(row, InputRefused)]
        results: list[Vector | ProviderError] = list(rows)
        for place in bad:
            self._telemetry.count("provider_bad_rows", str(getattr(rows[place], "fault", "")))
            if len(bad) <= _ALONE_MAX:
                results[place] = (await self.embed([texts[place]]))[0]
        return results

    async def _shortened(self, text: str, failed: ProviderError) -> Vector | ProviderError:
        """Embed the beginning of a text that is too long for the model as a whole."""
        if failed.fault in TEXT_FAULTS:
            return InputRefused(str(failed), fault=failed.fault)
        for _ in range(_CUTS):
            if not isinstance(failed, InputRefused) or not failed.too_long or len(text) < 2:
                break
            text = text[: len(text) // 2]
            try:
                return (await self._request([text]))[0]
            except ProviderError as exc:
                failed = exc
        return failed

    async def _request(self, texts: list[str]) -> list[Vector | InputRefused]:
        failed: ProviderUnavailable | None = None
        for choice in self._choices:
            try:
                with self._telemetry.timed("embed"):
                    return await self._ask(choice, texts)
            except ProviderUnavailable as exc:
                failed = failed or exc
        assert failed is not None
        raise failed

    async def _ask(self, choice: Choice, texts: list[str]) -> list[Vector | InputRefused]:
        """Ask once; where the endpoint does not know a field that others need, without it."""
        tokens = sum(map(estimate, texts))
        job = Job(_PURPOSE, choice.model, choice.price, tokens)
        cost = choice.price.of(tokens, 0) if choice.price is not None else 0.0
        with self._budget.reserving(_PURPOSE, cost, "", ""):
            while True:
                body = self._body(choice, texts)
                try:
                    return await self._endpoints[choice.provider].post(
                        _PATH,
                        body,
                        lambda reply: read_vectors(reply, len(texts), self._dim, choice.model),
                        job,
                    )
                except InputRefused as exc:
                    unknown = {f for f in _OPTIONAL if f in body and is_about(f, str(exc))}
                    if not unknown:
                        raise
                    self._refused_fields[choice] |= unknown
                except ProviderUnavailable as exc:
                    if exc.fault == "wrong_dimension":  # the field may be needed after all
                        self._refused_fields[choice].discard("dimensions")
                    raise

    def _body(self, choice: Choice, texts: list[str]) -> dict[str, object]:
        body: dict[str, object] = {
            "model": choice.model,
            "input": texts,
            "dimensions": self._dim,
            "encoding_format": "base64",
        }
        return without(body, self._refused_fields[choice])
