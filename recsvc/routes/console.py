"""The console at `/`: its page, and the files that it loads."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

__all__ = ["ConsoleFiles", "router"]

router = APIRouter(include_in_schema=False)

_INLINE: Final = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
_FOUND_AGAIN: Final = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
"""A browser asks whether a file has changed, so that no console outlives its service."""


@router.get("/")
async def console() -> Response:
    """Give the page, which may load nothing but what this service serves."""
    page, policy = _page()
    headers = {**_FOUND_AGAIN, "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return Response(page, headers=headers, media_type="text/html")


@router.get("/favicon.ico")
async def icon() -> Response:
    """Give the icon where browsers look for one on pages that name none."""
    image = files("recsvc.console").joinpath("icon.svg").read_bytes()
    return Response(image, headers=_FOUND_AGAIN, media_type="image/svg+xml")


class ConsoleFiles(StaticFiles):
    """The console's scripts and styles, out of the package."""

    def __init__(self) -> None:
        super().__init__(packages=[("recsvc", "console")])

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Give a file; the code beside the files is none."""
        if path.endswith((".py", ".pyc")):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.update(_FOUND_AGAIN)
        return response


@cache
def _page() -> tuple[str, str]:
    """Return the page and its policy: the one script in it is allowed by its hash."""
    page = files("recsvc.console").joinpath("index.html").read_text(encoding="utf-8")
    inline = _INLINE.findall(page)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
    scripts = " ".join(f"'sha256-{one}'" for one in hashes)
    policy = (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy
