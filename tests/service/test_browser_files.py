"""The snippet and its example are served as browsers want them."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from recsvc.routes import browser

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "kind", "part"),
    [
        ("/recsvc.js", "text/javascript; charset=utf-8", "window.recsvc"),
        ("/example.html", "text/html; charset=utf-8", 'src="recsvc.js"'),
    ],
)
async def test_the_files_of_browsers_are_served(path: str, kind: str, part: str):
    app = FastAPI()
    app.include_router(browser.router)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert part in answer.text
