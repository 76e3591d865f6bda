"""Errors over HTTP: RFC 9457 problem details, with the one table of status codes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from indexer import errors

__all__ = [
    "PARAMETER_REFUSED",
    "BodyTooLarge",
    "Forbidden",
    "Problem",
    "Unauthorized",
    "answer",
    "install",
    "problem",
]

_log = logging.getLogger(__name__)

_CONTENT_TYPE = "application/problem+json"
_RETRY_AFTER_S = "1"


class Unauthorized(errors.RecsvcError):
    """No valid key came with the request."""


class Forbidden(errors.RecsvcError):
    """The key does not have the scope that this needs."""


class BodyTooLarge(errors.RecsvcError):
    """The body is beyond the limit."""


class FieldProblem(BaseModel):
    """One refused field."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str
    errors: list[FieldProblem] | None = None


PARAMETER_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    422: {"model": Problem, "description": "A parameter is refused."}
}
"""Among the ``responses`` of a route: what it answers where a parameter is refused."""


_STATUS: Final[Mapping[type[errors.RecsvcError], tuple[int, str]]] = {
    Unauthorized: (401, "Unauthorized"),
    Forbidden: (403, "Forbidden"),
    BodyTooLarge: (413, "Content Too Large"),
    errors.InvalidInput: (422, "Unprocessable Content"),
    errors.NotFound: (404, "Not Found"),
    errors.EventConflict: (409, "Conflict"),
    errors.NotApplied: (409, "Conflict"),
    errors.ItemNotEmbedded: (503, "Service Unavailable"),
    errors.Overloaded: (503, "Service Unavailable"),
    errors.LogError: (503, "Service Unavailable"),
    errors.StoreUnavailable: (503, "Service Unavailable"),
    errors.StoreError: (500, "Internal Server Error"),
    errors.ProviderUnavailable: (503, "Service Unavailable"),
    errors.ProviderError: (502, "Bad Gateway"),
}


def problem(
    status: int,
    title: str,
    detail: str,
    fields: list[errors.FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a problem+json response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if fields is not None:
        body["errors"] = [{"loc": list(field.loc), "msg": field.msg} for field in fields]
    return Response(orjson.dumps(body), status, headers, media_type=_CONTENT_TYPE)


def install(app: FastAPI) -> None:
    """Have every error of ``app`` answered as a problem."""
    app.add_exception_handler(errors.RecsvcError, _ours)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def answer(exc: errors.RecsvcError) -> Response:
    """Make the response that an error of ours is answered with."""
    status, title = next(
        (_STATUS[kind] for kind in type(exc).__mro__ if kind in _STATUS),
        (500, "Internal Server Error"),
    )
    if status == 500:
        _log.error("request failed: %s", exc)
    headers = {"Retry-After": _RETRY_AFTER_S} if status == 503 else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    fields = exc.errors if isinstance(exc, errors.InvalidInput) else None
    return problem(status, title, str(exc), fields, headers)


async def _ours(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, errors.RecsvcError)
    return answer(exc)


async def _parameters(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    fields = [
        errors.FieldError(tuple(error["loc"]), _parameter_message(error)) for error in exc.errors()
    ]
    invalid = errors.InvalidInput(fields)
    return problem(422, "Unprocessable Content", str(invalid), fields)


def _parameter_message(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown parameter"
    message = str(error["msg"]).removeprefix("Value error, ")
    value = error.get("input")
    plain = error["type"] == "missing" or isinstance(value, (dict, list))
    return message if plain else f"{message}, not {str(value)[:60]!r}"


async def _http(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    title = {404: "Not Found", 405: "Method Not Allowed"}.get(exc.status_code, "Error")
    return problem(exc.status_code, title, str(exc.detail), headers=exc.headers)


async def _unexpected(_: Request, exc: Exception) -> Response:
    _log.critical("unexpected error", exc_info=exc)
    return problem(500, "Internal Server Error", "unexpected error; the service's log says more")
