"""Where a key comes from, and which texts are one."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import VIRTUAL

from indexer.errors import SettingsError
from indexer.provider.credentials import (
    Key,
    command_source,
    file_source,
    fixed_source,
    parse_key,
)

pytestmark = pytest.mark.anyio

SECRET = "sk-very-secret"
SOON_S = 1e3


def jwt(claims: object) -> str:
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(part.rstrip("=") for part in encoded), "c2lnbmVk"])


def python(program: str) -> str:
    """A command line that runs a program in this interpreter."""
    return shlex.join([sys.executable, "-I", "-S", "-c", program])


# What a key is


@pytest.mark.parametrize("text", [SECRET, f" {SECRET}\n", f"{SECRET}\r\n", f"\t{SECRET}\t"])
def test_a_bare_key_is_taken_without_what_surrounds_it(text: str):
    assert parse_key(text) == Key(SECRET)


@pytest.mark.parametrize("name", ["api_key", "key", "token", "access_token"])
def test_a_key_is_taken_from_json(name: str):
    assert parse_key(json.dumps({name: SECRET, "other": 1})) == Key(SECRET)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "one word of printable ASCII"),
        (" \n", "one word of printable ASCII"),
        (f"{SECRET}\nX-Admin: 1", "one word of printable ASCII"),
        (f"{SECRET} {SECRET}", "one word of printable ASCII"),
        (f"{SECRET}\x00", "one word of printable ASCII"),
        (f"{SECRET}\x7f", "one word of printable ASCII"),
        (f"{SECRET}é", "one word of printable ASCII"),
        (f"“{SECRET}”", "one word of printable ASCII"),
        (json.dumps({"api_key": f"{SECRET}\r\nX-Admin: 1"}), "one word of printable ASCII"),
        (json.dumps({"api_key": [SECRET, SECRET]}), "one word of printable ASCII"),
        (json.dumps({"api_key": None}), "one word of printable ASCII"),
        (json.dumps({"secret": SECRET}), "one word of printable ASCII"),
        (f'{{"api_key": "{SECRET}"', "begins like JSON"),
        (json.dumps({"api_key": SECRET, "expires_at": "soon"}), "is no time"),
        (json.dumps({"api_key": SECRET, "expires_at": [1]}), "is no time"),
        (json.dumps({"api_key": SECRET, "expires_at": "nan"}), "is no time"),
        (json.dumps({"api_key": SECRET, "expires_in": "an hour"}), "is no time"),
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(text: str, reason: str):
    with pytest.raises(ValueError, match=reason) as caught:
        parse_key(text)
    chain = f"{caught.value!r} {caught.value.__cause__!r}"
    assert SECRET not in chain
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text())
def test_any_text_is_a_key_for_a_header_or_refused(text: str):
    try:
        key = parse_key(text)
    except ValueError:
        return
    assert key.secret.isascii()
    assert key.secret.isprintable()
    assert " " not in key.secret


# When it ends


@pytest.mark.parametrize(
    ("end", "at"),
    [
        (2_000_000_000, 2e9),
        (2_000_000_000.5, 2_000_000_000.5),
        ("2000000000", 2e9),
        ("2033-05-18T03:33:20Z", 2e9),
        ("2033-05-18T05:33:20+02:00", 2e9),
        ("2033-05-18T03:33:20", 2e9),
        (None, None),
    ],
)
def test_an_end_is_unix_seconds_or_an_iso_time_in_utc_unless_it_says_otherwise(
    end: object, at: float | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert parse_key(json.dumps({"api_key": SECRET, "expires_at": end})) == Key(SECRET, at)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("within", [SOON_S, str(SOON_S)])
def test_an_end_may_be_told_from_now(within: object):
    before = time.time()
    key = parse_key(json.dumps({"token": SECRET, "expires_in": within}))
    assert key.expires_at is not None
    assert before + SOON_S <= key.expires_at <= time.time() + SOON_S


def test_a_jwt_tells_its_end_itself():
    token = jwt({"exp": 2_000_000_000, "sub": "é" * 7})
    assert parse_key(token) == Key(token, 2e9)
    assert parse_key(json.dumps({"token": token})) == Key(token, 2e9)


def test_an_end_that_is_given_wins_over_that_of_a_jwt():
    token = jwt({"exp": 2_000_000_000})
    assert parse_key(json.dumps({"key": token, "expires_at": 1_900_000_000})).expires_at == 1.9e9


@pytest.mark.parametrize(
    "token",
    ["a.b.c", "a.%%%.c", "...", jwt([]), jwt({}), jwt({"exp": None}), jwt({"exp": "x"}), jwt("x")],
)
def test_what_only_looks_like_a_jwt_is_a_key_without_end(token: str):
    assert parse_key(token) == Key(token)


# Sources


async def test_a_fixed_key_is_given_as_it_is():
    assert await fixed_source(f"{SECRET}\n")() == Key(SECRET)


def test_a_fixed_key_that_cannot_be_sent_stops_the_start_without_being_shown():
    with pytest.raises(SettingsError, match=r"API_KEY=\*\*\*: a key is one word") as caught:
        fixed_source(f"{SECRET}é")
    assert SECRET not in str(caught.value)


async def test_a_file_is_read_anew_each_time(tmp_path: Path):
    path = tmp_path / "key"
    read = file_source(path)
    for name in ("one", "two"):
        path.write_text(name, encoding="utf-8")
        assert await read() == Key(name)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"", b"{"])
async def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises((ValueError, OSError)):
        await file_source(tmp_path / "key")()


async def test_a_command_prints_the_key():
    printed = json.dumps({"api_key": SECRET, "expires_at": 2e9})
    assert await command_source(python(f"print({printed!r})"))() == Key(SECRET, 2e9)


async def test_a_command_is_run_without_a_shell():
    source = command_source(python("import sys; print(sys.argv[1])") + " '$(id)>&2;*'")
    assert await source() == Key("$(id)>&2;*")


async def test_a_command_has_no_input_to_wait_for():
    assert await command_source(python("import sys; print('k', len(sys.stdin.read()), sep='')"))()


@pytest.mark.parametrize("code", [1, 77])
async def test_a_command_that_fails_gives_no_key_whatever_it_printed(code: int):
    source = command_source(python(f"print({SECRET!r}); raise SystemExit({code})"))
    with pytest.raises(ValueError, match=f"exit code {code}$") as caught:
        await source()
    assert SECRET not in str(caught.value)


async def test_a_command_that_prints_no_text_gives_no_key():
    source = command_source(python("import os; os.write(1, bytes([0xff, 0xfe]))"))
    with pytest.raises(ValueError, match="printable ASCII"):
        await source()


async def test_a_command_that_is_not_there_gives_no_key():
    with pytest.raises(OSError, match="no-such-command"):
        await command_source("/no-such-command --key")()


@pytest.mark.parametrize("anyio_backend", [VIRTUAL])
async def test_a_command_has_ten_seconds_and_is_then_ended(tmp_path: Path):
    pid, loop = tmp_path / "pid", asyncio.get_running_loop()
    program = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    start = loop.time()
    with pytest.raises(ValueError, match="took more than 10 s"):
        await command_source(python(program))()
    assert loop.time() - start == pytest.approx(10)
    if pid.exists():  # it may have been ended before it began
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


async def test_a_command_that_nobody_waits_for_any_more_is_ended(tmp_path: Path):
    told = tmp_path / "pid"
    os.mkfifo(told)
    program = (
        "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    )
    reading = asyncio.ensure_future(command_source(f"{python(program)} {told}")())
    pid = int(await asyncio.to_thread(told.read_text))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("command", ["", "  ", 'get "key', "get 'key"])
def test_a_command_that_is_no_command_line_stops_the_start(command: str):
    with pytest.raises(SettingsError, match="RECSVC_PROVIDER_API_KEY_COMMAND"):
        command_source(command)
