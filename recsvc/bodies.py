"""Request bodies: read with a bound, checked by pydantic, described in the OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from indexer.errors import FieldError, InvalidInput
from indexer.wire import EventIn, ItemIn, parse
from recsvc.problems import BodyTooLarge
from recsvc.schemas import ItemPut, LetterRetry, LettersRetry, SessionIn
from recsvc.webhooks.schemas import ReplayIn, WebhookIn, WebhookPatch

__all__ = ["BODY_MAX", "LINE_MAX", "body_schemas", "json_body", "lines", "read_json"]

BODY_MAX: Final = 8 * 1024 * 1024
LINE_MAX: Final = 1024 * 1024

_BODIES: tuple[type[BaseModel], ...] = (
    EventIn,
    ItemIn,
    ItemPut,
    SessionIn,
    LettersRetry,
    LetterRetry,
    WebhookIn,
    WebhookPatch,
    ReplayIn,
)
_REF = "#/components/schemas/{model}"

T = TypeVar("T")


async def read_json(request: Request, adapter: TypeAdapter[T], absent: bytes = b"") -> T:
    """Read a JSON body of at most 8 MiB and check it. ``absent``: what no body stands for.

    Raises:
        BodyTooLarge: it is longer.
        InvalidInput: it is not JSON, or not what is accepted.
    """
    return parse(adapter, await read_bytes(request) or absent)


async def read_bytes(request: Request) -> bytes:
    """Read a body of at most 8 MiB."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > BODY_MAX:
        raise BodyTooLarge(f"the body has {declared} bytes, at most {BODY_MAX}")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_MAX:
            raise BodyTooLarge(f"the body has more than {BODY_MAX} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


async def lines(request: Request) -> AsyncIterator[bytes]:
    """Read a body of any length line by line, each of at most 1 MiB."""
    left = b""
    async for chunk in request.stream():
        *whole, left = (left + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(left) > LINE_MAX:
            raise InvalidInput([FieldError((), f"a line of more than {LINE_MAX} bytes")])
    if left:
        yield left


def json_body(
    *alternatives: dict[str, Any], ndjson: str | None = None, required: bool = True
) -> dict[str, Any]:
    """Describe a body for a route's ``openapi_extra``."""
    schema = alternatives[0] if len(alternatives) == 1 else {"oneOf": list(alternatives)}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if ndjson is not None:
        content["application/x-ndjson"] = {
            "schema": {"type": "string", "description": ndjson},
            "example": '{"item_id": "p1", "features": {"title": "Blue kettle"}}\n',
        }
    return {"requestBody": {"required": required, "content": content}}


def body_schemas() -> dict[str, Any]:
    """Return the schemas of the bodies, for the document's components."""
    wanted = [(model, "validation") for model in _BODIES]
    _, document = models_json_schema(wanted, ref_template=_REF)  # type: ignore[arg-type]
    schemas: dict[str, Any] = document["$defs"]
    return schemas
