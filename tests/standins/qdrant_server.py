"""A stand-in for a Qdrant server, for tests on machines that have none.

It speaks the part of Qdrant's REST protocol that `indexer.stores.server` uses, so that the real
client, its serialisation and its errors are exercised over a real socket. It is not Qdrant: what
answers is qdrant-client's own local mode, which searches exactly, ignores search parameters and
payload indexes, keeps everything in memory and is slow beyond a few thousand points. Payload
indexes are remembered here only to be shown. Passing against it says that the calls are well
formed and mean what they should, and nothing of a server's speed, durability or recall.

    python tests/standins/qdrant_server.py --port 6333

listens on the loopback address only; port 0 chooses a free one. The address is printed on the
first line of the output.
"""

from __future__ import annotations

import argparse
import socket
import warnings
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from qdrant_client import QdrantClient, models

HOST = "127.0.0.1"


class Refused(Exception):
    """The server would answer ``status`` with ``reason``."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Collections:
    """The collections of local mode, and the payload indexes that it does not keep."""

    def __init__(self) -> None:
        self._client = QdrantClient(location=":memory:")
        self._indexes: dict[str, dict[str, models.PayloadSchemaType]] = {}

    def names(self) -> list[str]:
        return list(self._indexes)

    def exists(self, name: str) -> bool:
        return name in self._indexes

    def create(self, name: str, wanted: models.CreateCollection) -> bool:
        if self.exists(name):
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        self._client.create_collection(
            name, wanted.vectors, sparse_vectors_config=wanted.sparse_vectors
        )
        self._indexes[name] = {}
        return True

    def delete(self, name: str) -> bool:
        known = self._indexes.pop(name, None) is not None
        return known and self._client.delete_collection(name)

    def info(self, name: str) -> models.CollectionInfo:
        info = self.of(name).get_collection(name)
        schema = {
            key: models.PayloadIndexInfo(data_type=kind, points=self._points_with(name, key))
            for key, kind in self._indexes[name].items()
        }
        return info.model_copy(update={"payload_schema": schema})

    def index(self, name: str, wanted: models.CreateFieldIndex) -> models.UpdateResult:
        self.of(name)
        kind = wanted.field_schema
        if not isinstance(kind, models.PayloadSchemaType):  # the long form: an object with a type
            kind = models.PayloadSchemaType(kind.type)
        self._indexes[name][wanted.field_name] = kind
        return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)

    def of(self, name: str) -> QdrantClient:
        """Return the client to ask about a collection that exists."""
        if not self.exists(name):
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return self._client

    def _points_with(self, name: str, key: str) -> int:
        empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
        return self._client.count(name, models.Filter(must_not=[empty])).count


def build_app() -> FastAPI:
    """Make the app; its collections live as long as it does."""
    app, held = FastAPI(title="Qdrant stand-in"), Collections()
    app.exception_handler(Refused)(_refused)
    app.exception_handler(RequestValidationError)(_malformed)
    app.exception_handler(ValueError)(_wrong)
    app.exception_handler(KeyError)(_missing_point)
    _add_collection_calls(app, held)
    _add_writes(app, held)
    _add_reads(app, held)
    return app


def _add_collection_calls(app: FastAPI, held: Collections) -> None:
    @app.get("/")
    async def version() -> Any:
        return {"title": "qdrant stand-in", "version": "0.0.0"}

    @app.get("/readyz")
    async def ready() -> Any:
        return "all shards are ready"

    @app.get("/collections")
    async def names() -> Any:
        return _ok({"collections": [{"name": name} for name in held.names()]})

    @app.get("/collections/{name}/exists")
    async def exists(name: str) -> Any:
        return _ok({"exists": held.exists(name)})

    @app.get("/collections/{name}")
    async def info(name: str) -> Any:
        return _ok(held.info(name))

    @app.put("/collections/{name}")
    async def create(name: str, body: models.CreateCollection) -> Any:
        return _ok(held.create(name, body))

    @app.delete("/collections/{name}")
    async def drop(name: str) -> Any:
        return _ok(held.delete(name))

    @app.put("/collections/{name}/index")
    async def index(name: str, body: models.CreateFieldIndex) -> Any:
        return _ok(held.index(name, body))


def _add_writes(app: FastAPI, held: Collections) -> None:
    @app.put("/collections/{name}/points")
    async def upsert(name: str, body: models.PointsList) -> Any:
        return _ok(held.of(name).upsert(name, body.points))

    @app.post("/collections/{name}/points/delete")
    async def delete(name: str, body: models.PointIdsList | models.FilterSelector) -> Any:
        return _ok(held.of(name).delete(name, body))


def _add_reads(app: FastAPI, held: Collections) -> None:
    @app.post("/collections/{name}/points")
    async def retrieve(name: str, body: models.PointRequest) -> Any:
        payload, vectors = _selected(body.with_payload, True), _selected(body.with_vector, False)
        return _ok(held.of(name).retrieve(name, body.ids, payload, vectors))

    @app.post("/collections/{name}/points/query")
    async def query(name: str, body: models.QueryRequest) -> Any:
        found = held.of(name).query_points(
            name,
            body.query,
            using=body.using,
            prefetch=body.prefetch,
            query_filter=body.filter,
            limit=10 if body.limit is None else body.limit,
            offset=body.offset,
            with_payload=_selected(body.with_payload, False),
            with_vectors=_selected(body.with_vector, False),
            score_threshold=body.score_threshold,
        )
        return _ok(found)

    @app.post("/collections/{name}/points/scroll")
    async def scroll(name: str, body: models.ScrollRequest) -> Any:
        points, following = held.of(name).scroll(
            name,
            body.filter,
            limit=10 if body.limit is None else body.limit,
            offset=body.offset,
            with_payload=_selected(body.with_payload, True),
            with_vectors=_selected(body.with_vector, False),
        )
        return _ok({"points": points, "next_page_offset": following})

    @app.post("/collections/{name}/points/count")
    async def count(name: str, body: models.CountRequest) -> Any:
        return _ok(held.of(name).count(name, body.filter, exact=body.exact is not False))


def _selected(wanted: Any, default: bool) -> Any:
    return default if wanted is None else wanted


def _ok(result: Any) -> JSONResponse:
    content = {"result": jsonable_encoder(result), "status": "ok", "time": 0.0}
    return JSONResponse(content)


def _error(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"status": {"error": reason}, "time": 0.0}, status)


async def _refused(_request: Request, exc: Refused) -> JSONResponse:
    return _error(exc.status, exc.reason)


async def _malformed(_request: Request, exc: RequestValidationError) -> JSONResponse:
    return _error(400, f"Format error in JSON body: {exc.errors()}")


async def _wrong(_request: Request, exc: ValueError) -> JSONResponse:
    return _error(400, f"Wrong input: {exc}")


async def _missing_point(_request: Request, exc: KeyError) -> JSONResponse:
    return _error(404, f"Not found: No point with id {exc}")


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(description="A stand-in for a Qdrant server, for tests.")
    parser.add_argument("--port", type=int, default=6333, help="0 chooses a free one")
    port = parser.parse_args().port
    warnings.filterwarnings("ignore", message="Local mode")
    with socket.create_server((HOST, port)) as listening:
        print(f"http://{HOST}:{listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(build_app(), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
