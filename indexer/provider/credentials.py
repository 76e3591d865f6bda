"""The provider's key: where it comes from, when it is read again, and that it is never shown."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import os
import shlex
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from indexer.errors import ProviderUnavailable, SettingsError

__all__ = ["Credentials", "Key", "command_source", "file_source", "fixed_source", "parse_key"]

_COMMAND_S: Final = 10.0
_MARGIN: Final = 0.1
_MARGIN_MAX_S: Final = 60.0
_MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class Key:
    """A key and, where known, the unix seconds at which it ends."""

    secret: str = field(repr=False)
    expires_at: float | None = None


Source = Callable[[], Awaitable[Key]]
"""Reads the key anew; raises ValueError or OSError, with a text that does not show it."""


class Credentials(httpx.Auth):
    """Puts the key into requests; reads it again before it ends, and once after a 401.

    However many requests are refused at the same time, the source is read once for all of them.
    """

    def __init__(
        self,
        source: Source | None,
        refused: Callable[[str], None],
        counted: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source, self._refused, self._counted = source, refused, counted
        self._clock = clock
        self._lock = asyncio.Lock()
        self._key: Key | None = None
        self._read_at = 0.0
        self._reads = 0
        self._shown: set[str] = set()

    def __repr__(self) -> str:
        return f"Credentials({_MASK})"

    def scrub(self, text: str) -> str:
        """Return ``text`` without any key that was ever used."""
        for secret in sorted(self._shown, key=len, reverse=True):  # one may begin another
            text = text.replace(secret, _MASK)
        return text

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add the key; on 401 read it again and, if it is another one, ask once more."""
        if self._source is None:
            yield request
            return
        key = await self._current()
        reads = self._reads
        request.headers["Authorization"] = f"Bearer {key.secret}"
        response = yield request
        if response.status_code != 401:
            return
        fresh = await self._after_401(key, reads)
        if fresh is not None:
            request.headers["Authorization"] = f"Bearer {fresh.secret}"
            yield request

    async def _current(self) -> Key:
        key = self._key
        if key is not None and not self._ending(key):
            return key
        async with self._lock:
            if self._key is None or self._ending(self._key):
                await self._read(spare=self._key)
            assert self._key is not None
            return self._key

    async def _after_401(self, used: Key, reads: int) -> Key | None:
        async with self._lock:
            if self._reads == reads:
                await self._read()
            assert self._key is not None
            return self._key if self._key.secret != used.secret else None

    async def _read(self, spare: Key | None = None) -> None:
        """Read the key; where that fails, ``spare`` is good until it ends."""
        # Counted once it has ended: who begins during it and is refused waits for this one.
        assert self._source is not None
        self._read_at = self._clock()
        try:
            self._key = await self._source()
        except (ValueError, OSError) as exc:
            self._reads += 1
            self._counted("failed")
            if spare is not None and self._clock() < (spare.expires_at or 0.0):
                return
            reason = f"the provider's key cannot be read: {exc}"
            self._refused(reason)
            raise ProviderUnavailable(reason, fault="credentials", again=False) from None
        self._reads += 1
        self._counted("read")
        self._shown.add(self._key.secret)

    def _ending(self, key: Key) -> bool:
        if key.expires_at is None:
            return False
        life_s = key.expires_at - self._read_at
        margin_s = min(_MARGIN_MAX_S, max(0.0, life_s) * _MARGIN)
        return self._clock() >= key.expires_at - margin_s


def fixed_source(secret: str) -> Source:
    """A key that was given with the settings.

    Raises:
        SettingsError: it cannot be sent in a header.
    """
    try:
        key = parse_key(secret)
    except ValueError as exc:
        raise SettingsError(f"RECSVC_PROVIDER_API_KEY={_MASK}: {exc}") from None

    async def read() -> Key:
        return key

    return read


def file_source(path: Path) -> Source:
    """A key in a file."""

    async def read() -> Key:
        try:
            return parse_key(await asyncio.to_thread(path.read_text, encoding="utf-8"))
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not text") from None

    return read


def command_source(command: str) -> Source:
    """A key that a command prints; it is run without a shell and has ten seconds.

    Raises:
        SettingsError: it is no command line.
    """
    try:
        words = shlex.split(command)
    except ValueError as exc:
        raise SettingsError(f"RECSVC_PROVIDER_API_KEY_COMMAND: {exc}") from exc
    if not words:
        raise SettingsError("RECSVC_PROVIDER_API_KEY_COMMAND: it is empty")

    async def read() -> Key:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_COMMAND_S):
                printed, _ = await process.communicate()
        except TimeoutError:
            raise ValueError(f"{words[0]!r} took more than {_COMMAND_S:.0f} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and what it has started
                await process.wait()
        if process.returncode != 0:
            raise ValueError(f"{words[0]!r} ended with exit code {process.returncode}")
        return parse_key(printed.decode(errors="replace"))

    return read


def parse_key(text: str) -> Key:
    """Read a key: bare, or JSON with ``expires_at`` or ``expires_in``; a JWT tells its end.

    Raises:
        ValueError: it is empty or cannot be sent in a header; the text does not show it.
    """
    text = text.strip()
    fields: dict[str, Any] = {}
    if text.startswith("{"):
        try:
            loaded = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ValueError("it begins like JSON, but is not") from None
        fields = loaded if isinstance(loaded, dict) else {}
        names = ("api_key", "key", "token", "access_token")
        text = str(next((fields[name] for name in names if fields.get(name)), ""))
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a key is one word of printable ASCII")
    return Key(text, _expiry(fields) or _jwt_expiry(text))


def _expiry(fields: dict[str, Any]) -> float | None:
    at, within = fields.get("expires_at"), fields.get("expires_in")
    try:
        if within is not None:
            return time.time() + float(within)
        if isinstance(at, str) and not at.replace(".", "", 1).isdigit():
            moment = datetime.fromisoformat(at)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return float(at) if at is not None else None
    except (TypeError, ValueError):
        raise ValueError("its expires_at or expires_in is no time") from None


def _jwt_expiry(text: str) -> float | None:
    parts = text.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=="))
        return float(claims["exp"])
    except (binascii.Error, ValueError, TypeError, KeyError):
        return None
