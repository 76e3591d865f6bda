"""When a request is sent again, when it is not, and how long is waited before."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from openai_server import Fault
from provider_client import is_vector_of, open_client

from indexer.errors import InputRefused, ProviderUnavailable

pytestmark = pytest.mark.anyio

_SOON = {"retry-after-ms": "10"}


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
async def test_a_status_that_may_pass_is_tried_again(tmp_path: Path, status: int) -> None:
    async with open_client(tmp_path) as client:
        client.server.script.append(Fault(status, headers=_SOON))
        assert is_vector_of("a text", await client.one())
        assert len(client.server.seen) == 2
        assert client.outcomes() == {f"status_{status}": 1, "ok": 1}


@pytest.mark.parametrize(
    "fault",
    [Fault(reset=True), Fault(short=True), Fault(raw=b"<html>busy</html>"), Fault(raw=b"")],
    ids=["reset", "cut short", "not JSON", "empty"],
)
async def test_a_reply_that_did_not_arrive_whole_is_asked_for_again(
    tmp_path: Path, fault: Fault
) -> None:
    async with open_client(tmp_path) as client:
        client.server.script.append(fault)
        assert is_vector_of("a text", await client.one())
        assert len(client.server.seen) == 2


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 413, 422])
async def test_a_status_that_will_not_pass_is_not_tried_again(tmp_path: Path, status: int) -> None:
    async with open_client(tmp_path) as client:
        client.server.always = Fault(status)
        found = await client.failure()
        refused = status in (400, 413, 422)
        assert isinstance(found, InputRefused if refused else ProviderUnavailable)
        texts = [seen.texts for seen in client.server.seen]
        assert len(texts) == len({tuple(each) for each in texts}), "the same was sent twice"
        if status != 413:
            assert len(texts) == 1


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        client.server.always = Fault(307, headers={"location": "/v1/embeddings"})
        assert (await client.failure()).fault == "status_307"
        assert len(client.server.seen) == 1


async def test_the_tries_are_as_many_as_the_settings_say_and_further_apart_each_time(
    tmp_path: Path,
) -> None:
    async with open_client(tmp_path, provider_max_retries=2) as client:
        client.server.always = Fault(500)
        assert (await client.failure()).fault == "status_500"
        first, second = client.server.gaps()
        assert 0.05 <= first < second


async def test_chat_is_tried_again_too(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        client.server.script.append(Fault(503, headers=_SOON))
        assert (await client.chat()).text == client.server.says
        assert len(client.server.seen) == 2


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        (429, {"retry-after": "1"}, 1.0),
        (503, {"retry-after": "1"}, 1.0),
        (429, {"retry-after-ms": "400"}, 0.4),
        (503, {"retry-after": "0", "retry-after-ms": "400"}, 0.4),
    ],
)
async def test_a_provider_that_says_how_long_to_wait_is_not_asked_earlier(
    tmp_path: Path, status: int, headers: dict[str, str], wait_s: float
) -> None:
    async with open_client(tmp_path) as client:
        client.server.script.append(Fault(status, headers=headers))
        await client.one()
        assert len(client.server.seen) == 2
        assert client.server.gaps()[0] >= wait_s


async def test_a_provider_that_names_a_date_is_not_asked_before_it(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        at = int(time.time()) + 2
        client.server.script.append(
            Fault(429, headers={"retry-after": formatdate(at, usegmt=True)})
        )
        await client.one()
        assert client.server.seen[1].wall >= at


async def test_a_date_that_is_past_is_no_wait(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        past = formatdate(time.time() - 3_600, usegmt=True)
        client.server.script.append(Fault(429, headers={"retry-after": past}))
        await client.one()


@pytest.mark.parametrize("said", ["soon", "-3", "nan", "inf", "", "99 Foo 99999"])
async def test_a_wait_that_is_none_is_taken_for_not_said(tmp_path: Path, said: str) -> None:
    async with open_client(tmp_path) as client:
        client.server.script.append(Fault(429, headers={"retry-after": said}))
        await client.one()
        assert client.server.gaps()[0] >= 0.05


@pytest.mark.parametrize("wait_s", [61, 30])
async def test_a_wait_beyond_the_cap_or_the_deadline_is_not_sat_out(
    tmp_path: Path, wait_s: int
) -> None:
    async with open_client(tmp_path, provider_deadline_s=20) as client:
        client.server.always = Fault(429, headers={"retry-after": str(wait_s)})
        start = time.monotonic()
        assert (await client.failure()).fault == "status_429"
        assert time.monotonic() - start < 10
        assert len(client.server.seen) == 1


async def test_while_a_provider_wants_to_be_left_alone_the_other_calls_do_not_ask_it_either(
    tmp_path: Path,
) -> None:
    async with open_client(tmp_path) as client:
        client.server.script.append(Fault(429, headers={"retry-after": "1"}))
        found = await client.together(5)
        assert all(is_vector_of(str(n), vector) for n, vector in enumerate(found))
        client.server.script.append(Fault(429, headers={"retry-after": "3600"}))
        await client.failure("first")
        sent = len(client.server.seen)
        assert (await client.failure("second")).fault == "rate_limit"
        assert len(client.server.seen) == sent
