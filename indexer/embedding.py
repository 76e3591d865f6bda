"""Embedding many texts of which some may be refused."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.domain.vectors import Vector
from indexer.errors import EmbeddingError
from indexer.ports import Embedder

__all__ = ["embed_each"]


async def embed_each(embedder: Embedder, texts: Sequence[str]) -> list[Vector | EmbeddingError]:
    """Embed ``texts``, each for itself: a vector, or why there is none.

    Where a call with many is refused for good it is halved until the culprits stand alone, so
    that one bad text holds up no other.

    Raises:
        EmbeddingUnavailable: the provider is away; none of the texts is to blame.
    """
    if not texts:
        return []
    try:
        return list(await embedder.embed(texts))
    except EmbeddingError as exc:
        if exc.retryable:
            raise
        if len(texts) == 1:
            return [exc]
    middle = len(texts) // 2
    return [
        *await embed_each(embedder, texts[:middle]),
        *await embed_each(embedder, texts[middle:]),
    ]
