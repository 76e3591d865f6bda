"""Where a service is and how it is called. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from recsvc.client.calls import Call
from recsvc.client.exchange import Patience, Try
from recsvc.client.stream import Place

__all__ = ["Connection", "arguments"]


_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class Connection:
    """What both clients are made from.

    Raises:
        ValueError: the address is none of HTTP's, or the key cannot be sent.
    """

    url: str
    api_key: str | None = field(repr=False)
    timeout_s: float
    deadline_s: float
    trust_env: bool

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise ValueError(f"{self.url!r} is not an address as http://host:8000")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError("the key holds characters that a header cannot")

    @property
    def patience(self) -> Patience:
        """How long calls may take."""
        return Patience(self.timeout_s, self.deadline_s)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def place(self) -> Place:
        """Where updates come from."""
        parts = urlsplit(self.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/v1/ws"
        return Place(url, self.headers, self.timeout_s, self.trust_env)

    def options(self) -> dict[str, Any]:
        """Return what httpx's clients are opened with."""
        return {"base_url": self.url, "headers": self.headers, "trust_env": self.trust_env}


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def arguments(call: Call[Any], step: Try) -> dict[str, Any]:
    """Return what httpx's clients are asked with."""
    return {
        "method": call.method,
        "url": call.path,
        "params": list(call.params) or None,
        "content": call.content,
        "headers": {"Content-Type": call.content_type} if call.content is not None else None,
        "timeout": step.timeout_s,
    }
