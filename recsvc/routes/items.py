"""The catalogue: `PUT`, `GET` and `DELETE` of one item, `POST` of many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, TypeAdapter

from indexer.catalogue import PutResult
from indexer.domain.ids import ID_PATTERN
from indexer.domain.items import Item
from indexer.errors import FieldError, InvalidInput, NotFound
from indexer.wire import ItemIn, checked, parse, to_item
from recsvc.bodies import json_body, lines, read_bytes, read_json
from recsvc.pages import next_cursor, place_of, point_cursor, point_of
from recsvc.problems import PARAMETER_REFUSED, Problem
from recsvc.schemas import (
    BrowseParams,
    CatalogueFeatures,
    ItemOut,
    ItemPut,
    ItemsPage,
    ItemsResult,
)
from recsvc.state import Reader, Service, ServiceDep, Writer, json_response

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["items"])

_CHUNK = 200
_REJECTED_MAX = 1_000
_LIST_MAX = 10_000
_ItemId = Annotated[str, Path(pattern=ID_PATTERN, examples=["book-17"])]


_ONE = TypeAdapter(ItemPut)
_LINE = TypeAdapter(ItemIn)
_MANY: TypeAdapter[list[Any]] = TypeAdapter(
    Annotated[list[Any], Field(min_length=1, max_length=_LIST_MAX)]
)
_REF = {"$ref": "#/components/schemas/ItemIn"}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "No such item."}
}
_REFUSED: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": "More than 8 MiB."},
    422: {"model": Problem, "description": "A field is refused; nothing was stored."},
}


@router.put(
    "/items/{item_id}",
    summary="Create or replace an item",
    response_model=None,
    responses={200: {"model": ItemsResult}, **_REFUSED},
    openapi_extra=json_body({"$ref": "#/components/schemas/ItemPut"}),
)
async def put_item(
    item_id: _ItemId, request: Request, service: ServiceDep, key: Writer
) -> Response:
    """Answer once the item is indexed, or kept to be indexed (`pending`)."""
    sent = await read_json(request, _ONE)
    if sent.item_id not in (None, item_id):
        raise InvalidInput(
            [FieldError(("item_id",), f"{sent.item_id!r} is not the {item_id!r} of the path")]
        )
    item = to_item(key.tenant, item_id, sent)
    return json_response(_result(await service.runtime.catalogue.put(key.tenant, [item]), [], 0))


@router.post(
    "/items",
    summary="Create or replace many items",
    response_model=None,
    responses={200: {"model": ItemsResult}, **_REFUSED},
    openapi_extra=json_body(
        {"type": "array", "items": _REF}, ndjson="One item a line; of any length, read as it comes."
    ),
)
async def post_items(request: Request, service: ServiceDep, key: Writer) -> Response:
    """Take a list, or JSON lines as `application/x-ndjson`; refused ones are named, others kept."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    total, rejected, chunk = PutResult(), list[dict[str, Any]](), list[Item]()
    rows: AsyncIterator[object] = (
        lines(request) if kind == "application/x-ndjson" else _rows(request)
    )
    number = refused = 0
    async for row in rows:
        number += 1
        if isinstance(row, bytes) and not row.strip():
            continue
        try:
            sent = _checked(row)
            chunk.append(to_item(key.tenant, sent.item_id, sent))
        except InvalidInput as exc:
            refused += 1
            if len(rejected) < _REJECTED_MAX:
                rejected.append({"line": number, "item_id": _id_in(row), "reason": str(exc)})
        if len(chunk) >= _CHUNK:
            await _put(service, key.tenant, chunk, total)
            chunk = []
    if chunk:
        await _put(service, key.tenant, chunk, total)
    service.runtime.telemetry.count("items", "rejected", n=refused)
    return json_response(_result(total, rejected, refused))


@router.get(
    "/items",
    summary="Browse or search the catalogue",
    response_model=None,
    responses={200: {"model": ItemsPage}, **PARAMETER_REFUSED},
)
async def browse_items(
    params: Annotated[BrowseParams, Query()], service: ServiceDep, key: Reader
) -> Response:
    """Return all items page by page; with `q` those whose id or title has all its words, then
    what is nearest to the text, the best first."""
    explorer = service.explorer
    if params.q is None:
        page, following = await explorer.page(
            key.tenant, params.filter, params.limit, point_of(params.cursor)
        )
        cursor = point_cursor(following)
    else:
        start = place_of(params.cursor).start
        page = await explorer.search(key.tenant, params.q, params.filter, params.limit, start)
        cursor = next_cursor(start, params.limit, len(page))
    listed = [
        {"item_id": one.item.item_id, "features": one.item.features, "pending": one.pending}
        for one in page
    ]
    return json_response({"items": listed, "next_cursor": cursor})


@router.get(
    "/items/features",  # before any item of that name, which is then to be had by `q`
    summary="What the catalogue can be filtered by",
    response_model=None,
    responses={200: {"model": CatalogueFeatures}},
)
async def catalogue_features(service: ServiceDep, key: Reader) -> Response:
    """Return the filterable features, their most frequent values and their ranges.

    Counts are of 2,000 items at most, and some seconds old.
    """
    return json_response(await service.explorer.features(key.tenant))


@router.get(
    "/items/{item_id}",
    summary="Get an item",
    response_model=None,
    responses={200: {"model": ItemOut}, **_NOT_FOUND},
)
async def get_item(item_id: _ItemId, service: ServiceDep, key: Reader) -> Response:
    """Return an item as stored."""
    stored = (await service.runtime.items.get(key.tenant, [item_id])).get(item_id)
    if stored is None:
        raise NotFound(f"no item {item_id!r}")
    item = stored.item
    return json_response(
        {
            "item_id": item.item_id,
            "features": item.features,
            "text": item.text,
            "available_from": item.available_from,
            "available_until": item.available_until,
            "pending": stored.pending,
        }
    )


@router.delete(
    "/items/{item_id}",
    status_code=204,
    summary="Delete an item",
    response_model=None,
    responses={**_NOT_FOUND},
)
async def delete_item(item_id: _ItemId, service: ServiceDep, key: Writer) -> Response:
    """Delete an item; what users learned from it stays in their taste."""
    await service.runtime.catalogue.delete(key.tenant, item_id)
    return Response(status_code=204)


async def _rows(request: Request) -> AsyncIterator[object]:
    """Give the elements of a JSON list, to be checked one by one."""
    for row in parse(_MANY, await read_bytes(request)):
        yield row


def _checked(row: object) -> ItemIn:
    """Check a line of JSON, or an element of a list that is parsed already."""
    return parse(_LINE, row) if isinstance(row, bytes) else checked(_LINE, row)


async def _put(service: Service, tenant: str, chunk: list[Item], total: PutResult) -> None:
    result = await service.runtime.catalogue.put(tenant, chunk)
    total.stored += result.stored
    total.unchanged += result.unchanged
    total.pending += result.pending


def _id_in(row: object) -> str | None:
    """Return the id of a refused item, where it can be told."""
    try:
        fields = orjson.loads(row) if isinstance(row, bytes) else row
    except orjson.JSONDecodeError:
        return None
    value = fields.get("item_id") if isinstance(fields, dict) else None
    return str(value)[:128] if value is not None else None


def _result(result: PutResult, rejected: list[dict[str, Any]], refused: int) -> dict[str, Any]:
    return {
        "stored": result.stored,
        "unchanged": result.unchanged,
        "pending": [{"item_id": item_id, "reason": reason} for item_id, reason in result.pending],
        "rejected": rejected,
        "rejected_count": refused,
    }
