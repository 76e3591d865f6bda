"""A stand-in for a Qdrant server, for tests on machines that have none.

It speaks the part of Qdrant's REST and gRPC protocols that `indexer.stores.server` uses, so that
the real client, its serialisation and its errors are exercised over a real socket. It is not
Qdrant: one process, one thread, Qdrant Edge as the engine (see `qdrant_collections`), a temporary
folder that is gone at the end. Passing against it says that the calls are well formed and mean
what they should, and nothing of a server's speed, durability, cluster or recall.

    python tests/standins/qdrant_server.py --port 6333 --grpc-port 6334

listens on the loopback address only; port 0 chooses a free one. The address is printed on the
first line of the output; ``GET /stand-in`` tells the port of gRPC.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from pydantic import TypeAdapter, ValidationError
from qdrant_client import models
from qdrant_collections import Collections, Refused, named_vectors, refused, vector_of
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from indexer.errors import StoreError

HOST = "127.0.0.1"
VERSION = "1.18.2"
TITLE = "stand-in for a Qdrant server"

_ROOM = 4 * 2**30
_DONE = {"operation_id": 0, "status": "completed"}
_ACTIONS: TypeAdapter[list[Any]] = TypeAdapter(list[models.AliasOperations])
_SCHEMA: TypeAdapter[Any] = TypeAdapter(models.PayloadFieldSchema)

Json = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]


class Rest:
    """The REST calls. Bodies are read by hand: to check 32 vectors would take longer than to
    store them.
    """

    def __init__(self, held: Collections) -> None:
        self._held = held

    def routes(self) -> list[Route]:
        """List the calls; earlier ones go first."""
        one, points = "/collections/{name}", "/collections/{name}/points"
        calls: list[tuple[str, str, Callable[[str, Json], Any]]] = [
            ("GET", "/collections", self.names),
            ("POST", "/collections/aliases", self.change_aliases),
            ("GET", "/aliases", self.aliases),
            ("PUT", points, self.upsert),
            ("POST", points, self.retrieve),
            ("POST", f"{points}/batch", self.batch),
            ("POST", f"{points}/delete", self.delete_points),
            ("POST", f"{points}/query", self.query),
            ("POST", f"{points}/scroll", self.scroll),
            ("POST", f"{points}/count", self.count),
            ("GET", f"{one}/exists", self.exists),
            ("GET", f"{one}/aliases", self.aliases),
            ("PUT", f"{one}/index", self.index),
            ("GET", one, self.info),
            ("PUT", one, self.create),
            ("DELETE", one, self.delete),
        ]
        return [Route(path, _answering(call), methods=[method]) for method, path, call in calls]

    async def names(self, _name: str, _body: Json) -> Any:
        return {"collections": [{"name": name} for name in self._held.names()]}

    async def exists(self, name: str, _body: Json) -> Any:
        return {"exists": self._held.exists(name)}

    async def info(self, name: str, _body: Json) -> Any:
        return (await self._held.info(name)).model_dump(mode="json", exclude_none=True)

    async def create(self, name: str, body: Json) -> Any:
        return await self._held.create(name, models.CreateCollection.model_validate(body))

    async def delete(self, name: str, _body: Json) -> Any:
        return await self._held.delete(name)

    async def change_aliases(self, _name: str, body: Json) -> Any:
        return self._held.change_aliases(_ACTIONS.validate_python(body["actions"]))

    async def aliases(self, name: str, _body: Json) -> Any:
        found = self._held.list_aliases(name or None)
        return {"aliases": [one.model_dump() for one in found]}

    async def index(self, name: str, body: Json) -> Any:
        schema = _SCHEMA.validate_python(body["field_schema"])
        await self._held.index(name, body["field_name"], schema)
        return _DONE

    async def upsert(self, name: str, body: Json) -> Any:
        points = [
            models.PointStruct.model_construct(
                id=point["id"], vector=named_vectors(point["vector"]), payload=point.get("payload")
            )
            for point in body["points"]
        ]
        await self._held.upsert(name, points, _filter(body.get("update_filter")))
        return _DONE

    async def delete_points(self, name: str, body: Json) -> Any:
        await self._held.delete_points(name, body["points"])
        return _DONE

    async def batch(self, name: str, body: Json) -> Any:
        calls = {"upsert": self.upsert, "delete": self.delete_points}
        for operation in body["operations"]:
            ((kind, inner),) = operation.items()
            await calls[kind](name, inner)
        return [_DONE] * len(body["operations"])

    async def retrieve(self, name: str, body: Json) -> Any:
        found = await self._held.store.retrieve(
            self._held.own_name(name),
            body["ids"],
            with_payload=_selected(body, "with_payload", True),
            with_vectors=_selected(body, "with_vector", False),
        )
        return [_record(record) for record in found]

    async def query(self, name: str, body: Json) -> Any:
        hits = await self._held.query(
            name,
            _query(body.get("query")),
            using=body.get("using"),
            prefetch=_prefetch(body.get("prefetch")),
            query_filter=_filter(body.get("filter")),
            search_params=models.SearchParams(**(body.get("params") or {})),
            limit=body.get("limit", 10),
            offset=body.get("offset") or 0,
            with_payload=_selected(body, "with_payload", False),
        )
        return {
            "points": [
                {"id": hit.id, "version": 0, "score": hit.score, "payload": hit.payload}
                for hit in hits
            ]
        }

    async def scroll(self, name: str, body: Json) -> Any:
        found, following = await self._held.store.scroll(
            self._held.own_name(name),
            _filter(body.get("filter")),
            limit=body.get("limit", 10),
            offset=body.get("offset"),
            with_payload=_selected(body, "with_payload", True),
            with_vectors=_selected(body, "with_vector", False),
        )
        return {"points": [_record(record) for record in found], "next_page_offset": following}

    async def count(self, name: str, body: Json) -> Any:
        own = self._held.own_name(name)
        return {"count": await self._held.store.count(own, _filter(body.get("filter")))}


def build_app(held: Collections, grpc_port: int | None) -> Starlette:
    """Make the app, and with ``grpc_port`` have gRPC served beside it; 0 chooses a free port."""
    told: Json = {"grpc_port": None}

    async def version(_request: Request) -> Response:
        return _json({"title": TITLE, "version": VERSION})

    async def ready(_request: Request) -> Response:
        return Response("all shards are ready")

    async def about(_request: Request) -> Response:
        return _json(told)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if grpc_port is None:
            yield
            return
        from qdrant_grpc import serving

        async with serving(held, f"{HOST}:{grpc_port}", TITLE, VERSION) as port:
            told["grpc_port"] = port
            yield

    plain = [Route("/", version), Route("/readyz", ready), Route("/stand-in", about)]
    return Starlette(routes=plain + Rest(held).routes(), lifespan=lifespan)


def _answering(call: Callable[[str, Json], Any]) -> Handler:
    """Make a call of the REST interface answer as a server does."""

    async def answer(request: Request) -> Response:
        try:
            sent = await request.body()
            result = await call(request.path_params.get("name", ""), orjson.loads(sent or b"{}"))
        except Refused as exc:
            return _error(exc)
        except StoreError as exc:
            return _error(refused(exc))
        except (ValidationError, KeyError, TypeError, ValueError) as exc:
            return _error(Refused(400, f"Format error in JSON body: {exc}"))
        return _json({"result": result, "status": "ok", "time": 0.0})

    return answer


def _error(exc: Refused) -> Response:
    return _json({"status": {"error": exc.reason}, "time": 0.0}, exc.status)


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _filter(source: Json | None) -> models.Filter | None:
    return None if source is None else models.Filter.model_validate(source)


def _query(source: Any) -> Any:
    if not isinstance(source, dict):
        return source
    if "nearest" in source:
        mmr = source.get("mmr")
        return models.NearestQuery.model_construct(
            nearest=vector_of(source["nearest"]), mmr=None if mmr is None else models.Mmr(**mmr)
        )
    if "fusion" in source:
        return models.FusionQuery(**source)
    return vector_of(source)


def _prefetch(source: Any) -> Any:
    if not source:
        return None
    return [
        models.Prefetch.model_construct(
            query=_query(one.get("query")),
            using=one.get("using"),
            limit=one.get("limit"),
            filter=_filter(one.get("filter")),
            prefetch=_prefetch(one.get("prefetch")),
        )
        for one in (source if isinstance(source, list) else [source])
    ]


def _selected(body: Json, name: str, default: bool) -> Any:
    wanted = body.get(name)
    return default if wanted is None else wanted


def _record(record: models.Record) -> Json:
    vectors = record.vector
    shown: Any = {}
    if isinstance(vectors, dict):
        shown = {name: _vector(vector) for name, vector in vectors.items()}
    return {"id": record.id, "payload": record.payload, "vector": shown}


def _vector(vector: Any) -> Any:
    if isinstance(vector, list):
        return vector
    return {"indices": list(vector.indices), "values": list(vector.values)}


def _memory() -> str | None:
    """Return a folder in memory if there is room, as nothing is to be kept."""
    folder = Path("/dev/shm")
    roomy = folder.is_dir() and shutil.disk_usage(folder).free > _ROOM
    return str(folder) if roomy else None


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(description="A stand-in for a Qdrant server, for tests.")
    parser.add_argument("--port", type=int, default=6333, help="0 chooses a free one")
    parser.add_argument("--grpc-port", type=int, default=0, help="0 chooses a free one")
    ports = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # to remove the folder
    with (
        tempfile.TemporaryDirectory(prefix="qdrant-stand-in-", dir=_memory()) as folder,
        socket.create_server((HOST, ports.port), backlog=512) as listening,
    ):
        print(f"http://{HOST}:{listening.getsockname()[1]}", flush=True)
        app = build_app(Collections(Path(folder)), ports.grpc_port)
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", log_level="warning", access_log=False
        )
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
