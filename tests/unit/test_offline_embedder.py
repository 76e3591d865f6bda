"""Embeddings without a provider."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from indexer.domain.vectors import Vector
from indexer.provider import open_offline_embedder
from indexer.provider.offline import OfflineEmbedder, _Rotation
from indexer.settings import load_settings
from indexer.telemetry import Telemetry

pytestmark = pytest.mark.anyio

TITLES = ["The Hobbit", "The Hobbit, illustrated", "A field guide to garden birds"]

Make = Callable[..., OfflineEmbedder]


@pytest.fixture(scope="module")
def make() -> Make:
    """Return a function that makes an embedder, each kind once: some take long to load."""
    made: dict[tuple[int, bool], OfflineEmbedder] = {}

    def make_once(dim: int, *, meaning: bool = False) -> OfflineEmbedder:
        if (dim, meaning) not in made:
            made[dim, meaning] = OfflineEmbedder(dim, meaning=meaning, telemetry=Telemetry())
        return made[dim, meaning]

    return make_once


kinds = pytest.mark.parametrize(
    ("dim", "meaning"),
    [(8, False), (97, False), (1536, False), (1536, True)],
    ids=["small", "prime", "hashed", "wordllama"],
)


@kinds
async def test_every_text_has_a_unit_vector_of_the_right_dimension(
    make: Make, dim: int, meaning: bool
):
    texts = ["", " ", "!?", "a", "é", "日本語", "🫖", "\n\x00", "x" * 10_000, "tea " * 1_000]
    vectors = await make(dim, meaning=meaning).embed(texts)
    assert len(vectors) == len(texts)
    for vector in vectors:
        assert vector.shape == (dim,)
        assert vector.dtype == np.float32
        assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)


@kinds
async def test_the_same_text_has_the_same_vector_in_any_company(
    make: Make, dim: int, meaning: bool
):
    embedder = make(dim, meaning=meaning)
    together = await embedder.embed([*TITLES, *map(str, range(20))])
    other = OfflineEmbedder(dim, meaning=meaning, telemetry=Telemetry())
    for title, vector in zip(TITLES, together, strict=False):
        (alone,) = await other.embed([title])
        assert alone == pytest.approx(vector, abs=1e-5)


@pytest.mark.parametrize(("dim", "meaning"), [(97, False), (1536, False), (1536, True)])
async def test_similar_titles_are_nearer_than_unrelated_ones(make: Make, dim: int, meaning: bool):
    one, similar, unrelated = await make(dim, meaning=meaning).embed(TITLES)
    assert float(one @ similar) > float(one @ unrelated) + 0.1


async def test_words_of_one_meaning_are_near_where_meaning_is_known(make: Make):
    async def nearness(embedder: OfflineEmbedder) -> float:
        film, movie, spanner = await embedder.embed(["film", "movie", "spanner"])
        return float(film @ movie) - float(film @ spanner)

    assert await nearness(make(1536, meaning=True)) > 0.1
    assert await nearness(make(1536)) < 0.1


async def test_case_does_not_matter_to_the_spelling(make: Make):
    upper, lower = await make(1536).embed(["THE HOBBIT", "the hobbit"])
    assert np.array_equal(upper, lower)


async def test_no_texts_are_no_vectors(make: Make):
    assert await make(8).embed([]) == []


def test_the_name_tells_which_vectors_can_be_compared(make: Make):
    names = {make(1536).name, make(1536, meaning=True).name, make(97).name, make(8).name}
    assert len(names) == 4
    assert make(97).name == "offline-hashed-1/97"


def test_few_dimensions_leave_no_room_for_meaning(make: Make):
    assert make(97, meaning=True).name == make(97).name


async def test_the_vectors_of_a_name_never_change(make: Make):
    (vector,) = await make(8).embed(["The Hobbit"])
    expected = [0.5113, -0.13241, 0.00387, 0.32072, 0.48633, -0.36787, -0.2274, 0.44114]
    assert vector == pytest.approx(expected, abs=1e-4)


async def test_embedded_texts_are_counted():
    telemetry = Telemetry()
    embedder = OfflineEmbedder(8, meaning=False, telemetry=telemetry)
    await embedder.embed(["a"] * 20)
    assert telemetry.by_labels("embedded_texts") == {(embedder.name,): 20}


async def test_nothing_can_be_away(make: Make):
    await make(8).ping()
    await make(8).close()
    assert len(await make(8).embed(["a"])) == 1


@pytest.mark.parametrize("dim", [8, 97, 1536])
def test_the_rotation_keeps_cosines(dim: int):
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((20, dim))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    rotated = _Rotation(dim).apply(vectors)
    assert rotated.shape == vectors.shape
    assert rotated.dtype == np.float32
    assert rotated @ rotated.T == pytest.approx(vectors @ vectors.T, abs=1e-5)


def test_the_rotation_spreads_a_single_dimension_over_all():
    single: Vector = np.zeros((1, 1536), dtype=np.float32)
    single[0, 7] = 1.0
    assert np.count_nonzero(_Rotation(1536).apply(single)) == 1536


@pytest.mark.parametrize(
    ("choice", "name"),
    [("hashed", "offline-hashed-1/1536"), ("wordllama", "offline-wordllama-hashed-1/1536")],
)
def test_the_settings_choose(choice: str, name: str):
    settings = load_settings(offline_embedder=choice, provider_base_url=None)
    assert open_offline_embedder(settings, Telemetry()).name == name
