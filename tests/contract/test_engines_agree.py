"""The engines answer alike: the same random points, the same random questions, call by call.

Qdrant Edge, searching exactly, is what the others are compared with. Scores agree to 1e-5; where
they are that close to each other, the order is anyone's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from engines import (
    HEAT,
    KINDS,
    NEAR,
    UNSEARCHED,
    between,
    eq,
    exactly,
    has_id,
    make_point,
    one_of,
    opened,
    pid,
    sparse,
    sparse_point,
    unit_vectors,
)
from qdrant_client import models

from indexer.ports import Hit, VectorStore

pytestmark = pytest.mark.anyio

DIM = 64
POINTS, FEW = 300, 120
"""Among few points a search with default parameters is exact too: all candidates are scored in
full. Among more it may miss some, which is no disagreement but recall."""
QUESTIONS = 400
CLOSE = 1e-5
TENANTS, CATEGORIES = ("a", "b"), ("books", "games", "toys", "music")
TAGS = ("rust", "web", "art", "go", "sea")


def payloads(rng: np.random.Generator, size: int) -> Iterator[dict[str, Any]]:
    """Make payloads in which keys are missing, empty, lists, nested and of several types."""
    for n in range(size):
        tags = [str(t) for t in rng.choice(TAGS, size=rng.integers(0, 4), replace=False)]
        payload: dict[str, Any] = {
            "tenant": str(rng.choice(TENANTS)),
            "price": round(float(rng.uniform(0, 100)), 2),
            "tags": tags,
            "features": {"category": str(rng.choice(CATEGORIES)), "stock": int(rng.integers(0, 9))},
        }
        if rng.random() < 0.7:
            payload["active"] = bool(rng.random() < 0.5)
        if rng.random() < 0.3:
            payload["features"]["genres"] = [str(t) for t in rng.choice(TAGS, size=2)]
        if n % 10 == 0:
            del payload["price"]
        yield payload


def a_condition(rng: np.random.Generator, depth: int = 0) -> models.Condition:
    """Make a random condition."""
    low = float(rng.uniform(0, 90))
    some = [int(n) for n in rng.integers(0, POINTS + 20, size=rng.integers(0, 60))]
    choices: list[models.Condition] = [
        eq("tenant", str(rng.choice(TENANTS))),
        eq("features.category", str(rng.choice(CATEGORIES))),
        one_of("features.category", *(str(c) for c in rng.choice(CATEGORIES, size=2))),
        eq("tags", str(rng.choice(TAGS))),
        one_of("tags", *(str(t) for t in rng.choice(TAGS, size=2))),
        eq("features.genres", str(rng.choice(TAGS))),
        eq("active", bool(rng.random() < 0.5)),
        eq("features.stock", int(rng.integers(0, 9))),
        between("price", gte=low, lt=low + 40),
        between("price", gt=low),
        between("features.stock", lte=float(rng.integers(0, 9))),
        has_id(some),
        models.IsEmptyCondition(is_empty=models.PayloadField(key="active")),
        models.FieldCondition(
            key="features.category", match=models.MatchExcept(**{"except": [CATEGORIES[0]]})
        ),
    ]
    if depth < 2:
        choices += [a_filter(rng, depth + 1)] * 2
    return choices[int(rng.integers(0, len(choices)))]


def a_filter(rng: np.random.Generator, depth: int = 0) -> models.Filter:
    """Make a random filter, nested up to three deep."""

    def some(most: int) -> list[models.Condition] | None:
        return [a_condition(rng, depth) for _ in range(int(rng.integers(0, most + 1)))] or None

    return models.Filter(must=some(2), should=some(2), must_not=some(2))


def a_window(rng: np.random.Generator) -> tuple[int, int]:
    """Make a limit and an offset."""
    limit = int(rng.choice([1, 2, 10, 10, 37, 100, POINTS + 50]))
    return limit, int(rng.choice([0, 0, 0, 1, 10, 60, POINTS]))


@dataclass(slots=True)
class Question:
    """The arguments of one query."""

    query: Any
    using: str | None
    limit: int
    offset: int
    query_filter: models.Filter | None = None
    prefetch: list[models.Prefetch] | None = None

    def of(self, store: VectorStore, params: models.SearchParams | None) -> Any:
        return store.query_points(
            "points",
            self.query,
            using=self.using,
            prefetch=self.prefetch,
            query_filter=self.query_filter,
            search_params=params,
            limit=self.limit,
            offset=self.offset,
        )


def a_vector(rng: np.random.Generator) -> list[float]:
    return [float(x) for x in unit_vectors(rng, 1, DIM)[0]]


def nearest(rng: np.random.Generator) -> Question:
    """Ask for what is nearest, by either vector."""
    which = a_filter(rng) if rng.random() < 0.7 else None
    using = str(rng.choice(["content", "content", "sum"]))
    return Question(a_vector(rng), using, *a_window(rng), query_filter=which)


def excluding(rng: np.random.Generator) -> Question:
    """Ask as a user who has seen much does: a tenant, conditions, and ids to leave out."""
    seen = [int(n) for n in rng.permutation(POINTS)[: rng.integers(0, POINTS)]]
    which = models.Filter(
        must=[eq("tenant", str(rng.choice(TENANTS))), a_condition(rng)],
        must_not=[has_id(seen), a_condition(rng)],
    )
    return Question(a_vector(rng), "content", *a_window(rng), query_filter=which)


def varied(rng: np.random.Generator) -> Question:
    """Ask for what is near and unlike each other."""
    mmr = models.Mmr(
        diversity=float(rng.choice([0.0, 0.2, 0.5, 0.9])),
        candidates_limit=int(rng.choice([30, 100])),
    )
    which = a_filter(rng) if rng.random() < 0.5 else None
    limit, offset = int(rng.integers(1, 25)), int(rng.choice([0, 0, 5]))
    query = models.NearestQuery(nearest=a_vector(rng), mmr=mmr)
    return Question(query, "content", limit, offset, query_filter=which)


def fused(rng: np.random.Generator) -> Question:
    """Ask for what ranks high in two searches."""
    prefetch = [
        models.Prefetch(query=a_vector(rng), using=using, limit=30, filter=a_filter(rng))
        for using in ("content", "sum")
    ]
    query = models.FusionQuery(fusion=models.Fusion.RRF)
    return Question(query, None, int(rng.integers(1, 40)), 0, prefetch=prefetch)


@dataclass(slots=True)
class Answers:
    """The engines, all with the same points."""

    size: int
    stores: dict[str, VectorStore] = field(default_factory=dict)

    async def compare(self, question: Question, *, ordered: bool = True) -> int:
        """Ask all engines; return how many points Edge found, searching exactly."""
        expected = await question.of(self.stores["edge"], exactly("edge"))
        for kind, store in self.stores.items():
            asked = [exactly(kind), *([None] if self.size == FEW else [])]
            for params in asked:
                found = await question.of(store, params)
                assert_alike(expected, found, f"{kind}, {question}", ordered)
        return len(expected)


def assert_alike(expected: Sequence[Hit], found: Sequence[Hit], what: str, ordered: bool) -> None:
    """Compare scores to `CLOSE`, ids and payloads where no two scores are that close."""
    wanted, scores = [p.score for p in expected], [p.score for p in found]
    assert len(found) == len(expected), what
    assert scores == pytest.approx(wanted, abs=CLOSE), what
    ties = {n for n in range(1, len(wanted)) if abs(wanted[n] - wanted[n - 1]) <= 2 * CLOSE}
    tied = ties | {n - 1 for n in ties}
    # The last may be tied with one that was cut off: fused ranks often are.
    cut = {len(wanted) - 1} if not ordered else set()
    for n in set(range(len(wanted))) - tied - cut:
        assert found[n].id == expected[n].id, what
        assert found[n].payload == expected[n].payload, what


@pytest.fixture(scope="module", params=[POINTS, FEW], ids=["many", "few"])
async def answers(
    request: pytest.FixtureRequest, qdrant_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Answers]:
    """All engines with the same points, some of which lack a vector."""
    size: int = request.param
    rng = np.random.default_rng(size)
    content, total = unit_vectors(rng, size, DIM), 5 * rng.standard_normal((size, DIM))
    points = []
    for n, payload in enumerate(payloads(rng, size)):
        vectors = {"content": content[n], "sum": total[n]}
        if n % 17 == 0:
            del vectors["content"]
        points.append(make_point(n, vectors, **payload))
    answers = Answers(size)
    async with AsyncExitStack() as stack:
        for kind in KINDS:
            folder = tmp_path_factory.mktemp(kind)
            store = await stack.enter_async_context(opened(kind, folder, qdrant_url))
            await fill(store, points)
            answers.stores[kind] = store
        yield answers


async def fill(store: VectorStore, points: list[models.PointStruct]) -> None:
    cosine = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    dot = models.VectorParams(size=DIM, distance=models.Distance.DOT)
    await store.create_collection("points", {"content": cosine, "sum": dot})
    await store.create_payload_index("points", "tenant", models.PayloadSchemaType.KEYWORD)
    await store.upsert("points", points[:100])
    await store.upsert("points", points[100:])
    await store.create_payload_index(
        "points", "features.category", models.PayloadSchemaType.KEYWORD
    )
    await store.create_payload_index("points", "price", models.PayloadSchemaType.FLOAT)
    await store.create_payload_index("points", "active", models.PayloadSchemaType.BOOL)


async def test_the_engines_hold_the_same_points(answers: Answers) -> None:
    everything = {}
    for kind, store in answers.stores.items():
        records, following = await store.scroll("points", limit=answers.size + 1, with_vectors=True)
        assert following is None
        everything[kind] = {record.id: record for record in records}
    for kind, records in everything.items():
        assert records.keys() == {pid(n) for n in range(answers.size)}, kind
        for point_id, record in everything["edge"].items():
            assert records[point_id].payload == record.payload, kind
            assert vectors_of(records[point_id]) == {
                name: pytest.approx(vector, abs=CLOSE)
                for name, vector in vectors_of(record).items()
            }, kind


def vectors_of(record: models.Record) -> dict[str, Any]:
    return record.vector if isinstance(record.vector, dict) else {}


async def test_filters_choose_the_same_points(answers: Answers) -> None:
    rng = np.random.default_rng(1)
    sizes = []
    for _ in range(QUESTIONS // 4):
        which = a_filter(rng)
        chosen = {}
        for kind, store in answers.stores.items():
            records, _ = await store.scroll("points", which, limit=POINTS, with_payload=False)
            chosen[kind] = {record.id for record in records}
            assert await store.count("points", which) == len(chosen[kind]), f"{kind}, {which}"
        for kind, found in chosen.items():
            assert found == chosen["edge"], f"{kind}, {which}"
        sizes.append(len(chosen["edge"]))
    assert sum(0 < size < answers.size for size in sizes) > len(sizes) / 2


async def test_the_nearest_are_the_same_points(answers: Answers) -> None:
    rng = np.random.default_rng(2)
    found = [await answers.compare(nearest(rng)) for _ in range(QUESTIONS // 8)]
    assert np.count_nonzero(found) > len(found) / 3


async def test_the_nearest_but_excluded_are_the_same_points(answers: Answers) -> None:
    rng = np.random.default_rng(3)
    found = [await answers.compare(excluding(rng)) for _ in range(QUESTIONS // 8)]
    assert np.count_nonzero(found) > len(found) / 4


async def test_varied_points_are_the_same_in_the_same_order(answers: Answers) -> None:
    rng = np.random.default_rng(4)
    found = [await answers.compare(varied(rng)) for _ in range(QUESTIONS // 16)]
    assert np.count_nonzero(found) > len(found) / 2


async def test_fused_searches_give_the_same_scores(answers: Answers) -> None:
    rng = np.random.default_rng(5)
    found = [await answers.compare(fused(rng), ordered=False) for _ in range(QUESTIONS // 16)]
    assert np.count_nonzero(found) > len(found) / 2


async def test_an_unsearched_collection_ranks_alike(answers: Answers) -> None:
    heats = np.random.default_rng(6).permutation(40).astype(float) - 7.0
    params = {"heat": models.VectorParams(size=1, distance=models.Distance.DOT)}
    expected = [int(n) for n in np.argsort(-heats)]
    for kind, store in answers.stores.items():
        await store.create_collection("signals", params, hnsw_config=UNSEARCHED)
        points = [make_point(n, {"heat": [h]}, tenant=TENANTS[n % 2]) for n, h in enumerate(heats)]
        await store.upsert("signals", points)
        found = await store.query_points("signals", [1.0], using="heat", limit=15, offset=3)
        assert [point.payload["n"] for point in found] == expected[3:18], kind
        in_b = models.Filter(must=[eq("tenant", "b")])
        hits = await store.query_points("signals", [1.0], using="heat", query_filter=in_b, limit=99)
        assert [hit.payload["n"] for hit in hits] == [n for n in expected if n % 2], kind


async def test_sparse_vectors_score_alike(answers: Answers) -> None:
    rng = np.random.default_rng(7)
    indices = [int(i) for i in rng.choice(2**32, size=60, replace=False)]

    def a_sparse_vector(most: int) -> dict[int, float]:
        # What is decayed is stored as of long ago, and may be large.
        chosen = rng.choice(indices, size=rng.integers(1, most), replace=False)
        return {int(i): float(2.0 ** rng.uniform(-8, 20)) for i in chosen}

    points = [sparse_point(n, a_sparse_vector(30), tenant=TENANTS[n % 2]) for n in range(80)]
    for kind, store in answers.stores.items():
        await store.create_collection(
            "web", HEAT, sparse_vectors_config=NEAR, hnsw_config=UNSEARCHED
        )
        await store.upsert("web", points)
        await store.upsert("web", [sparse_point(0, {indices[0]: 1.0}, tenant=TENANTS[0])])
        await store.delete("web", [pid(1)])
        assert await store.count("web") == 79, kind
    for _ in range(QUESTIONS // 8):
        query = sparse(a_sparse_vector(20))
        out = [int(n) for n in rng.integers(0, 80, size=rng.integers(0, 70))]
        which = models.Filter(
            must=[eq("tenant", str(rng.choice(TENANTS)))], must_not=[has_id(out)] if out else None
        )
        limit, offset = int(rng.choice([5, 60, 400])), int(rng.choice([0, 0, 3]))
        found = {
            kind: await store.query_points(
                "web", query, using="near", query_filter=which, limit=limit, offset=offset
            )
            for kind, store in answers.stores.items()
        }
        expected = {hit.id: hit.score for hit in found["edge"]}
        for kind, hits in found.items():
            scores = {hit.id: hit.score for hit in hits}
            assert scores == pytest.approx(expected, rel=CLOSE), f"{kind}, {query}, {which}"
            assert list(scores.values()) == sorted(scores.values(), reverse=True), kind
