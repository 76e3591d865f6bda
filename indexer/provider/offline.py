"""Embeddings without a provider, a key or a download.

Two halves: the meaning of words (wordllama's static vectors, 256 dimensions), and their spelling
(words and character trigrams hashed into the remaining dimensions). Each is of unit length and
weighs the same; where wordllama is not installed the spelling stands alone. A fixed orthogonal
rotation then spreads both over all dimensions. It changes no cosine, but lets one bit a dimension
tell vectors apart: unrotated, most bits of such sparse vectors are the same for all (recall at 10
with the embedded store's search: 0.84 before, 0.99 after; see docs/architecture.md).
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.domain.vectors import Vector, unit
from indexer.errors import ProviderError, SettingsError
from indexer.telemetry import Telemetry

__all__ = ["OfflineEmbedder", "wordllama_installed"]

_WORD = re.compile(r"\w+")
_WORD_SEED, _GRAM_SEED, _TEXT_SEED = 1, 2, 3
_GRAM_WEIGHT = 0.5
_MEANING_DIM = 256
_CHUNK = 8
_ROUNDS = 3
_ROTATION_SEED = 20_240_607


def wordllama_installed() -> bool:
    """Whether the extra `local` is there."""
    return importlib.util.find_spec("wordllama") is not None


class OfflineEmbedder:
    """An `Embedder` on this machine's processor, some thousand texts a second."""

    paid = False

    def __init__(self, dim: int, *, meaning: bool, telemetry: Telemetry) -> None:
        self._dim, self._telemetry = dim, telemetry
        self._model = _load_wordllama() if meaning and dim >= 2 * _MEANING_DIM else None
        self._spelling_dim = dim - (_MEANING_DIM if self._model is not None else 0)
        self._rotation = _Rotation(dim)
        kind = "wordllama-hashed" if self._model is not None else "hashed"
        self.name = f"offline-{kind}-1/{dim}"

    async def embed(self, texts: Sequence[str]) -> list[Vector | ProviderError]:
        """See `Embedder.embed`. Works in short bursts, so that others get their turn."""
        vectors: list[Vector | ProviderError] = []
        for start in range(0, len(texts), _CHUNK):
            if start:
                await asyncio.sleep(0)
            vectors += self._burst(texts[start : start + _CHUNK])
        self._telemetry.count("embedded_texts", self.name, n=len(texts))
        return vectors

    async def ping(self) -> None:
        """Nothing can be away."""

    async def close(self) -> None:
        """Nothing to close."""

    def _burst(self, texts: Sequence[str]) -> list[Vector]:
        spelled = np.stack([_spelling(text, self._spelling_dim) for text in texts])
        if self._model is not None:
            meant = _unit_rows(self._model.embed(list(texts), norm=False))
            spelled = np.concatenate([meant, spelled], axis=1)
        rotated = self._rotation.apply(spelled)
        return [unit(row, self._dim, "offline embedding") for row in rotated]


class _Rotation:
    """A fixed orthogonal map of d dimensions, as a few small matrices instead of one of d x d."""

    def __init__(self, dim: int) -> None:
        rows = max(n for n in range(1, int(dim**0.5) + 1) if dim % n == 0)
        self._shape = (rows, dim // rows)
        rng = np.random.default_rng(_ROTATION_SEED)
        self._rounds = [
            (rng.permutation(dim), _orthogonal(rows, rng), _orthogonal(dim // rows, rng))
            for _ in range(_ROUNDS)
        ]

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rotate ``(n, d) float32``."""
        n, dim = vectors.shape
        for order, left, right in self._rounds:
            grid = vectors[:, order].reshape(n, *self._shape)
            vectors = np.asarray((left @ grid @ right).reshape(n, dim), dtype=np.float32)
        return vectors


def _orthogonal(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diag(r)), dtype=np.float32)


def _spelling(text: str, dim: int) -> NDArray[np.float32]:
    """Hash words, their trigrams and the whole text, with signs, into ``(dim,) float32``."""
    vector = np.zeros(dim, dtype=np.float32)
    lowered = text.casefold()
    _add(vector, lowered, _TEXT_SEED, 0.01)  # so that no text is without direction
    for word in _WORD.findall(lowered):
        _add(vector, word, _WORD_SEED, 1.0)
        marked = f"<{word}>"
        for start in range(len(marked) - 2):
            _add(vector, marked[start : start + 3], _GRAM_SEED, _GRAM_WEIGHT)
    return vector / np.float32(np.linalg.norm(vector))


def _add(vector: NDArray[np.float32], token: str, seed: int, weight: float) -> None:
    digest = zlib.crc32(token.encode(), seed)
    vector[digest % len(vector)] += weight if digest & 0x80000000 else -weight


def _unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), dtype=np.float32)


def _load_wordllama() -> Any:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        import wordllama
    except ImportError as exc:
        raise SettingsError(
            "RECSVC_OFFLINE_EMBEDDER='wordllama': it is not installed; "
            "pip install 'recsvc[local]', or choose hashed"
        ) from exc
    finally:  # its import sets up the root logger, which is not its to set up
        root.handlers[:], root.level = handlers, level
    # The weights are in the package; its own loader would look for them in the home directory.
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
