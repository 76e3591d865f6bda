"""Chat: the reply format that an endpoint takes is learned, and what is no answer is a fault."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from openai_server import Fault, Seen
from provider_client import SCHEMA, open_client

from indexer.errors import InputRefused, ProviderUnavailable

pytestmark = pytest.mark.anyio


def _message(**fields: object) -> Fault:
    return Fault(alter=lambda body: {**body, "choices": [{"message": fields}]})


def _format(body: dict[str, Any]) -> str | None:
    wanted: str | None = body.get("response_format", {}).get("type")
    return wanted


def _takes(*formats: str | None) -> Any:
    """Refuse the reply formats that are none of these."""

    def answer(seen: Seen) -> Fault | None:
        wanted = _format(seen.body)
        return None if wanted in formats else Fault(400, f"response_format {wanted} is not known")

    return answer


async def test_an_answer_has_its_text_its_model_and_its_cost(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        answer = await client.chat()
        assert answer.text == client.server.says
        assert answer.model == "deepseek-v3.2"
        assert answer.cost_usd == pytest.approx((7 * 0.28 + 5 * 0.42) / 1e6)
        [row] = await client.models.ledger.usage("2000-01-01")
        assert (row.tokens_in, row.tokens_out) == (7, 5)


@pytest.mark.parametrize(
    ("formats", "learned"),
    [
        (("json_schema", "json_object", None), "json_schema"),
        (("json_object", None), "json_object"),
        ((None,), None),
    ],
)
async def test_the_strictest_format_that_the_endpoint_takes_is_learned_once(
    tmp_path: Path, formats: tuple[str | None, ...], learned: str | None
) -> None:
    async with open_client(tmp_path) as client:
        client.server.answer = _takes(*formats)
        await client.chat(schema=SCHEMA)
        sent = len(client.server.seen)
        await client.chat("another", schema=SCHEMA)
        assert len(client.server.seen) == sent + 1
        assert _format(client.server.seen[-1].body) == learned


async def test_calls_that_learn_of_the_format_together_all_succeed_and_learn_no_more_than_needed(
    tmp_path: Path,
) -> None:
    async with open_client(tmp_path) as client:
        client.server.answer = _takes("json_object", None)
        await asyncio.gather(*(client.chat(f"{n}", schema=SCHEMA) for n in range(8)))
        await client.chat("afterwards", schema=SCHEMA)
        assert _format(client.server.seen[-1].body) == "json_object"


async def test_a_field_that_the_model_does_not_take_is_renamed_or_left_out_from_then_on(
    tmp_path: Path,
) -> None:
    def answer(seen: Seen) -> Fault | None:
        old = next((name for name in ("max_tokens", "temperature") if name in seen.body), None)
        return Fault(400, f"Unsupported parameter: '{old}'") if old else None

    async with open_client(tmp_path) as client:
        client.server.answer = answer
        assert (await client.chat()).text == client.server.says
        assert (await client.chat()).text == client.server.says
        assert len(client.server.seen) == 4
        last = client.server.seen[-1].body
        assert last.keys() & {"max_tokens", "temperature"} == set()
        assert last["max_completion_tokens"] > 0


async def test_a_format_is_only_asked_for_where_there_is_a_schema(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        await client.chat()
        assert "response_format" not in client.server.seen[-1].body


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault(raw=b"data: {}"), "not_json"),
        (Fault(raw=b"{}"), "no_text"),
        (Fault(alter=lambda body: {**body, "choices": []}), "no_text"),
        (Fault(alter=lambda body: {**body, "choices": ["text"]}), "no_text"),
        (_message(content=None), "no_text"),
        (_message(content=" \n"), "no_text"),
        (_message(content=["text"]), "no_text"),
        (Fault(short=True), "connection"),
    ],
    ids=["not JSON", "empty", "no choice", "odd", "null", "spaces", "a list", "cut short"],
)
async def test_what_is_no_answer_is_a_named_fault(tmp_path: Path, fault: Fault, name: str) -> None:
    async with open_client(tmp_path, provider_max_retries=0) as client:
        client.server.always = fault
        with pytest.raises(ProviderUnavailable) as caught:
            await client.chat()
        assert caught.value.fault == name
        assert client.outcomes() == {name: 1}


async def test_a_prompt_that_is_too_long_is_told_from_one_that_is_refused(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        for said, too_long in (("maximum context length is 10", True), ("not this", False)):
            client.server.always = Fault(400, said)
            with pytest.raises(InputRefused) as caught:
                await client.chat(said)
            assert caught.value.too_long is too_long
        assert len(client.server.seen) == 2


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": "many"}, [1]], ids=str
)
async def test_a_bill_that_is_missing_or_senseless_is_estimated(
    tmp_path: Path, usage: object
) -> None:
    async with open_client(tmp_path) as client:
        client.server.always = Fault(alter=lambda body: {**body, "usage": usage})
        assert (await client.chat("word " * 100)).cost_usd
        [row] = await client.models.ledger.usage("2000-01-01")
        assert row.tokens_in > 100
        assert row.tokens_out > 1
