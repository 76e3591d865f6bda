"""What a running service holds, and how routes get at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response
from orjson import OPT_SERIALIZE_NUMPY, dumps

from indexer.runtime import Runtime
from recsvc.explore.explorer import Explorer
from recsvc.hub import Hub
from recsvc.recommend import Recommender
from recsvc.security import ApiKey, Keyring
from recsvc.webhooks import Webhooks

__all__ = ["Admin", "Reader", "Service", "ServiceDep", "Writer", "json_response"]


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that requests are answered from."""

    runtime: Runtime
    recommender: Recommender
    explorer: Explorer
    keyring: Keyring
    hub: Hub
    webhooks: Webhooks


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _get_service(request: Request) -> Service:
    return _service(request)


async def _reader(request: Request) -> ApiKey:
    return _service(request).keyring.check(request.headers, "read")


async def _writer(request: Request) -> ApiKey:
    return _service(request).keyring.check(request.headers, "write")


async def _admin(request: Request) -> ApiKey:
    return _service(request).keyring.check(request.headers, "admin")


ServiceDep = Annotated[Service, Depends(_get_service)]
Reader = Annotated[ApiKey, Depends(_reader)]
Writer = Annotated[ApiKey, Depends(_writer)]
Admin = Annotated[ApiKey, Depends(_admin)]


def json_response(body: object, status: int = 200) -> Response:
    """Answer with JSON; ours is written by orjson, and was checked when it was made."""
    return Response(dumps(body, option=OPT_SERIALIZE_NUMPY), status, media_type="application/json")
