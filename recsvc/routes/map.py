"""`GET /v1/map`: the catalogue as places in a plane."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from recsvc.problems import PARAMETER_REFUSED
from recsvc.schemas import CatalogueMap, MapParams
from recsvc.state import Reader, ServiceDep, json_response

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["items"])


@router.get(
    "/map",
    summary="The catalogue as a map",
    response_model=None,
    responses={200: {"model": CatalogueMap}, **PARAMETER_REFUSED},
)
async def catalogue_map(
    params: Annotated[MapParams, Query()], service: ServiceDep, key: Reader
) -> Response:
    """Return a place of each item, like near like. It is made once a version of the catalogue, and
    at most once a minute."""
    made = await service.explorer.maps.catalogue(key.tenant, params.feature, params.limit)
    return json_response(made)
