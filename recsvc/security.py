"""API keys: who is asking, for which tenant, and what they may do."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from indexer.domain.ids import DEFAULT_TENANT, is_id
from indexer.errors import NotFound, SettingsError
from recsvc.problems import Forbidden, Unauthorized

__all__ = ["SCOPES", "ApiKey", "Keyring", "is_loopback"]

SCOPES: Final = ("read", "write", "admin")
"""`read`: recommendations and items. `write`: events, catalogue. `admin`: users' data, stats."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key as kept: its SHA-256, never itself. Keys are random, so no salt is needed."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    tenant: str = DEFAULT_TENANT


_OPEN = ApiKey("open", "", SCOPES)


class Keyring:
    """The keys of a file; without one everybody may do everything in the default tenant."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._keys = {key.sha256: key for key in _read(path)} if path is not None else {}

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return self.path is None

    def check(self, headers: Mapping[str, str], scope: str) -> ApiKey:
        """Return the key of a request.

        Raises:
            Unauthorized: no known key came.
            Forbidden: the key lacks ``scope``.
        """
        if self.open:
            return _OPEN
        scheme, _, token = headers.get("authorization", "").partition(" ")
        sent = token if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _hash(sent.strip())
        found = next((k for h, k in self._keys.items() if hmac.compare_digest(h, digest)), None)
        if found is None:
            raise Unauthorized(
                "send a known key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
            )
        if scope not in found.scopes:
            raise Forbidden(f"key {found.name!r} lacks the scope {scope!r}")
        return found

    def all(self) -> list[ApiKey]:
        """Return the keys, by name."""
        return sorted(self._keys.values(), key=lambda key: key.name)

    def create(self, name: str, scopes: Iterable[str], tenant: str) -> str:
        """Add a key to the file and return it: the only time that it can be seen.

        Raises:
            SettingsError: the name is taken or malformed, or a scope or the tenant is not valid.
        """
        wanted = tuple(dict.fromkeys(scopes))
        if not _NAME.fullmatch(name) or any(key.name == name for key in self.all()):
            raise SettingsError(f"name {name!r} is taken, or not 1..64 of A-Z a-z 0-9 _ . -")
        if not wanted or not set(wanted) <= set(SCOPES) or not is_id(tenant):
            raise SettingsError(f"scopes of {', '.join(SCOPES)} and a tenant id are accepted")
        key = f"rs_{secrets.token_urlsafe(32)}"
        kept = ApiKey(name, _hash(key), wanted, tenant)
        self._write([*self.all(), kept])
        return key

    def revoke(self, name: str) -> None:
        """Remove a key from the file; a running service forgets it at its next start.

        Raises:
            NotFound: there is no key of that name.
        """
        left = [key for key in self.all() if key.name != name]
        if len(left) == len(self._keys):
            raise NotFound(f"no key {name!r}")
        self._write(left)

    def _write(self, keys: Iterable[ApiKey]) -> None:
        if self.path is None:
            raise SettingsError("RECSVC_API_KEYS_FILE is not set")
        blocks = [
            f'[[keys]]\nname = "{key.name}"\nsha256 = "{key.sha256}"\n'
            f'scopes = {list(key.scopes)!r}\ntenant = "{key.tenant}"\n'
            for key in keys
        ]
        draft = self.path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text("\n".join(blocks), encoding="utf-8")
        os.replace(draft, self.path)
        self._keys = {key.sha256: key for key in _read(self.path)}


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path) -> list[ApiKey]:
    if not path.exists():
        return []
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("keys", [])
        return [_key(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise SettingsError(f"RECSVC_API_KEYS_FILE={str(path)!r} cannot be read: {exc!r}") from exc


def _key(row: Mapping[str, Any]) -> ApiKey:
    key = ApiKey(row["name"], row["sha256"], tuple(row["scopes"]), row["tenant"])
    if not _NAME.fullmatch(key.name) or not _DIGEST.fullmatch(key.sha256):
        raise ValueError(f"key {key.name!r} needs a name of 1..64 characters and a SHA-256 in hex")
    if not set(key.scopes) <= set(SCOPES) or not is_id(key.tenant):
        raise ValueError(
            f"key {key.name!r} has scopes {list(key.scopes)} and tenant {key.tenant!r}; "
            f"scopes of {', '.join(SCOPES)} and a tenant id are accepted"
        )
    return key


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
