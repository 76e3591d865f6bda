"""The nodes of a Qdrant server or cluster: the first that answers is asked.

A node that gives no answer is left aside, and asked again only when it has answered a question of
ours in the background: one that is down costs nothing after the first call, one that hangs costs
those that were under way one short wait. A call may be sent to a second node though the first has
carried it out: all calls are such that twice is as good as once.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx
from qdrant_client import AsyncQdrantClient

from indexer.errors import SchemaMismatch, StoreError
from indexer.stores.server_errors import Fault, fault_of

__all__ = ["CHANGE", "READ", "WRITE", "Node", "Nodes", "Patience", "connect"]

T = TypeVar("T")
Call = Callable[[AsyncQdrantClient], Awaitable[T]]


class Patience(NamedTuple):
    """Seconds that a node may take: while another can be asked, and where none can."""

    short_s: float
    full_s: float


READ: Final = Patience(2.0, 10.0)
WRITE: Final = Patience(5.0, 60.0)
CHANGE: Final = Patience(30.0, 120.0)
"""For creating, indexing and deleting collections, on which the nodes of a cluster agree first."""

ASIDE_S: Final = 5.0
"""How long a node that gave no answer is left alone before it is asked in the background."""

_NEEDED, _SAFE = (1, 18, 0), (1, 18, 2)
_CONNECTIONS_MAX = 128
_IDLE_S = 3.0  # Qdrant ends connections that are idle for 5 s
_RECONNECT_MS = 1_000

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Node:
    """One node. ``known``: its version was looked at. ``aside_until``: monotonic; 0: in use."""

    name: str
    client: AsyncQdrantClient
    known: bool = False
    aside_until: float = 0.0
    probe: asyncio.Task[None] | None = field(default=None, repr=False)


class Nodes:
    """Sends calls to the first node that answers."""

    def __init__(self, nodes: Sequence[Node], aside_s: float = ASIDE_S) -> None:
        self._nodes, self._aside_s = list(nodes), aside_s
        self._closed = False

    async def call(self, what: str, call: Call[T], patience: Patience) -> T:
        """Make a call; ``what`` names it in errors.

        Raises:
            StoreError: it was refused, or `close` was called.
            StoreUnavailable: no node answered.
            SchemaMismatch: the server is too old.
        """
        if self._closed:
            raise StoreError(f"{what}: the connection to Qdrant is closed")
        failed = Fault(StoreError(f"{what}: Qdrant has no node"))
        for node, limit_s in self._turns(patience):
            found = await self._ask(node, what, call, limit_s)
            if isinstance(found, Fault) and found.broken:
                found = await self._ask(node, what, call, limit_s)
            if not isinstance(found, Fault):
                return found
            failed = found
            if failed.away:
                self._leave_aside(node, failed)
            if not failed.elsewhere or (failed.late and limit_s == patience.full_s):
                break
        raise failed.error from failed.error.__cause__

    async def close(self) -> None:
        """End the connections; calls after this raise."""
        self._closed = True
        probes = [node.probe for node in self._nodes if node.probe is not None]
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
        for node in self._nodes:
            try:
                await node.client.close()
            except Exception as exc:
                raise fault_of(f"Qdrant at {node.name}", exc).error from exc

    def _turns(self, patience: Patience) -> list[tuple[Node, float]]:
        """List the nodes in the order to ask them, with the time each may take.

        Those that are aside come last, for when all others fail.
        """
        now = time.monotonic()
        in_use = [node for node in self._nodes if not node.aside_until]
        aside = [node for node in self._nodes if node.aside_until]
        for node in aside:
            if now >= node.aside_until and node.probe is None and in_use:
                node.probe = asyncio.create_task(self._probe(node), name=f"probe {node.name}")
        last = (in_use or aside)[-1]
        return [
            (node, patience.full_s if node is last else patience.short_s) for node in in_use + aside
        ]

    async def _ask(self, node: Node, what: str, call: Call[T], limit_s: float) -> T | Fault:
        where = f"{what}: Qdrant at {node.name}"
        try:
            async with asyncio.timeout(limit_s):
                if not node.known:
                    await _look_at_version(node)
                answer = await call(node.client)
        except Exception as exc:  # noqa: BLE001 - raised by the caller, as ours
            fault = fault_of(where, exc)
            if fault.error is not exc:
                fault.error.__cause__ = exc
            return fault
        except asyncio.CancelledError as exc:  # gRPC cancels what is under way when it is closed
            if not self._closed or _is_cancelled():
                raise
            raise StoreError(f"{where}: closed while it was asked") from exc
        self._take_back(node)
        return answer

    def _leave_aside(self, node: Node, fault: Fault) -> None:
        if len(self._nodes) > 1:
            if not node.aside_until:
                _log.warning("left aside for the moment: %s", fault.error)
            node.aside_until = time.monotonic() + self._aside_s

    def _take_back(self, node: Node) -> None:
        if node.aside_until:
            node.aside_until = 0.0
            _log.warning("Qdrant at %s answers again", node.name)

    async def _probe(self, node: Node) -> None:
        """Take a node back into use if it answers."""
        answer = await self._ask(node, "asked again", _version, READ.short_s)
        node.probe = None
        if isinstance(answer, Fault):
            node.aside_until = time.monotonic() + self._aside_s


def connect(url: str, api_key: str | None, grpc_port: int | None) -> Node:
    """Make a node of a URL, without connecting yet; ``grpc_port`` chooses gRPC."""
    parts = urlsplit(url)
    limits = httpx.Limits(
        max_connections=_CONNECTIONS_MAX,
        max_keepalive_connections=_CONNECTIONS_MAX,
        keepalive_expiry=_IDLE_S,
    )
    if api_key is not None and parts.scheme == "http":
        _log.warning("the API key is sent to Qdrant at %s unencrypted", parts.hostname)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which says the same, once for each node and way
        client = AsyncQdrantClient(
            url=url,
            api_key=api_key,
            prefer_grpc=grpc_port is not None,
            grpc_port=grpc_port or 6334,
            grpc_options={
                "grpc.initial_reconnect_backoff_ms": _RECONNECT_MS,
                "grpc.min_reconnect_backoff_ms": _RECONNECT_MS,
                "grpc.max_reconnect_backoff_ms": _RECONNECT_MS,
            },
            timeout=int(CHANGE.full_s),  # ours are shorter
            check_compatibility=False,
            trust_env=False,
            limits=limits,
        )
    port = grpc_port or parts.port or 6333
    return Node(f"{parts.hostname}:{port}", client)


async def _version(client: AsyncQdrantClient) -> str:
    return (await client.info()).version


async def _look_at_version(node: Node) -> None:
    """Refuse a node that is too old for what is asked of it."""
    version = await _version(node.client)
    found = tuple(map(int, re.findall(r"\d+", version)[:3]))
    if len(found) < 3 or found < _NEEDED:
        raise SchemaMismatch(
            f"Qdrant at {node.name} is of version {version}, and {_dotted(_NEEDED)} or later is "
            f"needed ({_dotted(_SAFE)} is best); upgrade it, or choose another RECSVC_QDRANT_URL"
        )
    if found < _SAFE:
        _log.warning(
            "Qdrant at %s is of version %s, of which authentication can be evaded; upgrade it to "
            "%s or later",
            node.name,
            version,
            _dotted(_SAFE),
        )
    node.known = True


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
