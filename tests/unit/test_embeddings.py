"""Texts to vectors, each paid for once. Time is virtual; what is kept is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from virtual_time import VIRTUAL

from indexer.domain.vectors import Vector
from indexer.embedding import Embeddings
from indexer.errors import InputRefused, ProviderError, ProviderUnavailable
from indexer.ports import VectorStore
from indexer.settings import load_settings
from indexer.stores import open_store
from indexer.stores.schema import LogIdentity, prepare
from indexer.stores.terms import TextVectors

pytestmark = pytest.mark.anyio

DIM = 8


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL


class FakeEmbedder:
    """Makes a vector of a text's letters after a second; some texts fail as the test says."""

    def __init__(self, *, paid: bool = True, name: str = "fake/8") -> None:
        self.name, self.paid = name, paid
        self.batches: list[list[str]] = []
        self.failing: dict[str, ProviderError] = {}

    @property
    def texts(self) -> list[str]:
        return [text for batch in self.batches for text in batch]

    async def embed(self, texts: Sequence[str]) -> list[Vector | ProviderError]:
        if texts:
            self.batches.append(list(texts))
        await asyncio.sleep(1)
        return [self.failing.get(text, vector_of(text)) for text in texts]

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


class SlowTerms(TextVectors):
    """Vectors in a store that answers late with what was there when it was asked."""

    async def known(self, texts: Iterable[str]) -> dict[str, Vector]:
        found = await super().known(texts)
        await asyncio.sleep(0.9)
        return found


def vector_of(text: str) -> Vector:
    seed = int.from_bytes(text.encode()[:8].ljust(8, b"."), "little")
    row = np.random.default_rng(seed).standard_normal(DIM)
    return (row / np.linalg.norm(row)).astype(np.float32)


def is_right(found: Mapping[str, object], *texts: str) -> bool:
    vectors = {text: one for text, one in found.items() if isinstance(one, np.ndarray)}
    return sorted(found) == sorted(texts) and all(
        np.allclose(vectors[text], vector_of(text), atol=1e-6) for text in texts
    )


@pytest.fixture
async def store() -> AsyncIterator[VectorStore]:
    one = await open_store(load_settings(qdrant_url="memory"))
    await prepare(one, dim=DIM, embedder="fake/8", log=LogIdentity("sqlite", 1))
    yield one
    await one.close()


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@asynccontextmanager
async def opened(
    store: VectorStore,
    embedder: FakeEmbedder,
    *,
    terms: type[TextVectors] = TextVectors,
    batch_max: int = 100,
    batch_tokens: int = 10_000,
) -> AsyncIterator[Embeddings]:
    kept = terms(store, embedder.name)
    limits = {"batch_max": batch_max, "batch_tokens": batch_tokens, "parallel": 4}
    embeddings = Embeddings(embedder, kept, **limits)
    yield embeddings
    await embeddings.close()


async def test_each_text_has_its_vector(store: VectorStore, embedder: FakeEmbedder):
    async with opened(store, embedder) as embeddings:
        assert is_right(await embeddings.vectors(["tea", "cake", "tea"]), "tea", "cake")
        assert await embeddings.vectors([]) == {}
    assert sorted(embedder.texts) == ["cake", "tea"]


async def test_a_text_is_paid_for_once(store: VectorStore, embedder: FakeEmbedder):
    async with opened(store, embedder) as embeddings:
        await embeddings.vectors(["tea"])
        assert is_right(await embeddings.vectors(["tea", "cake"]), "tea", "cake")
        assert is_right(await embeddings.each(["cake"]), "cake")
    assert sorted(embedder.texts) == ["cake", "tea"]


async def test_a_text_is_not_paid_for_again_after_a_restart(
    store: VectorStore, embedder: FakeEmbedder
):
    async with opened(store, embedder) as embeddings:
        await embeddings.vectors(["tea", "cake"])
    async with opened(store, embedder) as embeddings:
        assert is_right(await embeddings.vectors(["cake", "tea"]), "cake", "tea")
    assert len(embedder.texts) == 2


async def test_a_text_that_many_ask_for_at_once_is_paid_for_once(
    store: VectorStore, embedder: FakeEmbedder
):
    async with opened(store, embedder) as embeddings:
        found = await asyncio.gather(*(embeddings.vectors(["tea", f"t{n}"]) for n in range(20)))
    assert all(is_right(one, "tea", f"t{n}") for n, one in enumerate(found))
    assert embedder.texts.count("tea") == 1
    assert len(embedder.batches) == 1


@pytest.mark.parametrize("late_s", [0.1 * n for n in range(25)])
async def test_a_text_that_is_asked_for_at_any_moment_of_another_call_is_paid_for_once(
    store: VectorStore, embedder: FakeEmbedder, late_s: float
):
    async with opened(store, embedder, terms=SlowTerms) as embeddings:

        async def later() -> dict[str, Vector]:
            await asyncio.sleep(late_s)
            return await embeddings.vectors(["tea"])

        for found in await asyncio.gather(embeddings.vectors(["tea"]), later()):
            assert is_right(found, "tea")
    assert embedder.texts == ["tea"]


async def test_another_embedder_shares_no_vectors(store: VectorStore, embedder: FakeEmbedder):
    other = FakeEmbedder(name="other/8")
    for one in (embedder, other):
        async with opened(store, one) as embeddings:
            await embeddings.vectors(["tea"])
    assert embedder.texts == other.texts == ["tea"]


async def test_only_what_was_embedded_is_known(store: VectorStore, embedder: FakeEmbedder):
    async with opened(store, embedder) as embeddings:
        await embeddings.vectors(["tea"])
        assert is_right(await embeddings.known(["tea", "cake"]), "tea")
    assert embedder.texts == ["tea"]


async def test_batches_are_limited_by_texts_and_by_tokens(
    store: VectorStore, embedder: FakeEmbedder
):
    async with opened(store, embedder, batch_max=3) as embeddings:
        await embeddings.vectors([f"t{n}" for n in range(7)])
    assert [len(batch) for batch in embedder.batches] == [3, 3, 1]
    async with opened(store, embedder, batch_tokens=100) as embeddings:
        await embeddings.vectors(["tea " * 60, "cup " * 60, "x"])
    assert [len(batch) for batch in embedder.batches[3:]] == [1, 2]


# Failures


async def test_a_text_that_fails_takes_no_other_along(store: VectorStore, embedder: FakeEmbedder):
    embedder.failing = {"bad": InputRefused("no"), "late": ProviderUnavailable("later")}
    async with opened(store, embedder) as embeddings:
        found = await embeddings.each(["tea", "bad", "late"])
        assert found["bad"] is embedder.failing["bad"]
        assert found["late"] is embedder.failing["late"]
        assert is_right({"tea": found["tea"]}, "tea")


async def test_a_text_that_failed_is_not_kept_and_tried_again(
    store: VectorStore, embedder: FakeEmbedder
):
    embedder.failing = {"late": ProviderUnavailable("later")}
    async with opened(store, embedder) as embeddings:
        with pytest.raises(ProviderUnavailable, match="later"):
            await embeddings.vectors(["tea", "late"])
        assert is_right(await embeddings.known(["tea", "late"]), "tea")
        embedder.failing = {}
        assert is_right(await embeddings.vectors(["tea", "late"]), "tea", "late")
    assert embedder.texts == ["tea", "late", "late"]


async def test_who_asks_for_other_texts_of_a_batch_sees_no_error(
    store: VectorStore, embedder: FakeEmbedder
):
    embedder.failing = {"bad": InputRefused("no")}
    async with opened(store, embedder) as embeddings:
        good, bad = await asyncio.gather(
            embeddings.vectors(["tea"]), embeddings.vectors(["bad"]), return_exceptions=True
        )
    assert len(embedder.batches) == 1
    assert is_right(good, "tea")  # type: ignore[arg-type]
    assert isinstance(bad, InputRefused)


async def test_what_was_paid_for_is_kept_though_who_asked_is_gone(
    store: VectorStore, embedder: FakeEmbedder
):
    async with opened(store, embedder) as embeddings:
        gone = asyncio.ensure_future(embeddings.vectors(["tea"]))
        await asyncio.sleep(0.5)
        gone.cancel()
        await asyncio.sleep(5)
        assert is_right(await embeddings.known(["tea"]), "tea")


# What costs nothing


async def test_vectors_that_cost_nothing_need_not_be_kept(store: VectorStore):
    embedder = FakeEmbedder(paid=False)
    async with opened(store, embedder) as embeddings:
        assert is_right(await embeddings.vectors(["tea"], keep=False), "tea")
        assert await embeddings.known(["tea"]) == {}
        assert is_right(await embeddings.vectors(["tea"]), "tea")
        assert is_right(await embeddings.known(["tea"]), "tea")
    assert embedder.texts == ["tea", "tea"]


async def test_vectors_that_cost_are_kept_whatever_is_asked(
    store: VectorStore, embedder: FakeEmbedder
):
    async with opened(store, embedder) as embeddings:
        await embeddings.vectors(["tea"], keep=False)
        assert is_right(await embeddings.known(["tea"]), "tea")


async def test_what_costs_nothing_is_not_held_up_for_company(store: VectorStore):
    embedder = FakeEmbedder(paid=False)
    async with opened(store, embedder) as embeddings:
        await asyncio.gather(embeddings.vectors(["tea"]), embeddings.vectors(["cake"]))
    assert sorted(embedder.batches) == [["cake"], ["tea"]]
