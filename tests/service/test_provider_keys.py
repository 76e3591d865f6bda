"""The provider's key: read again when it changes, once for all calls, and never shown."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from pathlib import Path

import pytest
from openai_server import Fault, Seen
from provider_client import KEY, is_vector_of, open_client

from indexer.errors import ProviderError

pytestmark = pytest.mark.anyio

_MANY = 64


def _jwt() -> str:
    """A key as long as those of identity providers are."""
    parts = [
        {"alg": "RS256"},
        {"sub": "recsvc", "roles": ["r" * 40] * 20},
        {"signature": "s" * 200},
    ]
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode() for p in parts)


async def test_a_key_that_is_changed_in_its_file_is_used_from_the_first_refusal_on(
    tmp_path: Path,
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-old\n")
    async with open_client(tmp_path, provider_api_key_file=file) as client:
        client.server.key = "sk-old"
        await client.one()
        file.write_text("sk-new\n")
        client.server.key = "sk-new"
        assert is_vector_of("a text", await client.one())
        await client.one()
        sent = [seen.authorization for seen in client.server.seen]
        assert sent == ["Bearer sk-old"] * 2 + ["Bearer sk-new"] * 2


@pytest.mark.parametrize("concurrency", [10, _MANY])
async def test_many_calls_with_an_ended_key_have_it_read_once_and_all_succeed(
    tmp_path: Path, concurrency: int
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-old")
    given = {"provider_api_key_file": file, "provider_concurrency": concurrency}
    async with open_client(tmp_path, **given) as client:
        client.server.key = "sk-old"
        await client.one()
        file.write_text("sk-new")
        client.server.key = "sk-new"
        found = await client.together(_MANY)
        assert all(is_vector_of(str(n), vector) for n, vector in enumerate(found))
        assert client.telemetry.total("provider_keys") == 2
        refused = [s for s in client.server.seen[1:] if s.authorization == "Bearer sk-old"]
        assert len(refused) <= concurrency


async def test_many_first_calls_read_the_key_once(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    command = f"cat {tmp_path / 'key'}"
    async with open_client(tmp_path, provider_api_key_command=command) as client:
        client.server.key = KEY
        found = await client.together(_MANY)
        assert all(is_vector_of(str(n), vector) for n, vector in enumerate(found))
        assert client.telemetry.total("provider_keys", "default", "read") == 1


async def test_a_key_is_read_again_before_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(json.dumps({"api_key": "sk-old", "expires_in": 0.5}))
    async with open_client(tmp_path, provider_api_key_file=file) as client:
        client.server.key = "sk-old"
        await client.one()
        file.write_text(json.dumps({"api_key": "sk-new", "expires_in": 3600}))

        def let_in(seen: Seen) -> Fault | None:
            known = seen.authorization in ("Bearer sk-old", "Bearer sk-new")
            return None if known else Fault(401)

        client.server.key, client.server.answer = None, let_in
        while client.server.seen[-1].authorization == "Bearer sk-old":
            await client.one()
        assert client.outcomes().keys() == {"ok"}
        assert client.telemetry.total("provider_keys") == 2


@pytest.mark.parametrize("broken", ["gone", "empty", "not text", "a bad command"])
async def test_a_key_that_cannot_be_read_again_stops_the_asking(
    tmp_path: Path, broken: str
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-old")
    given = {"provider_api_key_file": file}
    if broken == "a bad command":
        given = {"provider_api_key_command": f"cat {file}"}  # type: ignore[dict-item]
    async with open_client(tmp_path, **given) as client:
        client.server.key = "sk-old"
        await client.one()
        client.server.key = "sk-new"
        if broken == "empty":
            file.write_text("")
        elif broken == "not text":
            file.write_bytes(b"\xff\xfe\xfa")
        else:
            file.unlink()
        sent = len(client.server.seen)
        found = await client.together(_MANY)
        assert all(isinstance(each, ProviderError) for each in found)
        assert client.state()["breakers"]["embeddings"] == "open"
        assert len(client.server.seen) - sent <= 10  # those that were under way together
        await client.together(_MANY)
        assert len(client.server.seen) - sent <= 10
        assert client.telemetry.total("provider_keys", "default", "failed") <= 10


async def test_a_key_that_is_refused_and_stays_the_same_is_left_at_that(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        client.server.key = "another"
        found = await client.together(_MANY)
        assert {each.fault for each in found if isinstance(each, ProviderError)} == {
            "status_401",
            "breaker_open",
        }
        assert len(client.server.seen) <= 10


@pytest.mark.parametrize("key", [KEY, _jwt()], ids=["short", "long"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
async def test_a_provider_that_repeats_the_key_in_its_error_does_not_make_us_show_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, key: str
) -> None:
    caplog.set_level(logging.DEBUG)
    given = {"provider_api_key": key, "provider_max_retries": 0}
    async with open_client(tmp_path, **given) as client:
        client.server.answer = lambda seen: Fault(
            status, message=f"{'x' * 100} {seen.authorization} is wrong: {seen.authorization}"
        )
        exc = await client.failure()
        with pytest.raises(ProviderError) as caught:
            await client.chat()
        endpoint = client.models.endpoints["default"]
        shown = [
            *(str(exc), repr(exc), *traceback.format_exception(exc)),
            *(str(caught.value), *traceback.format_exception(caught.value)),
            *(repr(client.models), repr(endpoint), repr(endpoint.state())),
            *(endpoint.breaker(path).reason for path in ("embeddings", "chat/completions")),
            caplog.text,
        ]
        assert client.server.seen[0].authorization == f"Bearer {key}"
        piece = key[:12]
        assert not [text for text in shown if piece in text]


async def test_an_error_that_comes_as_a_success_does_not_show_the_key_either(
    tmp_path: Path,
) -> None:
    async with open_client(tmp_path, provider_max_retries=0) as client:
        for raw in (b'{"error": "%s is wrong"}', b"%s is wrong"):
            client.server.always = Fault(raw=raw % KEY.encode())
            found = await client.failure()
            assert found.fault in ("no_data", "not_json")
            assert KEY not in str(found)
