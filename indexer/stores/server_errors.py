"""What a Qdrant client raises, as our errors; and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
from grpc import RpcError
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from indexer.errors import SchemaMismatch, StoreError, StoreUnavailable

__all__ = ["Fault", "fault_of"]

_AWAY = (502, 503, 504, "UNAVAILABLE")
_FAILED = (408, 500, "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "ABORTED", "CANCELLED")
_BUSY = (429, 507, "RESOURCE_EXHAUSTED")
_BROKEN = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
_SHOWN_MAX = 500


@dataclass(frozen=True, slots=True)
class Fault:
    """``error``: ours. ``elsewhere``: another node may give an answer. ``away``: this one gives
    none at the moment. ``late``: the time was up. ``broken``: the connection ended, as one that
    lay idle may.
    """

    error: StoreError | SchemaMismatch
    elsewhere: bool = False
    away: bool = False
    late: bool = False
    broken: bool = False


def fault_of(what: str, exc: Exception) -> Fault:
    """Say what is wrong with ``what``."""
    match exc:
        case StoreError() | SchemaMismatch():
            return Fault(exc)
        case TimeoutError():
            late = _unavailable(what, "no answer in time")
            return Fault(late, elsewhere=True, away=True, late=True)
        case ResponseHandlingException():
            return _no_response(what, exc.source)
        case QdrantException():  # asked to come back later
            return Fault(_unavailable(what, exc))
        case ApiException() | RpcError():
            return _refusal(what, _status(exc), _text(exc))
    # Local mode raises builtin errors, and so do conversions to what gRPC sends.
    return Fault(StoreError(_line(what, exc)))


def _no_response(what: str, source: Exception) -> Fault:
    if isinstance(source, httpx.PoolTimeout):  # too many calls of our own
        return Fault(_unavailable(what, "no connection is free"))
    if isinstance(source, httpx.RequestError):
        said = f"{type(source).__name__} {source}".strip()
        broken = isinstance(source, _BROKEN)
        return Fault(_unavailable(what, said), elsewhere=True, away=True, broken=broken)
    return Fault(StoreError(_line(what, f"an answer that is no Qdrant server's: {source}")))


def _refusal(what: str, status: int | str | None, said: str) -> Fault:
    text = f"{status}: {said}"
    if status in _AWAY:
        return Fault(_unavailable(what, text), elsewhere=True, away=True)
    if status in _FAILED:
        return Fault(_unavailable(what, text), elsewhere=True)
    if status in _BUSY:
        return Fault(_unavailable(what, text))
    return Fault(StoreError(_line(what, text)))


def _status(exc: Any) -> int | str | None:
    """Return the HTTP status, or gRPC's code by name."""
    code = getattr(exc, "code", None)
    return str(code().name) if callable(code) else getattr(exc, "status_code", None)


def _text(exc: Any) -> str:
    if isinstance(exc, UnexpectedResponse):
        try:
            return str(exc.structured()["status"]["error"])
        except (ValueError, KeyError, TypeError):
            return exc.content.decode(errors="replace")
    details = getattr(exc, "details", None)
    return str(details()) if callable(details) else str(exc)


def _unavailable(what: str, said: object) -> StoreUnavailable:
    return StoreUnavailable(_line(what, said))


def _line(what: str, said: object) -> str:
    return f"{what}: {' '.join(str(said).split())[:_SHOWN_MAX]}"
