"""A user's updates over the WebSocket, for as long as they are wanted."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Final

from recsvc.client.answers import Update, read_update
from recsvc.client.calls import dumped
from recsvc.client.errors import Failed, NotReached, Refused
from recsvc.client.exchange import RETRIED, error_of, next_pause

__all__ = ["REFUSING_CODES", "Place", "opening", "read_message", "updates"]

REFUSING_CODES: Final = frozenset({1003, 1007, 1008, 1009, 4401, 4403})
"""Close codes that say that the same would be refused again."""

_MESSAGE_MAX = 1024 * 1024
_SWITCHING = 101


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stream is, and how it is connected to."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float
    trust_env: bool


def opening(user_id: str, limit: int, sequence: int) -> str:
    """Return what a connection begins with: it subscribes, and asks for what is newer."""
    asked = {"type": "resume", "user_id": user_id, "sequence": sequence, "limit": limit}
    return dumped(asked).decode()


def read_message(text: str | bytes, user_id: str) -> Update | None:
    """Return the update that a message is, or None for one that tells nothing new.

    Raises:
        Refused: the service refuses what was asked.
        Failed: it is no message of the service.
    """
    try:
        message = json.loads(text)
        if message["type"] == "error":
            raise Refused(None, str(message["message"]))
        if message["type"] != "recommendation_update" or message["user_id"] != user_id:
            return None
        return read_update(message)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise Failed(_SWITCHING, f"not a message of the service: {text[:100]!r}") from exc


async def updates(
    place: Place, user_id: str, limit: int, sequence: int, give_up_s: float
) -> AsyncGenerator[Update, None]:
    """Give what differs from ``sequence``, then each update, each once.

    A lost connection is made again, and the service asked for what differs from the last update, so
    that the newest state is never missed; states in between may be.

    Raises:
        Refused: the service refuses the connection or the subscription.
        NotReached: it could not be reached for ``give_up_s``.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    class Direct(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc  # as in httpx: the key goes to nobody else

    failures, well, told = 0, time.monotonic(), None
    while True:
        opened = False
        try:
            async with Direct(
                place.url,
                additional_headers=place.headers,
                open_timeout=place.timeout_s,
                max_size=_MESSAGE_MAX,
                proxy=True if place.trust_env else None,
            ) as socket:
                opened = True
                await socket.send(opening(user_id, limit, sequence))
                while True:
                    update = read_message(await socket.recv(), user_id)
                    failures = 0
                    if update is None:
                        continue
                    if (update.sequence, update.recommendations) != (sequence, told):
                        sequence, told = update.sequence, update.recommendations
                        yield update
        except (OSError, WebSocketException) as exc:
            refusal = _refusal(exc)
            if refusal is not None:
                raise refusal from exc
            now = time.monotonic()
            well, failures = now if opened else well, failures + 1
            if now - well >= give_up_s:
                raise NotReached(f"{place.url}: {type(exc).__name__}: {exc}") from exc
        await asyncio.sleep(next_pause(failures, random.random()))


def _refusal(exc: Exception) -> Refused | Failed | None:
    """Return what a lost or refused connection is to the caller; None: connect again."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    if isinstance(exc, ConnectionClosed):
        close = exc.rcvd
        return Refused(None, str(exc)) if close and close.code in REFUSING_CODES else None
    if not isinstance(exc, InvalidStatus) or exc.response.status_code in RETRIED:
        return None
    return error_of(exc.response.status_code, bytes(exc.response.body or b""))
