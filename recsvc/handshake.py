"""Who may connect and change things: by key, which a browser cannot always send as a header, and by
page, as a browser lets the pages of anybody send requests here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from recsvc.problems import Forbidden, answer
from recsvc.security import ApiKey, Keyring, is_loopback

__all__ = ["CORS", "OwnPages", "check_origin", "credentials", "own_host", "scopes_of"]

CORS: Final[Mapping[str, Any]] = {
    "allow_methods": ("GET", "POST"),
    "allow_headers": ("authorization", "content-type", "last-event-id", "x-api-key"),
    # Nothing here goes by cookies; but a beacon asks for them, and its answer must allow it.
    "allow_credentials": True,
}
"""What `CORSMiddleware` lets pages of allowed origins do: send events, read lists and streams."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+?)\.?)(?::[0-9]*)?")
_HOSTS_MAX: Final = 256


class OwnPages:
    """ASGI middleware for a service without keys, which any page in a browser beside it could ask.

    What is asked under a name that is not the service's own is refused: a page can have the name
    that it was loaded from stand for this machine (DNS rebinding), and is then no page of others to
    the browser. Of pages of others, what is not only reading is refused.
    """

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app, self._allowed = app, allowed
        hosts = frozenset(found[0] for one in allowed if (found := _address(one)) is not None)
        self._own = lru_cache(_HOSTS_MAX)(lambda host: own_host(host, hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except Forbidden as exc:
                await answer(exc)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        host, from_a_page = b"", False
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                from_a_page = True
        if not self._own(host):
            raise Forbidden(
                "without API keys the service answers under localhost, loopback addresses and the "
                f"hosts of RECSVC_ALLOWED_ORIGINS, not under {host.decode('latin-1')[:200]!r}"
            )
        if from_a_page and scope["type"] == "http" and scope["method"] not in _SAFE:
            check_origin(HTTPConnection(scope), self._allowed)


def own_host(host: bytes, allowed: Collection[str] = ()) -> bool:
    """Whether a `Host` names this machine, or is ``allowed``; whatever its port."""
    found = _HOST.fullmatch(host.decode("latin-1").lower())
    if found is None:
        return False
    name = found[1] or found[2]
    return name in allowed or is_loopback(name) or name.endswith(".localhost")


def scopes_of(keyring: Keyring, connection: HTTPConnection) -> dict[str, ApiKey]:
    """Return the key of a connection by each of the scopes that matter here and that it has.

    Raises:
        Unauthorized: no known key came.
        Forbidden: the key has none of them.
    """
    sent = credentials(connection, connection.query_params.get("api_key"))
    scopes: dict[str, ApiKey] = {}
    refused: Forbidden | None = None
    for scope in ("read", "write"):
        try:
            scopes[scope] = keyring.check(sent, scope)
        except Forbidden as exc:
            refused = exc
    if not scopes and refused is not None:
        raise refused
    return scopes


def credentials(connection: HTTPConnection, api_key: str | None) -> Mapping[str, str]:
    """Return where the key is looked for: the headers, or what a browser can send instead."""
    return connection.headers if api_key is None else {"x-api-key": api_key}


def check_origin(connection: HTTPConnection, allowed: frozenset[str]) -> None:
    """Refuse pages of others: a browser lets any page connect, and tells where it is from.

    Raises:
        Forbidden: the page is neither the service's own nor of an allowed origin.
    """
    origin = connection.headers.get("origin")
    if origin is None or origin.lower() in allowed:
        return
    scheme, _, _ = origin.partition("://")
    own = _address(f"{scheme}://{connection.headers.get('host', '')}")
    if own is None or _address(origin) != own:
        raise Forbidden(f"pages of {origin[:200]!r} may not do this; see RECSVC_ALLOWED_ORIGINS")


def _address(url: str) -> tuple[str, int] | None:
    """Return host and port of a URL, or None for what is none of HTTP."""
    try:
        parts = urlsplit(url.lower())
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None
