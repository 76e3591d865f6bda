"""Signatures of the Standard Webhooks scheme (standardwebhooks.com, specification 1.0). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

__all__ = ["SECRET_BYTES_MAX", "SECRET_BYTES_MIN", "check_secret", "new_secret", "signed_headers"]

SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
_NEW_BYTES: Final = 32
_PREFIX: Final = "whsec_"


def new_secret() -> str:
    """Make a secret: ``whsec_`` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW_BYTES)).decode()


def check_secret(text: str) -> str:
    """Return ``text`` where it is a secret of the scheme.

    Raises:
        ValueError: it is not; the message does not repeat it.
    """
    if not text.startswith(_PREFIX):
        raise ValueError(f"must begin with {_PREFIX}")
    try:
        size = len(_key(text))
    except (binascii.Error, ValueError):
        raise ValueError(f"must be base64 after {_PREFIX}") from None
    if not SECRET_BYTES_MIN <= size <= SECRET_BYTES_MAX:
        raise ValueError(f"has {size} bytes, {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} are accepted")
    return text


def signed_headers(
    message_id: str, timestamp_s: int, body: bytes, keys: Iterable[str]
) -> dict[str, str]:
    """Return the headers that identify and sign a message, with a signature by each secret.

    What is signed is ``id.timestamp.body``, by HMAC-SHA256.
    """
    content = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    digests = (hmac.new(_key(key), content, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests),
    }


def _key(text: str) -> bytes:
    return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
