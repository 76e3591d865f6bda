"""Texts to vectors: from memory, from the store, or from the embedder and then kept."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.batching import Batcher
from indexer.domain.vectors import Vector
from indexer.errors import ProviderError
from indexer.ports import Embedder
from indexer.provider.tokens import estimate
from indexer.stores.terms import TextVectors

__all__ = ["Embeddings"]

_LINGER_S = 0.002


class Embeddings:
    """What everyone embeds through. A text that costs is paid for once, restarts included."""

    def __init__(
        self,
        embedder: Embedder,
        kept: TextVectors,
        *,
        batch_max: int,
        batch_tokens: int,
        parallel: int,
    ) -> None:
        self._embedder, self._kept = embedder, kept
        self._batcher = Batcher(
            self._pay,
            estimate,
            count_max=batch_max,
            size_max=batch_tokens,
            parallel=parallel,
            linger_s=_LINGER_S,
        )

    async def known(self, texts: Sequence[str]) -> dict[str, Vector]:
        """Return the unit vectors of those of ``texts`` that were embedded before."""
        return await self._kept.known(texts)

    async def each(
        self, texts: Sequence[str], *, keep: bool = True
    ) -> dict[str, Vector | ProviderError]:
        """Return for each text its unit vector, or why there is none.

        Without ``keep``, vectors that cost nothing are not stored.
        """
        found: dict[str, Vector | ProviderError] = dict(await self._kept.known(texts))
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if self._embedder.paid:
            return {**found, **await self._batcher.ask(missing)}
        return {**found, **await self._make(missing, keep=keep)}

    async def vectors(self, texts: Sequence[str], *, keep: bool = True) -> dict[str, Vector]:
        """Return the unit vector of each text.

        Raises:
            ProviderError: a text is new and cannot be embedded.
        """
        vectors: dict[str, Vector] = {}
        for text, found in (await self.each(texts, keep=keep)).items():
            if isinstance(found, ProviderError):
                raise found
            vectors[text] = found
        return vectors

    async def close(self) -> None:
        """Stop what is under way."""
        await self._batcher.close()

    async def _pay(self, texts: list[str]) -> dict[str, Vector | ProviderError]:
        # Another batch may have kept one after it was looked up; from here on it would be joined.
        found: dict[str, Vector | ProviderError] = dict(await self._kept.known(texts))
        missing = [text for text in texts if text not in found]
        return {**found, **await self._make(missing)} if missing else found

    async def _make(
        self, texts: list[str], *, keep: bool = True
    ) -> dict[str, Vector | ProviderError]:
        results = dict(zip(texts, await self._embedder.embed(texts), strict=True))
        if keep:
            vectors = {t: v for t, v in results.items() if not isinstance(v, ProviderError)}
            await self._kept.keep(vectors)
        return results
