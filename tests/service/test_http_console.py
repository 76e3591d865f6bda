"""The console over HTTP."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from shop import Shop


async def test_the_page_allows_what_this_service_serves_and_its_own_import_map(shop: Shop):
    page = await shop.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    (inline,) = re.findall(r'<script type="importmap">(.*?)</script>', page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    policy = page.headers["content-security-policy"]
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("app.js", "text/javascript"),
        ("pages/try.js", "text/javascript"),
        ("vendor/preact.js", "text/javascript"),
        ("style.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ],
)
async def test_files_have_their_type_and_are_asked_for_again(shop: Shop, path: str, kind: str):
    answer = await shop.client.get(f"/console/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["cache-control"] == "no-cache"
    again = await shop.client.get(
        f"/console/{path}", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["", "__init__.py", "nothing.js", "../app.py", "%2e%2e/app.py", "vendor", "pages/"]
)
async def test_nothing_else_is_given(shop: Shop, path: str):
    answer = await shop.client.get(f"/console/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_documentation_of_the_api_needs_no_network(shop: Shop):
    page = await shop.client.get("/docs")
    assert re.findall(r'(?:src|href)="(https?:[^"]+)"', page.text) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    answers = [await shop.client.get(f"/{path.lstrip('/')}") for path in loaded]
    assert {answer.status_code for answer in answers} == {200}
    assert any("swagger-ui-bundle" in path for path in loaded)
