"""The embedder that asks a provider, against one that answers whatever it is told to."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
import stamina

from indexer.errors import EmbeddingError, EmbeddingUnavailable, SchemaMismatch
from indexer.provider import open_embedder
from indexer.provider.openai import OpenAIEmbedder
from indexer.settings import load_settings
from indexer.telemetry import Telemetry

pytestmark = pytest.mark.anyio

DIM = 4
Reply = httpx.Response | Exception


def vector_of(text: str) -> list[float]:
    """Return what the provider embeds ``text`` as; texts are small whole numbers."""
    return [1.0 + float(text), 2.0, 0.0, -2.0]


def rows_of(texts: list[str]) -> list[dict[str, Any]]:
    return [{"index": place, "embedding": vector_of(text)} for place, text in enumerate(texts)]


def packed(vector: list[float]) -> str:
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


class FakeProvider:
    """Embeds every text, unless it is told what to answer next or how to change its rows."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.next: deque[Reply] = deque()
        self.change: Callable[[list[dict[str, Any]]], Any] = lambda rows: rows

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = orjson.loads(request.content)
        self.requests.append({"path": request.url.path, **asked})
        if self.next:
            reply = self.next.popleft()
            if isinstance(reply, Exception):
                raise reply
            return reply
        texts = asked["input"]
        rows = self.change(rows_of(texts))
        return httpx.Response(200, json={"data": rows, "usage": {"total_tokens": 2 * len(texts)}})


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def embedder(provider: FakeProvider, telemetry: Telemetry) -> AsyncIterator[OpenAIEmbedder]:
    client = httpx.AsyncClient(
        base_url="http://provider/v1/", transport=httpx.MockTransport(provider)
    )
    embedder = OpenAIEmbedder(
        client,
        telemetry,
        model="m",
        dim=DIM,
        batch_max=3,
        max_retries=2,
        concurrency=2,
        timeout_s=5.0,
    )
    yield embedder
    await embedder.close()


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def assert_embedded(vectors: list[Any], texts: list[str]) -> None:
    assert len(vectors) == len(texts)
    for vector, text in zip(vectors, texts, strict=True):
        expected = np.asarray(vector_of(text))
        assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
        assert vector.dtype == np.float32


async def test_the_request_names_model_dimension_and_texts(
    provider: FakeProvider, embedder: OpenAIEmbedder
):
    await embedder.embed(["1"])
    assert provider.requests == [
        {
            "path": "/v1/embeddings",
            "model": "m",
            "input": ["1"],
            "dimensions": DIM,
            "encoding_format": "base64",
        }
    ]
    assert embedder.name == "m/4"


async def test_rows_of_numbers_become_unit_vectors(embedder: OpenAIEmbedder):
    assert_embedded(await embedder.embed(["1", "2"]), ["1", "2"])


async def test_rows_in_base64_become_unit_vectors(provider: FakeProvider, embedder: OpenAIEmbedder):
    provider.change = lambda rows: [{**row, "embedding": packed(row["embedding"])} for row in rows]
    assert_embedded(await embedder.embed(["1", "2"]), ["1", "2"])


async def test_rows_are_put_in_the_order_of_their_index(
    provider: FakeProvider, embedder: OpenAIEmbedder
):
    provider.change = lambda rows: rows[::-1]
    assert_embedded(await embedder.embed(["1", "2", "3"]), ["1", "2", "3"])


async def test_rows_without_an_index_are_in_order(provider: FakeProvider, embedder: OpenAIEmbedder):
    provider.change = lambda rows: [{"embedding": row["embedding"]} for row in rows]
    assert_embedded(await embedder.embed(["1", "2"]), ["1", "2"])


async def test_many_texts_are_split_into_batches_and_stay_in_order(
    provider: FakeProvider, embedder: OpenAIEmbedder
):
    texts = [str(number) for number in range(8)]
    assert_embedded(await embedder.embed(texts), texts)
    assert sorted(len(request["input"]) for request in provider.requests) == [2, 3, 3]


async def test_no_texts_are_no_request(provider: FakeProvider, embedder: OpenAIEmbedder):
    assert await embedder.embed([]) == []
    assert provider.requests == []


# Replies that cannot be used


def with_embedding(embedding: object) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda rows: [rows[0], {**rows[1], "embedding": embedding}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_embedding([1.0] * 3), r"row 1: a vector of shape \(3,\), expected \(4,\)"),
        (with_embedding(packed([1.0] * 5)), r"row 1: a vector of shape \(5,\), expected \(4,\)"),
        (with_embedding([]), "row 1: a vector of shape"),
        (with_embedding([[1.0] * 4]), "row 1: a vector of shape"),
        (with_embedding(packed([1.0, float("nan"), 0.0, 0.0])), "row 1: .* not finite"),
        (with_embedding(packed([1.0, float("inf"), 0.0, 0.0])), "row 1: .* not finite"),
        (with_embedding([1e39, 0.0, 0.0, 0.0]), "row 1: .* not finite"),
        (with_embedding([0.0] * 4), "row 1: a vector of zeros"),
        (with_embedding("not base64!"), "base64 embedding is broken"),
        (with_embedding("QUJD"), "base64 embedding is broken"),
        (with_embedding(None), "NoneType as an embedding"),
        (with_embedding(["a", "b", "c", "d"]), "could not convert string to float"),
        (with_embedding([None] * 4), "."),
        (with_embedding([[1.0], [1.0, 2.0], 1.0, 1.0]), "."),
        (lambda rows: rows[:1], "sent 1 rows for 2 texts"),
        (lambda rows: [], "sent 0 rows for 2 texts"),
        (lambda rows: None, "sent 0 rows for 2 texts"),
        (lambda rows: "rows", "sent 0 rows for 2 texts"),
        (lambda rows: [*rows, {**rows[0], "index": 2}], "row 2 has index 2 of 2"),
        (lambda rows: [rows[0], rows[0]], "row 1 has index 0 of 2"),
        (lambda rows: [rows[0], {**rows[1], "index": -1}], "row 1 has index -1 of 2"),
        (lambda rows: [rows[0], {**rows[1], "index": "1"}], "row 1 has index '1' of 2"),
        (lambda rows: [rows[0], "row"], "row 1 has index None of 2"),
    ],
)
async def test_a_row_that_cannot_be_used_is_an_error_that_is_not_tried_again(
    provider: FakeProvider, embedder: OpenAIEmbedder, change: Any, said: str
):
    provider.change = change
    with pytest.raises(EmbeddingError, match=said) as caught:
        await embedder.embed(["1", "2"])
    assert not caught.value.retryable
    assert len(provider.requests) == 1


async def test_a_reply_that_is_no_object_is_an_error(
    provider: FakeProvider, embedder: OpenAIEmbedder
):
    provider.next.append(httpx.Response(200, json=[1]))
    with pytest.raises(EmbeddingError, match="not a JSON object"):
        await embedder.embed(["1"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 301])
async def test_a_refusal_is_an_error_that_is_not_tried_again(
    provider: FakeProvider, embedder: OpenAIEmbedder, telemetry: Telemetry, status: int
):
    provider.next.append(httpx.Response(status, text="wrong key"))
    with pytest.raises(EmbeddingError, match=f"answered {status}: wrong key") as caught:
        await embedder.embed(["1"])
    assert not caught.value.retryable
    assert len(provider.requests) == 1
    assert telemetry.by_labels("provider_calls") == {("embedding", "m", "rejected"): 1}


# Failures that may pass


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(408),
        httpx.Response(429, text="slow down"),
        httpx.Response(500),
        httpx.Response(503),
        httpx.Response(200, text="<html>proxy</html>"),
        httpx.Response(200, content=b""),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("too late"),
        httpx.RemoteProtocolError("cut off"),
    ],
    ids=repr,
)
async def test_a_failure_that_may_pass_is_tried_again(
    provider: FakeProvider, embedder: OpenAIEmbedder, telemetry: Telemetry, failure: Reply
):
    provider.next.append(failure)
    assert_embedded(await embedder.embed(["1"]), ["1"])
    assert len(provider.requests) == 2
    assert telemetry.by_labels("provider_calls") == {
        ("embedding", "m", "unavailable"): 1,
        ("embedding", "m", "ok"): 1,
    }


async def test_tries_have_an_end(provider: FakeProvider, embedder: OpenAIEmbedder):
    provider.next.extend(httpx.Response(503, text="busy") for _ in range(10))
    with pytest.raises(EmbeddingUnavailable, match="answered 503: busy") as caught:
        await embedder.embed(["1"])
    assert caught.value.retryable
    assert len(provider.requests) == 3


async def test_a_failure_of_the_connection_is_ours_and_keeps_its_cause(
    provider: FakeProvider, embedder: OpenAIEmbedder
):
    provider.next.extend(httpx.ConnectError("refused") for _ in range(3))
    with pytest.raises(EmbeddingUnavailable, match="does not answer: ConnectError") as caught:
        await embedder.embed(["1"])
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


async def test_a_ping_is_one_try(provider: FakeProvider, embedder: OpenAIEmbedder):
    provider.change = lambda rows: rows
    provider.next.append(httpx.Response(503))
    with pytest.raises(EmbeddingUnavailable):
        await embedder.ping()
    assert len(provider.requests) == 1


# Accounts


async def test_calls_tokens_and_texts_are_counted(embedder: OpenAIEmbedder, telemetry: Telemetry):
    await embedder.embed([str(number) for number in range(7)])
    assert telemetry.by_labels("provider_calls") == {("embedding", "m", "ok"): 3}
    assert telemetry.by_labels("provider_tokens") == {("embedding", "m"): 14}
    assert telemetry.by_labels("embedded_texts") == {("m/4",): 7}


@pytest.mark.parametrize("usage", [None, {}, "free", {"total_tokens": "many"}])
async def test_a_reply_without_a_count_of_tokens_is_used_all_the_same(
    provider: FakeProvider, embedder: OpenAIEmbedder, telemetry: Telemetry, usage: object
):
    reply = {"data": rows_of(["1"]), "usage": usage}
    provider.next.append(httpx.Response(200, json=reply))
    assert_embedded(await embedder.embed(["1"]), ["1"])
    assert telemetry.total("provider_tokens") == 0


# Connecting


async def test_the_settings_make_the_client():
    settings = load_settings(
        provider_base_url="https://api.example.com/v1/",
        provider_api_key="sk-1",
        embedding_model="m",
        embedding_dim=16,
    )
    embedder = open_embedder(settings, Telemetry())
    assert isinstance(embedder, OpenAIEmbedder)
    assert embedder.name == "m/16"
    await embedder.close()


async def test_a_ping_tells_a_wrong_dimension_from_a_provider_that_is_away(
    provider: FakeProvider, embedder: OpenAIEmbedder
):
    wide = {"data": [{"index": 0, "embedding": [1.0] * (DIM + 1)}]}
    provider.next.append(httpx.Response(200, json=wide))
    with pytest.raises(SchemaMismatch, match="RECSVC_EMBEDDING_DIM"):
        await embedder.ping()
    provider.next.append(httpx.ConnectError("refused"))
    with pytest.raises(EmbeddingUnavailable):
        await embedder.ping()
