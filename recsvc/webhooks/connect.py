"""Connections to the addresses that were checked, and to no others.

A name is looked up once for each connection, all that it resolves to is checked, and one of just
those addresses is connected to: a name that has another answer a moment later gains nothing. TLS
and the ``Host`` header keep the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpcore

from indexer.errors import RecsvcError
from recsvc.webhooks.addresses import Allowed

__all__ = ["AddressRefused", "CheckedBackend", "Lookup", "Resolver", "SystemLookup"]

_LOOKUPS_MAX: Final = 32
"""Names that are looked up at once; a name that takes long holds up no more than one of them."""

_LOOKUP_S: Final = 5.0
_TRIED_MAX: Final = 2

Lookup = Callable[[str], Awaitable[list[str]]]
"""Returns the addresses of a name; raises OSError or UnicodeError where there are none."""


class AddressRefused(RecsvcError):
    """A host has no address, or one that is not to be sent to."""


class SystemLookup:
    """Asks the system's resolver, in threads of its own; who asks for the same name shares."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_MAX, thread_name_prefix="lookup")
        self._asked: dict[str, asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        """See `Lookup`."""
        asked = self._asked.get(host)
        if asked is None:
            loop = asyncio.get_running_loop()
            asked = self._asked[host] = loop.run_in_executor(self._threads, _addresses, host)
            asked.add_done_callback(lambda done: self._done(host, done))
        return await asyncio.shield(asked)

    def close(self) -> None:
        """Ask no more; what is under way is left to itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, host: str, asked: asyncio.Future[list[str]]) -> None:
        self._asked.pop(host, None)
        if not asked.cancelled():
            asked.exception()  # read, as whoever asked may have given up


class Resolver:
    """Looks up hosts, and refuses those that any forbidden address belongs to."""

    def __init__(self, allowed: Allowed, lookup: Lookup) -> None:
        self._allowed, self._lookup = allowed, lookup

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of a host, all of which may be connected to.

        Raises:
            AddressRefused: one may not, or there are none; which ones is not told.
        """
        try:
            async with asyncio.timeout(_LOOKUP_S):
                found = list(dict.fromkeys(await self._lookup(host)))
        except TimeoutError as exc:
            raise AddressRefused(f"host {host[:100]!r} could not be looked up in time") from exc
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise AddressRefused(f"host {host[:100]!r} has no address")
        if not all(self._allowed.permits(host, address) for address in found):
            raise AddressRefused(
                f"host {host[:100]!r} has an address that is not public; see "
                "RECSVC_WEBHOOK_ALLOW_PRIVATE"
            )
        return found


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects for httpcore, to what a `Resolver` lets pass."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, of the first two.

        Raises:
            AddressRefused: as `Resolver.addresses` does.
            httpcore.ConnectError, httpcore.ConnectTimeout: none answers.
        """
        addresses = (await self._resolver.addresses(host))[:_TRIED_MAX]
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError:
                continue
        return await self._inner.connect_tcp(
            addresses[-1], port, timeout, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await self._inner.sleep(seconds)


def _addresses(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
