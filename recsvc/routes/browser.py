"""`recsvc.js`, and the page that shows how it is used."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_CACHED = {"Cache-Control": "public, max-age=3600"}


@router.get("/recsvc.js")
async def snippet() -> Response:
    """Give the browser snippet; pages of every origin may load it."""
    headers = {**_CACHED, "Cross-Origin-Resource-Policy": "cross-origin"}
    return Response(_text("recsvc.js"), headers=headers, media_type="text/javascript")


@router.get("/example.html")
async def example() -> Response:
    """Give the example page."""
    return Response(_text("example.html"), headers=_CACHED, media_type="text/html")


def _text(name: str) -> str:
    return files("recsvc.browser").joinpath(name).read_text(encoding="utf-8")
