"""Taking an address to serve on."""

from __future__ import annotations

import socket

from indexer.errors import AddressUnavailable

__all__ = ["listen"]


def listen(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises:
        AddressUnavailable: another process has it, or it is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        raise AddressUnavailable(
            f"cannot serve on {host}, port {port}: {exc.strerror}; choose another with --port"
        ) from exc
