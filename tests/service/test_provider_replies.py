"""Every fault of an embedding reply has a name, and none of it becomes a vector."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai_server import Body, Fault, Seen
from provider_client import DIM, is_vector_of, open_client, with_rows

from indexer.errors import InputRefused

pytestmark = pytest.mark.anyio

_NAN, _INF, _TINY = float("nan"), float("inf"), [1e-30] * DIM


def _packed(*numbers: float) -> str:
    return base64.b64encode(np.asarray(numbers, dtype="<f4").tobytes()).decode()


def _rows(change: Any) -> Fault:
    return Fault(alter=lambda body: {**body, "data": change(body["data"])})


def _fields(**fields: object) -> Fault:
    return Fault(alter=lambda body: {**body, **fields})


_FAULTS: dict[str, tuple[Fault, str]] = {
    "not JSON": (Fault(raw=b"<html>"), "not_json"),
    "empty": (Fault(raw=b""), "not_json"),
    "half of JSON": (Fault(raw=b'{"data": [{"embedding": [0.1, 0.2'), "not_json"),
    "deep JSON": (Fault(raw=b"[" * 100_000), "not_json"),
    "a list": (Fault(raw=b"[]"), "not_json"),
    "an error as a success": (Fault(raw=b'{"error": {"message": "no"}}'), "no_data"),
    "data that is no list": (_fields(data={"0": []}), "no_data"),
    "no row": (_rows(lambda rows: []), "missing_rows"),
    "a row too many": (_rows(lambda rows: [*rows, rows[0]]), "extra_rows"),
    "a row that is none": (_rows(lambda rows: [None]), "bad_index"),
    "an index too high": (_rows(lambda rows: [{**rows[0], "index": 1}]), "bad_index"),
    "an index below": (_rows(lambda rows: [{**rows[0], "index": -1}]), "bad_index"),
    "an index of text": (_rows(lambda rows: [{**rows[0], "index": "0"}]), "bad_index"),
    "an index of truth": (_rows(lambda rows: [{**rows[0], "index": False}]), "bad_index"),
    "too few numbers": (Fault(alter=with_rows([0.1] * (DIM - 1))), "wrong_dimension"),
    "too many numbers": (Fault(alter=with_rows(_packed(*[0.1] * (DIM + 1)))), "wrong_dimension"),
    "no numbers": (Fault(alter=with_rows([])), "wrong_dimension"),
    "another model": (_fields(model="text-embedding-3-large"), "wrong_model"),
    "NaN": (Fault(alter=with_rows(_packed(_NAN, *[0.1] * (DIM - 1)))), "not_finite"),
    "NaN as JSON": (Fault(alter=with_rows([_NAN, *[0.1] * (DIM - 1)])), "not_finite"),
    "infinity": (Fault(alter=with_rows(_packed(_INF, *[0.1] * (DIM - 1)))), "not_finite"),
    "infinity as JSON": (Fault(alter=with_rows([-_INF, *[0.1] * (DIM - 1)])), "not_finite"),
    "beyond float32": (Fault(alter=with_rows([1e39] * DIM)), "not_finite"),
    "an endless number": (Fault(alter=with_rows([10**400, *[0.1] * (DIM - 1)])), "not_json"),
    "zeros": (Fault(alter=with_rows([0] * DIM)), "zero_vector"),
    "next to zeros": (Fault(alter=with_rows(_TINY)), "zero_vector"),
    "null": (Fault(alter=with_rows(None)), "no_vector"),
    "nulls": (Fault(alter=with_rows([None] * DIM)), "not_finite"),
    "words": (Fault(alter=with_rows(["x"] * DIM)), "no_vector"),
    "rows of another length": (Fault(alter=with_rows([[0.1], *[0.1] * (DIM - 1)])), "no_vector"),
    "broken base64": (Fault(alter=with_rows("not base64!")), "no_vector"),
    "an odd number of bytes": (Fault(alter=with_rows("AAAAAAA=")), "no_vector"),
    "cut short": (Fault(short=True), "connection"),
    "reset": (Fault(reset=True), "connection"),
    "no content": (Fault(204, raw=b""), "not_json"),
}


@pytest.mark.parametrize(("fault", "name"), _FAULTS.values(), ids=_FAULTS)
async def test_a_fault_is_named_in_what_is_counted_and_is_never_a_vector(
    tmp_path: Path, fault: Fault, name: str
) -> None:
    async with open_client(tmp_path, provider_max_retries=0) as client:
        client.server.always = fault
        assert (await client.failure()).fault == name
        assert client.outcomes() == {name: 1}
        [row] = await client.models.ledger.usage("2000-01-01")
        assert (row.outcome, row.calls) == (name, 1)


async def test_rows_are_put_in_the_order_of_the_request(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(9)]
    async with open_client(tmp_path) as client:
        client.server.always = _rows(lambda rows: rows[::-1])
        found = await client.embed(*texts)
        assert all(is_vector_of(text, each) for text, each in zip(texts, found, strict=True))


async def test_rows_without_an_index_are_taken_in_their_order(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        client.server.always = _rows(lambda rows: [{"embedding": r["embedding"]} for r in rows])
        found = await client.embed("one", "two")
        assert is_vector_of("one", found[0])
        assert is_vector_of("two", found[1])


async def test_numbers_are_taken_as_well_as_base64(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        client.server.floats_only = True
        assert is_vector_of("a text", await client.one())


@pytest.mark.parametrize(
    "model",
    ["openai/text-embedding-3-small", "text-embedding-3-small:latest", "Text-Embedding-3-Small",
     "text-embedding-3-small-2024-01-25", "", None],
)  # fmt: skip
async def test_a_model_that_is_only_named_otherwise_is_the_same(
    tmp_path: Path, model: str | None
) -> None:
    async with open_client(tmp_path) as client:
        client.server.always = _fields(model=model)
        assert is_vector_of("a text", await client.one())


def _poisoned(kind: str, seen: Seen) -> Fault | None:
    """What one kind of provider does with a batch that holds a text it cannot take."""
    places = [n for n, text in enumerate(seen.texts) if "poison" in text]
    if not places:
        return None
    if kind == "status 400":
        return Fault(400, "this input is refused")
    bad = {
        "NaN": _packed(*[_NAN] * DIM),
        "NaN as JSON": [_NAN] * DIM,
        "zeros": [0.0] * DIM,
        "null": None,
    }[kind]

    def alter(body: Body) -> Body:
        for place in places:
            body["data"][place]["embedding"] = bad
        return body

    return Fault(alter=alter)


@pytest.mark.parametrize(
    "poison", [{57}, {0, 99}, set(range(40, 48))], ids=["one", "two", "eight in a row"]
)
@pytest.mark.parametrize("kind", ["status 400", "NaN", "NaN as JSON", "zeros", "null"])
async def test_what_cannot_be_embedded_does_not_stop_the_others_of_its_batch(
    tmp_path: Path, kind: str, poison: set[int]
) -> None:
    texts = [f"{'poison' if n in poison else 'fine'} {n}" for n in range(100)]
    async with open_client(tmp_path, provider_max_retries=0) as client:
        client.server.answer = lambda seen: _poisoned(kind, seen)
        found = await client.embed(*texts)
        well = {n for n, each in enumerate(found) if is_vector_of(texts[n], each)}
        assert well == set(range(100)) - poison
        assert all(isinstance(found[n], InputRefused) for n in poison)
        assert len(client.server.seen) <= 20 * len(poison)
        assert client.state()["breakers"]["embeddings"] == "closed"


async def test_a_text_that_is_too_long_is_embedded_by_its_beginning(tmp_path: Path) -> None:
    long = "word " * 80
    async with open_client(tmp_path) as client:
        client.server.longest = 120
        found = await client.embed("short", long, "brief")
        assert is_vector_of("short", found[0])
        assert is_vector_of(long[:100], found[1])
        assert is_vector_of("brief", found[2])


async def test_a_text_that_is_too_long_by_far_is_given_up(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        client.server.longest = 10
        found = await client.failure("word " * 100)
        assert found.fault == "too_long"
        assert len(client.server.seen) == 4


@pytest.mark.parametrize(
    "unknown",
    [{"dimensions"}, {"encoding_format"}, {"dimensions", "encoding_format"}],
    ids=["dimensions", "encoding", "both"],
)
async def test_fields_that_the_endpoint_does_not_know_are_left_out_from_then_on(
    tmp_path: Path, unknown: set[str]
) -> None:
    async with open_client(tmp_path) as client:
        client.server.unknown_fields = unknown
        await client.one()
        learned = len(client.server.seen)
        assert learned == 1 + len(unknown)
        assert is_vector_of("another", await client.one("another"))
        assert len(client.server.seen) == learned + 1
        sent = client.server.seen[-1].body
        assert set(sent) == {"model", "input", "dimensions", "encoding_format"} - unknown


async def test_calls_that_learn_of_an_unknown_field_together_all_succeed(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        client.server.unknown_fields = {"dimensions", "encoding_format"}
        client.server.floats_only = True
        found = await client.together(10)
        assert all(is_vector_of(str(n), each) for n, each in enumerate(found))


async def test_a_row_that_is_wrong_once_is_asked_for_again(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        client.server.script.append(Fault(alter=with_rows(_packed(*[_NAN] * DIM))))
        assert is_vector_of("a text", await client.one())
        assert client.outcomes() == {"not_finite": 1, "ok": 1}
